"""Work on Ray on this machine: the same bytes as with plain processes, and what failures cost."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plainfilm.bundle import Bundle
from plainfilm.cluster import planning
from ray_nodes import (
    listening,
    parts,
    plan,
    processes,
    rows_of,
    start,
    title,
    wait_for,
    watched_folder,
)

pytest.importorskip("ray")
pytest.importorskip("resource", reason="needs /proc")

pytestmark = pytest.mark.slow

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]


@pytest.fixture
def home() -> Iterator[Path]:
    with watched_folder() as folder:
        yield folder


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_parts_are_those_of_plain_processes(
    home: Path,
    make_bundle: MakeBundle,
    draw_grey: Draw,
    doubtful_files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from plainfilm.cluster.score import score

    for n in range(20):
        draw_grey(home / "archive" / f"{n}.png", 40 + 6 * n)
    for name, content in doubtful_files.items():
        (home / "archive" / (name if "dicom" in name else f"{name}.png")).write_bytes(content)
    monkeypatch.chdir(home)
    monkeypatch.setattr(planning, "CHUNK_ROWS", 10)
    bundle = make_bundle().folder
    local = score("archive", bundle, "local", workers=1)
    shutil.copytree(home / "local" / "plan", home / "ray" / "plan")
    on_ray = score("archive", bundle, "ray", on="ray", workers=2)
    assert on_ray.finished and on_ray.counts == local.counts
    names = sorted(path.name for path in (home / "local" / "parts").iterdir())
    assert len(names) == 3
    for name in names:
        own = (home / "ray" / "parts" / name).read_bytes()
        assert own == (home / "local" / "parts" / name).read_bytes()


def test_an_own_ray_ends_with_its_driver_and_loses_the_chunks_in_progress(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = plan(home, monkeypatch, 12)
    driver = start(out, "ray", 0.5)
    wait_for(lambda: parts(out) >= 2)
    own = processes(home)
    assert listening(own) and listening(own) <= LOOPBACK
    worker = next(pid for pid in own if title(pid).startswith("ray::work"))
    os.kill(worker, signal.SIGKILL)
    done = parts(out)
    wait_for(lambda: parts(out) >= done + 3)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not processes(home), 15.0)
    # Another engine continues.
    done = parts(out)
    assert done < 12
    output, _ = start(out, "local", 0.5).communicate(timeout=120)
    assert output == "finished 0\n"
    assert len(rows_of(out)) == 24

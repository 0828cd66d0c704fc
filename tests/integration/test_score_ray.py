"""Work on Ray: the same bytes as with plain processes, and what failures of nodes cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from plainfilm.bundle import Bundle
from plainfilm.cluster import planning
from plainfilm.cluster.stores import open_store

pytest.importorskip("ray")
if not Path("/proc/self/cwd").exists():
    pytest.skip("needs /proc", allow_module_level=True)

pytestmark = pytest.mark.slow

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
PATHS = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))


def processes(folder: Path) -> list[int]:
    """Return the processes, other than this one, that were started in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found


def title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
    return ""


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    due = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < due, "this takes too long"
        time.sleep(0.05)
    return value


def parts(out: Path) -> int:
    return len(list((out / "parts").glob("[!.]*.parquet")))


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return all rows of an output; each planned file has one."""
    rows: list[dict[str, Any]] = parquet.read_table(out / "parts").to_pylist()
    files = [str(path) for path in (out / "plan").glob("*.parquet")]
    planned = parquet.read_table(files, columns=["uri"])["uri"].to_pylist()
    assert sorted(row["uri"] for row in rows) == sorted(planned)
    return rows


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a folder with a short name; nothing that was started in it may remain."""
    folder = Path(tempfile.mkdtemp(prefix="pf-"))
    try:
        yield folder
        wait_for(lambda: not processes(folder), 15.0)
    finally:
        for pid in processes(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def plan(home: Path, patch: pytest.MonkeyPatch, chunks: int, rows: int = 2) -> Path:
    """Return an output with the plan of drawn files."""
    archive, out = home / "archive", home / "out"
    archive.mkdir(exist_ok=True)
    for n in range(chunks * rows):
        (archive / f"{n:04d}.png").write_bytes(b"file %d" % n)
    patch.setattr(planning, "CHUNK_ROWS", rows)
    planning.make_plan(open_store(out), [archive])
    return out


def start(home: Path, out: Path, on: str, seconds: float, *before: str) -> subprocess.Popen[str]:
    """Start a driver of a job that takes some seconds for a chunk."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "slow_job", str(out), on, str(seconds)],
        cwd=home,
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def listening(pids: list[int]) -> set[str]:
    """Return the addresses at which processes listen, as hexadecimal digits."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    sockets.add(str(entry.readlink()))
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text("ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1].partition(":")[0])
    return found


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
    driver = start(home, out, "ray", 0.5)
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
    output, _ = start(home, out, "local", 0.5).communicate(timeout=60)
    assert output == "finished 0\n"
    assert len(rows_of(out)) == 24

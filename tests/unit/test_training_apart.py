"""Work done by another process: the same values, and this process steps in when that one fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from plainfilm._progress import Progress, silent
from plainfilm.data import Manifest, fill_cache
from plainfilm.errors import StorageError
from plainfilm.records import PixelSpec, Record, Task
from plainfilm.training import apart as module
from plainfilm.training.apart import apart


def where(count: int, *, progress: Progress) -> Iterator[Any]:
    for number in range(count):
        progress("counting", number + 1, count, "on")
        yield number, os.getpid()


def dies_after_one(here: int, *, progress: Progress) -> Iterator[Any]:
    yield "first", os.getpid()
    if os.getpid() != here:
        os._exit(7)
    yield "second", os.getpid()


def refuses(*, progress: Progress) -> Iterator[Any]:
    yield 1
    raise StorageError("the disk is full", remedy="free some space")


def prints(*, progress: Progress) -> Iterator[Any]:
    print("what a library prints is no message")
    yield 1


def measures(text: str, *, progress: Progress) -> Iterator[Any]:
    yield len(text), os.getpid()


def waits(file: str, *, progress: Progress) -> Iterator[Any]:
    progress("waiting", 0, 1)
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)
    yield 1


def test_values_and_progress_come_from_another_process() -> None:
    told: list[tuple[str, int, int, str]] = []
    values = list(apart(where, 3, progress=lambda *one: told.append(one)))  # type: ignore[arg-type]
    assert [number for number, _ in values] == [0, 1, 2]
    [process] = {process for _, process in values}
    assert process != os.getpid()
    assert told[0] == ("counting", 1, 3, "on")
    assert told[-1] == ("counting", 3, 3, "on")


def test_when_it_dies_this_process_goes_on_where_it_stopped() -> None:
    (first, there), (second, here) = apart(dies_after_one, os.getpid(), progress=silent)
    assert (first, second) == ("first", "second")
    assert there != os.getpid() == here


def test_an_error_is_raised_here_as_what_it_is() -> None:
    values = apart(refuses, progress=silent)
    assert next(values) == 1
    with pytest.raises(StorageError, match="the disk is full"):
        next(values)


def test_what_cannot_be_handed_over_is_done_here() -> None:
    def local(*, progress: Progress) -> Iterator[Any]:
        yield os.getpid()

    assert list(apart(local, progress=silent)) == [os.getpid()]


@pytest.mark.parametrize("size", [10, 100_000, 10_000_000])
def test_one_that_dies_while_it_is_told_what_to_do(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than a pipe holds: the rest of it must not surface as an error of ours.
    dead = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(module, "start_command", lambda _: dead)
    assert list(apart(measures, "x" * size, progress=silent)) == [(size, os.getpid())]


def test_a_library_that_prints_does_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(apart(prints, progress=silent)) == [1]
    assert capfd.readouterr().out == ""


def test_it_ends_when_the_caller_stops(tmp_path: Path) -> None:
    file = tmp_path / "process"

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        while not (file.exists() and file.read_text(encoding="utf-8")):
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(apart(waits, str(file), progress=stop))
    assert is_gone(int(file.read_text(encoding="utf-8")))


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
def test_it_ends_when_the_caller_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "process"
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]; import test_training_apart as t;"
        "list(t.apart(t.waits, sys.argv[2], progress=t.silent))"
    )
    here = str(Path(__file__).parent)
    with subprocess.Popen([sys.executable, "-c", code, here, str(file)]) as caller:
        while not (file.exists() and file.read_text(encoding="utf-8")):
            time.sleep(0.01)
        caller.kill()
    process = int(file.read_text(encoding="utf-8"))
    ends = time.monotonic() + 20
    while not is_gone(process):
        assert time.monotonic() < ends
        time.sleep(0.02)


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    # A process that has ended may still be listed until it is asked how.
    status = Path(f"/proc/{process}/stat")
    return (
        status.exists() and status.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    )


class Sleepy:
    """Reads a file as a black image, and never a second one."""

    pixels = np.zeros((8, 8), np.uint8)
    metadata: ClassVar[dict[str, float]] = {}


def sleepy(path: str, spec: PixelSpec) -> Sleepy:
    if not path.endswith("0.png"):
        Path(path).with_suffix(".process").write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(600)
    return Sleepy()


def fills_for_ever(manifest: Manifest, folder: str, *, progress: Progress) -> Iterator[Any]:
    yield fill_cache(
        manifest, PixelSpec(8), folder=folder, workers=1, reader=sleepy, progress=progress
    )


def test_its_own_processes_end_with_it(tmp_path: Path) -> None:
    manifest, file = drawn(tmp_path), tmp_path / "1.process"

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        while stage == "decoding images":
            if file.exists() and file.read_text(encoding="utf-8"):
                raise KeyboardInterrupt
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        list(apart(fills_for_ever, manifest, str(tmp_path / "cache"), progress=stop))
    assert is_gone(int(file.read_text(encoding="utf-8")))


def fills(manifest: Manifest, folder: str, *, progress: Progress) -> Iterator[Any]:
    yield fill_cache(manifest, PixelSpec(8), folder=folder, progress=progress)


def drawn(folder: Path) -> Manifest:
    records = []
    for number in range(3):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((8, 8), number * 40, np.uint8)).save(path)
        records.append(Record(id=path.name, path=str(path), labels=(0.0,), patient=str(number)))
    return Manifest("data", Task("binary", ("sick",), ("well", "sick")), tuple(records))


def test_a_cache_comes_back_with_its_images(tmp_path: Path) -> None:
    manifest = drawn(tmp_path)
    [cache] = apart(fills, manifest, str(tmp_path / "cache"), progress=silent)
    here = fill_cache(manifest, PixelSpec(8), folder=tmp_path / "cache")
    assert cache.ids == here.ids == ("0.png", "1.png", "2.png")
    assert cache.hashes == here.hashes
    assert np.array_equal(cache.all(), here.all())
    assert cache.all()[:, 0, 0].tolist() == [0, 40, 80]

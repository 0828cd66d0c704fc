"""Work done by another process: the same values, and this process steps in when that one fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from thorax._progress import Progress, silent
from thorax.data import Manifest, fill_cache
from thorax.errors import StorageError
from thorax.records import PixelSpec, Record, Task
from thorax.training.apart import apart


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
    raise StorageError("the disk is full", todo="free some space")


def prints(*, progress: Progress) -> Iterator[Any]:
    print("what a library prints is no message")
    yield 1


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


def test_what_cannot_be_found_by_another_process_is_done_here() -> None:
    def local(*, progress: Progress) -> Iterator[Any]:
        yield os.getpid()

    with pytest.raises((AttributeError, TypeError)):  # told at once, not after half the work
        list(apart(local, progress=silent))


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
    process = int(file.read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def fills(manifest: Manifest, folder: str, *, progress: Progress) -> Iterator[Any]:
    yield fill_cache(manifest, PixelSpec(8), folder=folder, progress=progress)


def test_a_cache_comes_back_with_its_images(tmp_path: Path) -> None:
    records = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((8, 8), number * 40, np.uint8)).save(path)
        records.append(Record(id=path.name, path=str(path), labels=(0.0,), patient=str(number)))
    manifest = Manifest("data", Task("binary", ("sick",), ("well", "sick")), tuple(records))
    [cache] = apart(fills, manifest, str(tmp_path / "cache"), progress=silent)
    here = fill_cache(manifest, PixelSpec(8), folder=tmp_path / "cache")
    assert cache.ids == here.ids == ("0.png", "1.png", "2.png")
    assert cache.hashes == here.hashes
    assert np.array_equal(cache.all(), here.all())
    assert cache.all()[:, 0, 0].tolist() == [0, 40, 80]

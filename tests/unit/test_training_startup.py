"""The subprocess yields the same values, and this process continues the work if it fails.

Imports are fast, and leave the garbage collector and sys.modules as they were.
"""

from __future__ import annotations

import importlib.util
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
from plainfilm.training import BACKENDS, startup
from plainfilm.training.startup import Subprocess

INSTALLED = [name for name in BACKENDS if importlib.util.find_spec(name)]


def run(work: Any, *arguments: Any, progress: Progress = silent) -> Iterator[Any]:
    with Subprocess(work, *arguments) as subprocess_:
        yield from subprocess_.values(progress)


def counts(count: int, *, progress: Progress) -> Iterator[Any]:
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
    print("not a message")
    yield 1


def measures(text: str, *, progress: Progress) -> Iterator[Any]:
    yield len(text), os.getpid()


def waits(file: str, *, progress: Progress) -> Iterator[Any]:
    progress("waiting", 0, 1)
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)
    yield 1


def test_values_and_progress_come_from_a_subprocess() -> None:
    messages: list[tuple[str, int, int, str]] = []

    def record(stage: str, done: int, total: int, note: str = "") -> None:
        messages.append((stage, done, total, note))

    values = list(run(counts, 3, progress=record))
    assert [number for number, _ in values] == [0, 1, 2]
    [process] = {process for _, process in values}
    assert process != os.getpid()
    assert messages[0] == ("counting", 1, 3, "on")
    assert messages[-1] == ("counting", 3, 3, "on")


def test_this_process_continues_when_the_subprocess_dies() -> None:
    (first, there), (second, here) = run(dies_after_one, os.getpid())
    assert (first, second) == ("first", "second")
    assert there != os.getpid() == here


def test_an_error_is_raised_in_this_process() -> None:
    values = run(refuses)
    assert next(values) == 1
    with pytest.raises(StorageError, match="the disk is full"):
        next(values)


def test_disabled_it_runs_in_this_process() -> None:
    with Subprocess(counts, 2, enabled=False) as work:
        assert list(work.values(silent)) == [(0, os.getpid()), (1, os.getpid())]


def test_it_starts_before_values_are_requested(tmp_path: Path) -> None:
    file = tmp_path / "process"
    with Subprocess(waits, str(file)):
        while not (file.exists() and file.read_text(encoding="utf-8")):
            time.sleep(0.01)
    assert is_gone(int(file.read_text(encoding="utf-8")))


def test_work_that_cannot_be_pickled_runs_in_this_process() -> None:
    def local(*, progress: Progress) -> Iterator[Any]:
        yield os.getpid()

    assert list(run(local)) == [os.getpid()]


@pytest.mark.parametrize("size", [10, 100_000, 10_000_000])
def test_a_subprocess_that_dies_while_it_reads_its_input(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than a pipe can hold: the failed write must not raise an error.
    dead = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(startup, "start_command", lambda _: dead)
    assert list(run(measures, "x" * size)) == [(size, os.getpid())]


def test_output_of_a_library_is_not_a_message(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(run(prints)) == [1]
    assert capfd.readouterr().out == ""


def test_the_subprocess_ends_when_the_caller_stops(tmp_path: Path) -> None:
    file = tmp_path / "process"

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        while not (file.exists() and file.read_text(encoding="utf-8")):
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run(waits, str(file), progress=stop))
    assert is_gone(int(file.read_text(encoding="utf-8")))


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
def test_the_subprocess_ends_when_the_caller_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "process"
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]; import test_training_startup as t;"
        "list(t.run(t.waits, sys.argv[2]))"
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


class Black:
    """A black image."""

    pixels = np.zeros((8, 8), np.uint8)
    metadata: ClassVar[dict[str, float]] = {}


def never_returns(path: str, spec: PixelSpec) -> Black:
    if not path.endswith("0.png"):
        Path(path).with_suffix(".process").write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(600)
    return Black()


def fills_forever(manifest: Manifest, folder: str, *, progress: Progress) -> Iterator[Any]:
    yield fill_cache(
        manifest, PixelSpec(8), folder=folder, workers=1, reader=never_returns, progress=progress
    )


def test_subprocesses_of_the_subprocess_end_with_it(tmp_path: Path) -> None:
    manifest, file = drawn(tmp_path), tmp_path / "1.process"

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        while stage == "decoding images":
            if file.exists() and file.read_text(encoding="utf-8"):
                raise KeyboardInterrupt
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        list(run(fills_forever, manifest, str(tmp_path / "cache"), progress=stop))
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


def test_a_cache_is_returned_with_its_images(tmp_path: Path) -> None:
    manifest = drawn(tmp_path)
    [cache] = run(fills, manifest, str(tmp_path / "cache"))
    here = fill_cache(manifest, PixelSpec(8), folder=tmp_path / "cache")
    assert cache.ids.tolist() == here.ids.tolist() == ["0.png", "1.png", "2.png"]
    assert cache.hashes.tolist() == here.hashes.tolist()
    assert np.array_equal(cache.all(), here.all())
    assert cache.all()[:, 0, 0].tolist() == [0, 40, 80]


@pytest.mark.skipif(not INSTALLED, reason="no backend is installed")
@pytest.mark.parametrize("collecting", [True, False])
def test_an_import_leaves_the_garbage_collector_as_it_was(collecting: bool) -> None:
    code = f"""
import gc
if not {collecting}:
    gc.disable()
from plainfilm.training import use_backend
use_backend({INSTALLED[0]!r})
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(collecting), "True"]


@pytest.mark.skipif(not INSTALLED, reason="no backend is installed")
def test_packages_are_hidden_only_while_keras_is_imported() -> None:
    code = f"""
import sys
from plainfilm.training import use_backend
from plainfilm.training.startup import skip_when_importing
skip_when_importing("matplotlib", "json")
use_backend({INSTALLED[0]!r})
assert "keras" in sys.modules and "json" in sys.modules
assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules)
import matplotlib.pyplot
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr

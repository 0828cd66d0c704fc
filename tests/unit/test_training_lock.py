"""Two processes cannot train into one folder."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plainfilm.data import Manifest
from plainfilm.errors import RunError, StorageError
from plainfilm.records import Record, Task
from plainfilm.training import train
from plainfilm.training.lock import LOCK, FolderLock

pytest.importorskip("fcntl", reason="the system has no file locks")

HOLD = """
import sys, time
from pathlib import Path
from plainfilm.training.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process trains") as caught:
            FolderLock(tmp_path)
        assert f"process {holder.pid} on {platform.node()}" in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / LOCK).exists()
        with FolderLock(tmp_path):  # the lock of a killed process is stale
            assert f'"process": {os.getpid()}' in (tmp_path / LOCK).read_text(encoding="utf-8")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert not (tmp_path / LOCK).exists()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        lock = FolderLock(tmp_path)
        with pytest.raises(RunError):
            FolderLock(tmp_path)
        lock.release()
        lock.release()


def test_a_damaged_lock_file_is_described(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        (tmp_path / LOCK).write_text("{", encoding="utf-8")
        with pytest.raises(RunError, match="just started"):
            FolderLock(tmp_path)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        FolderLock(tmp_path / "file")


def test_a_second_training_into_a_folder_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="training needs Keras")
    manifest = Manifest(
        "none",
        Task("binary", ("b",), ("a", "b")),
        tuple(
            Record(id=f"{n}", path=f"{n}", labels=(n % 2,), patient=f"{n}", split="train")
            for n in range(4)
        ),
    )
    with FolderLock(tmp_path), pytest.raises(RunError, match="another process trains"):
        train(manifest, out=tmp_path, recipe="swift")

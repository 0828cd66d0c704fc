"""Keeps two processes from training into one folder."""

from __future__ import annotations

import json
import os
import platform
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from plainfilm._files import make_folder, open_at_once, reason_of
from plainfilm.errors import RunError, StorageError

LOCK = ".lock"
"""Names the process that trains into a folder."""


class FolderLock:
    """Creates a folder and holds its lock until it is released or the process ends in any way.

    The operating system locks the file, so the file of a process that was killed blocks no one.
    File systems without locks, and Windows, are not protected.

    Raises
    ------
    RunError
        If another process holds the lock; it names the process and its machine.
    StorageError
        If the folder is not writable.
    """

    def __init__(self, folder: Path) -> None:
        path = make_folder(folder) / LOCK
        while True:
            self._file = _open(path)
            if not _lock(self._file.fileno()):
                self._file.seek(0)
                holder = _describe(self._file.read())
                self._file.close()
                raise RunError(
                    f"another process trains into {folder}",
                    received=holder,
                    remedy="wait until it has ended, or choose another folder with out=",
                )
            if _is_at(self._file, path):
                break
            self._file.close()  # its last holder removed it after it was opened here
        self._file.truncate(0)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        json.dump({"process": os.getpid(), "host": platform.node(), "since": started}, self._file)
        self._file.flush()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock and remove its file."""
        if not self._file.closed:
            with suppress(OSError):
                Path(self._file.name).unlink()  # before closing: no process can hold this file then
            self._file.close()


def _open(path: Path) -> TextIO:
    try:
        file = open(path, "a+", encoding="utf-8", opener=open_at_once)  # noqa: SIM115
    except OSError as error:
        reason = f"{path}: {reason_of(error)}"
        raise StorageError("the folder is not writable", received=reason) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise StorageError(f"{path} is not a regular file", remedy="remove it")
    return file


def _is_at(file: TextIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _lock(descriptor: int) -> bool:
    """Return False if another process holds the lock of the file."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True


def _describe(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['process']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has just started"

"""Creates the temporary files of writers, and removes those of killed ones."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

_NAME = 100  # bytes of the name in the name of its temporary file; file systems allow 255
_PART = re.compile(r"\..+\.[a-z0-9_]{4,}\.part", re.DOTALL)
_DAY = 24 * 3600.0


def create_part(path: Path) -> tuple[Path, int | None]:
    """Create the temporary file of ``path``, and lock it.

    Its writer closes the lock, which the operating system does if the writer is killed. It is None
    on file systems without locks.
    """
    import tempfile  # here, so that programs that only read start faster

    start = os.fsdecode(os.fsencode(path.name)[:_NAME])
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{start}.", suffix=".part")
        if not _lock(handle):
            os.close(handle)  # without locks, the age of a file must do
            return Path(name), None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), Path(name).stat()):
                return Path(name), handle
        os.close(handle)  # another process removed the file before it was locked


def _lock(handle: int) -> bool:
    """Lock an open file; return False if another process holds its lock or there are no locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[str]) -> None:
    """Remove a temporary file that no process is writing: it is not locked, or a day old."""
    if not entry.is_file(follow_symlinks=False):
        return
    if os.name == "nt":
        if time.time() - entry.stat().st_mtime > _DAY:
            Path(entry.path).unlink()
        return
    handle = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if _lock(handle):
            Path(entry.path).unlink()
    finally:
        os.close(handle)

"""What the service writes down: JSON lines on standard error, and the audit log.

A line of an answer has the time, the bundle's hash, the content's hash and the outcome. It has no
file name, no path, no address, no probability: nothing that tells who was shown or who asked.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from plainfilm._files import explain_oserror

__all__ = ["AuditLog", "Log", "Remarks", "now"]


_PAUSE = 0.02


def now() -> str:
    """Return the time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Log:
    """JSON lines on a stream, in bunches: a line is written a fiftieth of a second after its event.

    Every write lets go of the interpreter, and under load others take it for a while.

    Parameters
    ----------
    stream
        Where they go; standard error by default.
    clock
        What tells the time.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], str] = now) -> None:
        self._stream, self._clock = stream, clock
        self._lines: list[str] = []

    def write(self, event: str, **fields: Any) -> None:
        """Write one line, at once where no event loop runs."""
        self._lines.append(json.dumps({"time": self._clock(), "event": event, **fields}))
        if len(self._lines) > 1:
            return
        try:
            asyncio.get_running_loop().call_later(_PAUSE, self.flush)
        except RuntimeError:
            self.flush()

    def flush(self) -> None:
        """Write what waits; a reader that is gone stops nothing."""
        lines, self._lines = self._lines, []
        stream = sys.stderr if self._stream is None else self._stream
        try:
            stream.write("".join(line + "\n" for line in lines))
            stream.flush()
        except (OSError, ValueError):
            return


class Remarks(logging.Handler):
    """Tell that a library remarked something, and where; not what, for it may quote a request.

    Parameters
    ----------
    log
        Where it is told.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[0] if record.exc_info else None
        kind = None if error is None else error.__name__
        self._log.write("remark", by=record.name, level=record.levelname.lower(), kind=kind)


class AuditLog:
    """A file to which one line is appended for every answered image, before the answer is sent.

    Each line is one write to a file opened for appending alone, so that lines of several services
    do not mix and none is written over. It reaches the disk within a second (``sync``), and when
    the service stops; a machine that loses power may lose that second.

    Parameters
    ----------
    path
        The file; it is created for its owner alone, and no link is followed.
    clock
        What tells the time.

    Raises
    ------
    StorageError
        If it cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], str] = now) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._dirty = False
        self._handle = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            return os.open(self._path, flags, 0o600)
        except OSError as error:
            raise explain_oserror(error, self._path) from error

    def write(self, bundle: str, sha256: str, outcome: str) -> None:
        """Append one line.

        Raises
        ------
        OSError
            If the disk does not take the whole of it, or the file was removed: a line in a file
            that has no name any more is no entry.
        """
        if os.fstat(self._handle).st_nlink == 0:
            raise OSError(errno.ENOENT, "the audit log was removed")
        row = {"time": self._clock(), "bundle": bundle, "sha256": sha256, "outcome": outcome}
        line = json.dumps(row).encode() + b"\n"
        if os.write(self._handle, line) != len(line):
            raise OSError("the audit log took a part of a line")
        self._dirty = True

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        with self._lock:
            if self._dirty:
                self._dirty = False
                os.fsync(self._handle)

    def reopen(self) -> None:
        """Go on in the file that now has the name: the old one may have been moved away.

        Raises
        ------
        StorageError
            If it cannot be opened; the old one is then kept.
        """
        fresh = self._open()
        with self._lock:
            old, self._handle = self._handle, fresh
            os.fsync(old)
            os.close(old)

    def close(self) -> None:
        """Bring everything to the disk, and close the file."""
        self.sync()
        os.close(self._handle)

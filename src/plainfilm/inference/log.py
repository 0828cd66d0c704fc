"""Structured logs: lines of events, and the audit log.

A line of a prediction has the time, the bundle's hash, the file's hash and the outcome. It has no
file name, path, network address or probability, and so identifies neither patient nor client.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from plainfilm._files import explain_oserror

_PAUSE = 0.02  # seconds
_WHOLE = ("consequence", "remedy")


def now() -> str:
    """Return the time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Log:
    """Lines of events on a stream, written together every 20 ms.

    Each write releases the interpreter lock, which takes long to get back under load. The stream
    is standard error by default; ``plain`` writes short lines for people instead of JSON. Threads
    may share one log.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], str] = now, *, plain: bool = False
    ) -> None:
        self._stream, self._clock, self._plain = stream, clock, plain
        self._lines: list[str] = []
        self._lock = threading.RLock()

    def write(self, event: str, **fields: object) -> None:
        """Write one line; at once if no event loop is running."""
        line = self._format(event, fields)
        with self._lock:
            self._lines.append(line)
            if len(self._lines) > 1:
                return
        try:
            asyncio.get_running_loop().call_later(_PAUSE, self.flush)
        except RuntimeError:
            self.flush()

    def _format(self, event: str, fields: Mapping[str, object]) -> str:
        if not self._plain:
            return json.dumps({"time": self._clock(), "event": event, **fields})
        values = (
            f"{name}={str(value)[: None if name in _WHOLE else 40]}"
            for name, value in fields.items()
        )
        return " ".join((self._clock()[11:19], event, *values))

    def flush(self) -> None:
        """Write the waiting lines; a closed stream is ignored."""
        with self._lock:
            lines, self._lines = self._lines, []
        stream = sys.stderr if self._stream is None else self._stream
        try:
            stream.write("".join(line + "\n" for line in lines))
            stream.flush()
        except (OSError, ValueError):
            return


class LibraryWarnings(logging.Handler):
    """Logs that a library issued a warning, without its text, which may quote a request."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        kind = getattr(record.exc_info[0], "__name__", None) if record.exc_info else None
        level = record.levelname.lower()
        self._log.write("library-warning", logger=record.name, level=level, error=kind)


class AuditLog:
    """A file with one line for every processed image, written before the answer is sent.

    Each line is one append to the file, so several servers may share it. Lines reach the disk
    within a second (``sync``) and when the server stops; a power failure may lose that second. The
    file is created with access for its owner only; links are not followed. A StorageError is raised
    if it cannot be opened.
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
        """Append one line; raise OSError if it is not complete, or the file was removed."""
        if os.fstat(self._handle).st_nlink == 0:
            raise OSError(errno.ENOENT, "the audit log was removed")
        row = {"time": self._clock(), "bundle": bundle, "sha256": sha256, "outcome": outcome}
        line = json.dumps(row).encode() + b"\n"
        if os.write(self._handle, line) != len(line):
            raise OSError("a line of the audit log was written incompletely")
        self._dirty = True

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        with self._lock:
            if self._dirty:
                self._dirty = False
                os.fsync(self._handle)

    def reopen(self) -> None:
        """Open the path again after the old file was moved; on an error, keep the old file."""
        fresh = self._open()
        with self._lock:
            old, self._handle = self._handle, fresh
            os.fsync(old)
            os.close(old)

    def close(self) -> None:
        """Sync and close the file."""
        self.sync()
        os.close(self._handle)

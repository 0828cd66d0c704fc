"""Mutes the libraries of the hospital network, whose messages may quote a patient."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType

__all__ = ["mute_libraries"]

_LOGGERS = ("pynetdicom", "pydicom", "PIL", "pylibjpeg", "libjpeg", "openjpeg")
_RUNNERS = ("asyncio", "concurrent.futures")
"""Loggers that report exceptions which nothing handles."""


def mute_libraries() -> None:
    """Suppress log records and warnings of libraries in this process, from now on.

    An exception that nothing handles is written to standard error as its type and place, without
    its message, whatever the thread.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
    for name in _RUNNERS:
        logger = logging.getLogger(name)
        logger.handlers = [_PlaceHandler()]
        logger.propagate = False
        logger.setLevel(logging.ERROR)
    logging.captureWarnings(False)
    warnings.simplefilter("ignore")
    warnings.showwarning = _show_nothing  # a library may add a filter of its own
    sys.excepthook = lambda kind, _, trace: _write(kind, trace)
    sys.unraisablehook = lambda found: _write(found.exc_type, found.exc_traceback)
    threading.excepthook = lambda found: _write(found.exc_type, found.exc_traceback)


class _PlaceHandler(logging.Handler):
    """Writes type and place of a logged exception, and nothing of the message."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            _write(record.exc_info[0], record.exc_info[2])


def _show_nothing(*_: object, **__: object) -> None:
    pass


def _write(kind: type[BaseException], trace: TracebackType | None) -> None:
    """Write type and place of an exception; SystemExit ends a thread on purpose."""
    if issubclass(kind, SystemExit):
        return
    last = [*traceback.walk_tb(trace)][-1:]
    place = "".join(f" in {Path(f.f_code.co_filename).name}, line {n}" for f, n in last)
    if sys.stderr is not None:
        sys.stderr.write(f"error: unexpected {kind.__name__}{place}\n")

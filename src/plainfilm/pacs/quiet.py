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

_LOGGERS = (
    *("pynetdicom", "pydicom", "dicomweb_client", "urllib3", "requests"),
    *("PIL", "pylibjpeg", "libjpeg", "openjpeg"),
)


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
    logging.captureWarnings(False)
    warnings.simplefilter("ignore")
    warnings.showwarning = _show_nothing  # a library may add a filter of its own
    sys.excepthook = lambda kind, _, trace: _write(kind, trace)
    sys.unraisablehook = lambda found: _write(found.exc_type, found.exc_traceback)
    threading.excepthook = lambda found: _write(found.exc_type, found.exc_traceback)


def _show_nothing(*_: object, **__: object) -> None:
    pass


def _write(kind: type[BaseException], trace: TracebackType | None) -> None:
    """Write type and place of an exception."""
    last = [*traceback.walk_tb(trace)][-1:]
    place = "".join(f" in {Path(f.f_code.co_filename).name}, line {n}" for f, n in last)
    if sys.stderr is not None:
        sys.stderr.write(f"error: unexpected {kind.__name__}{place}\n")

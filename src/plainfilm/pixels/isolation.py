"""Keeps the process-wide settings of libraries fixed while a file is decoded.

The image must depend on the bytes of its file alone, and not on a warning filter that turns a
warning of a library into an exception, or on a setting that another package has changed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from PIL import ImageFile


class Shared:
    """A context manager for many threads: the first enters it, and the last leaves it.

    ``warnings.catch_warnings`` and the like save a process-wide state and restore it. Two threads
    that overlap would each restore the state that the other one set.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._users = 0
        self._held: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._held is None:
                held = self._make()
                held.__enter__()
                self._held = held
            self._users += 1

    def __exit__(self, *details: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._held is not None:
                held, self._held = self._held, None
                held.__exit__(None, None, None)


@contextlib.contextmanager
def muted(*names: str) -> Iterator[None]:
    """Suppress all messages of the loggers of these names and below."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    with contextlib.ExitStack() as undo:
        undo.enter_context(muted("PIL"))
        with contextlib.suppress(OSError):  # there may be no standard error
            kept = os.dup(2)
            undo.callback(os.close, kept)
            if sys.stderr is not None:
                sys.stderr.flush()
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            undo.callback(os.dup2, kept, 2)
        yield


QUIET_STDERR = Shared(_quiet_stderr)
"""For TIFF only: libtiff writes messages to the standard error of the process, and so do the
messages of Pillow if logging has no handler."""


@contextlib.contextmanager
def _isolation() -> Iterator[None]:
    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    # Pillow logs the comments of a file at level debug, and they may name the patient.
    with muted("PIL"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # If another package has set it, Pillow fills the missing half of a file with grey.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = truncated


ISOLATION = Shared(_isolation)
"""Enter it for every call of an image library."""

"""Hold the libraries' process-wide switches still while a file is decoded.

What a file becomes must depend on its bytes alone: not on a warning filter that turns a library's
remark into an exception, nor on a switch that some other package has set.
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
    """A context manager for many threads: the first one in enters it, the last one out leaves it.

    ``warnings.catch_warnings`` and its like save a process-wide state and put it back; two
    threads that overlap would put back each other's.

    Parameters
    ----------
    make
        Makes the context manager that is shared.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0
        self._held: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._held is None:
                held = self._make()
                held.__enter__()
                self._held = held
            self._inside += 1

    def __exit__(self, *details: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._held is not None:
                held, self._held = self._held, None
                held.__exit__(None, None, None)


@contextlib.contextmanager
def muted(*names: str) -> Iterator[None]:
    """Let nothing through of the loggers of these names and those below them."""
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
        # Where there is no standard error there is nothing to silence.
        with contextlib.suppress(OSError):
            kept = os.dup(2)
            undo.callback(os.close, kept)
            if sys.stderr is not None:
                sys.stderr.flush()
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            undo.callback(os.dup2, kept, 2)
        yield


QUIET_STDERR = Shared(_quiet_stderr)
"""For TIFF alone: libtiff writes its remarks straight to the process's standard error, and Pillow
logs its own, which without a handler end there as well."""


@contextlib.contextmanager
def _isolation() -> Iterator[None]:
    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    # Pillow logs the comments of a file, which may say who is shown, to whoever listens to debug.
    with muted("PIL"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Where another package has set it, Pillow would fill the missing half of a file with grey.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = truncated


ISOLATION = Shared(_isolation)
"""Enter it around every call into an image library."""

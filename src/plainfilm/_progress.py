"""Reports the progress of long operations."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Protocol, TextIO


class Progress(Protocol):
    """Callback of long operations: ``progress("decoding images", done, total, "312/s")``."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` steps of ``stage`` are complete."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Report nothing (the default)."""


class ProgressLines:
    """Prints progress as lines: at the start and end of each stage, and at intervals between.

    A stage of one step prints its name and, if it takes more than a second, its duration.

    >>> data = plainfilm.load_dataset("chest_xray")                             # doctest: +SKIP
    >>> plainfilm.train(data, out="run", progress=plainfilm.ProgressLines())       # doctest: +SKIP

    Parameters
    ----------
    file
        Output stream; standard error by default.
    every
        Seconds between the lines of a stage, 0 or more.
    """

    def __init__(self, file: TextIO | None = None, *, every: float = 10.0) -> None:
        self._file, self._every = file, every
        self._stage = ""
        self._began = self._printed = 0.0

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Print the progress if a line is due."""
        now = time.monotonic()
        first = stage != self._stage
        if first:
            self._stage, self._began = stage, now
        elif done < total and now - self._printed < self._every:
            return
        self._printed = now
        spent = now - self._began
        if total == 1:
            line = f"{stage}  {note}" if first else f"{stage}: done in {spent:.0f} s"
            if not first and spent <= 1:
                return
        else:
            # An estimate from the first two seconds would be poor.
            known = spent > 2 and 0 < done < total
            left = f", {spent / done * (total - done):.0f} s left" if known else ""
            line = f"{stage} {done}/{total}  {spent:.0f} s{left}  {note}"
        try:
            print(line.rstrip(), file=self._file or sys.stderr, flush=True)
        except BrokenPipeError:  # the reader of the log has ended, but the work goes on
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), (self._file or sys.stderr).fileno())

"""How long work says where it stands, without knowing who listens."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

__all__ = ["Progress", "ProgressLines", "silent"]


class Progress(Protocol):
    """Called as ``progress("decoding images", done, total, "312/s")``; cheap, and often."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` steps of ``stage`` are over."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Say nothing: the default of every function that takes a ``progress``."""


class ProgressLines:
    """A progress of plain lines: one when a stage begins and ends, and some between.

    A stage of a single step has nothing to count: its name when it begins, and how long it took
    if that was over a second.

    >>> data = plainfilm.load_dataset("chest_xray")                             # doctest: +SKIP
    >>> plainfilm.train(data, out="run", progress=plainfilm.ProgressLines())       # doctest: +SKIP

    Parameters
    ----------
    file
        Where the lines go; None takes standard error.
    every
        Seconds between the lines of a stage, 0 or more.
    """

    def __init__(self, file: TextIO | None = None, *, every: float = 10.0) -> None:
        self._file, self._every = file, every
        self._stage = ""
        self._began = self._told = 0.0

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` steps of ``stage`` are over, if it is time to."""
        now = time.monotonic()
        first = stage != self._stage
        if first:
            self._stage, self._began = stage, now
        elif done < total and now - self._told < self._every:
            return
        self._told = now
        spent = now - self._began
        if total == 1:
            words = f"{stage}  {note}" if first else f"{stage}: done in {spent:.0f} s"
            if not first and spent <= 1:
                return
        else:
            # A guess from the first moments would be a bad one.
            known = spent > 2 and 0 < done < total
            left = f", {spent / done * (total - done):.0f} s left" if known else ""
            words = f"{stage} {done}/{total}  {spent:.0f} s{left}  {note}"
        print(words.rstrip(), file=self._file or sys.stderr, flush=True)

"""How long work says where it stands, without knowing who listens."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called as ``progress("decoding images", done, total, "312/s")``; cheap, and often."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` steps of ``stage`` are over."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Say nothing: the default of every function that takes a ``progress``."""

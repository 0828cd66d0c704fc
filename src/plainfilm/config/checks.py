"""Checks the values of recipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plainfilm.errors import ConfigError

LONGEST_NAME = 200
"""Largest number of characters of the name of a recipe or an operating point."""


def check(condition: bool, problem: str, received: object) -> None:
    """Raise a ConfigError unless a condition holds."""
    if not condition:
        raise ConfigError(problem, received=received)


def check_text(what: str, text: str, least: int = 0) -> None:
    """Check that a text is printable and has ``least`` to `LONGEST_NAME` characters."""
    check(
        least <= len(text) <= LONGEST_NAME and text.isprintable(),
        f"{what} must have {least} to {LONGEST_NAME} printable characters",
        repr(text[:LONGEST_NAME]),
    )


def check_each(config: Any, names: str, holds: Callable[[float], bool], problem: str) -> None:
    """Check several values; ``names`` are like ``fit: epochs batch``."""
    section, _, keys = names.partition(": ")
    for key in keys.split():
        value = getattr(config, key)
        check(holds(value), f"{section}.{key} {problem}", value)

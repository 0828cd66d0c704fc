"""How findings are made: counted, cut to a length that can be read, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plainfilm._text import plural
from plainfilm.records import Finding, Severity

__all__ = ["found", "groups_of", "images", "listed", "share"]

_MAX_FILES = 200
_MAX_GROUPS = 100


def found(
    check: str,
    severity: Severity,
    problem: str,
    files: Iterable[str] = (),
    *,
    count: int | None = None,
    consequence: str = "",
    remedy: str = "",
    groups: Sequence[Sequence[str]] = (),
    exclude: Iterable[str] = (),
) -> Finding:
    """Make a finding; ``count`` is the number of files unless given."""
    files = tuple(files)
    return Finding(
        check=check,
        severity=severity,
        problem=problem,
        count=len(files) if count is None else count,
        files=files[:_MAX_FILES],
        consequence=consequence,
        remedy=remedy,
        groups=tuple(tuple(group) for group in groups[:_MAX_GROUPS]),
        exclude=tuple(exclude),
    )


def images(count: int) -> str:
    """Return ``1 image``, ``2 images``."""
    return plural(count, "image")


def groups_of(count: int) -> str:
    """Return ``1 group of images``, ``2 groups of images``."""
    return plural(count, "group of images", "groups of images")


def listed(items: Sequence[str], most: int = 4) -> str:
    """Return ``a, b and 3 more``."""
    if len(items) <= most:
        return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]
    return f"{', '.join(items[:most])} and {len(items) - most} more"


def share(part: int, whole: int) -> str:
    """Return ``12 %``; below one percent, ``0.2 %``."""
    percent = 100 * part / max(1, whole)
    return f"{percent:.0f} %" if percent >= 1 or part == 0 else f"{percent:.1g} %"

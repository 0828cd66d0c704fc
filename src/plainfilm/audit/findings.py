"""Helpers that make findings and word their counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plainfilm._text import plural
from plainfilm.records import Finding, Severity

SETS = {"train": "training set", "validation": "validation set", "test": "test set"}
"""Names of the splits in sentences."""
_MAX_FILES = 200
_MAX_GROUPS = 100


def make_finding(
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
    """Make a finding; ``count`` is the number of files unless given, and long lists are cut."""
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


def images(count: int, verb: str = "") -> str:
    """Return ``1 image`` or ``2 images``; with the verb ``are``, also ``1 image is``."""
    if not verb:
        return plural(count, "image")
    singular = {"are": "is", "have": "has"}.get(verb, f"{verb}s")
    return plural(count, f"image {singular}", f"images {verb}")


def join_names(names: Sequence[str], limit: int = 4) -> str:
    """Return ``a, b and c``, or beyond the limit ``a, b and 3 more``."""
    if len(names) > limit:
        names = [*names[:limit], f"{len(names) - limit} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def share(part: int, whole: int) -> str:
    """Return ``12 %``; below one percent, ``0.2 %``."""
    percent = 100 * part / max(1, whole)
    return f"{percent:.0f} %" if percent >= 1 or part == 0 else f"{percent:.1g} %"

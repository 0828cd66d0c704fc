"""Defines the listing of one root (a folder or a table), before classes become labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from plainfilm.data.manifest import LeftOut
from plainfilm.records import Finding, Severity, Split

MAX_CLASSES = 100
"""More class names than this are probably patients or studies."""

_MAX_FILES = 200  # in a finding

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(slots=True)
class Item:
    """One image of a root."""

    id: str  # path below the root
    path: str
    real: str  # path without symbolic links; equal for two items that are one file
    label: str | tuple[float, ...]  # class, or 1.0, 0.0, NaN for each of several label columns
    official: Split | None = None  # split that the root assigns
    patient: str | None = None  # identifier from a column; after `assign_patients` the key
    columns: dict[str, str | float] = field(default_factory=dict)  # further columns


@dataclass(slots=True)
class Listing:
    """The images of one root."""

    name: str  # the prefix of ids if there are several roots
    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    labels: tuple[str, ...] | None = None  # names of the label columns, if there are several
    scope: str = ""  # data set of the root; equal patient names mean one patient within it

    def report(
        self,
        check: str,
        severity: Severity,
        problem: str,
        count: int,
        files: Iterable[str] = (),
        **texts: str,
    ) -> None:
        """Add a finding; the arguments are those of :func:`finding`."""
        self.findings.append(finding(check, severity, problem, count, files, **texts))


def finding(
    check: str,
    severity: Severity,
    problem: str,
    count: int,
    files: Iterable[str] = (),
    *,
    consequence: str = "",
    remedy: str = "",
) -> Finding:
    """Return a finding with at most 200 files; its count is exact."""
    return Finding(
        check=check,
        severity=severity,
        problem=problem,
        count=count,
        files=tuple(sorted(files)[:_MAX_FILES]),
        consequence=consequence,
        remedy=remedy,
    )


def describe_unusable(identity: str, path: str, size: int) -> LeftOut:
    """Return the reason to leave out a file that is empty or, with a negative size, missing."""
    if size == 0:
        return LeftOut(identity, path, "empty", "the file is empty (0 bytes)")
    return LeftOut(identity, path, "missing", "the file does not exist")

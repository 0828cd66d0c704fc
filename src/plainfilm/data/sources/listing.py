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
    """One image of a root.

    Attributes
    ----------
    id
        Path below the root.
    path
        Location of the file.
    real
        Location without symbolic links; equal for two items that are one file.
    label
        Name of the class, or a tuple of 1.0, 0.0, NaN if the root has label columns.
    official
        Split that the root assigns.
    patient
        Patient identifier from a column; after ``assign_patients`` the patient key.
    columns
        Further columns of the root.
    """

    id: str
    path: str
    real: str
    label: str | tuple[float, ...]
    official: Split | None = None
    patient: str | None = None
    columns: dict[str, str | float] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    """The images of one root.

    Attributes
    ----------
    name
        Name of the root; the prefix of ids if there are several roots.
    labels
        Names of the label columns if labels are tuples, else None.
    scope
        Data set of the root; equal patient names mean one patient within it.
    """

    name: str
    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    labels: tuple[str, ...] | None = None
    scope: str = ""

    def report(
        self,
        check: str,
        severity: Severity,
        problem: str,
        count: int,
        files: Iterable[str] = (),
        *,
        consequence: str = "",
        remedy: str = "",
    ) -> None:
        """Add a finding."""
        self.findings.append(
            finding(check, severity, problem, count, files, consequence=consequence, remedy=remedy)
        )


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

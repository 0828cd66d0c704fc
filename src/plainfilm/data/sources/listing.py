"""What one root, a folder or a table, says about its images: before classes become labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from plainfilm.data.manifest import LeftOut
from plainfilm.records import Finding, Severity, Split

__all__ = ["MAX_FILES", "SPLIT_NAMES", "Item", "Listing", "finding"]

MAX_FILES = 200
"""How many ids a finding carries; its ``count`` is exact."""

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
    """One image as its root names it.

    Attributes
    ----------
    id
        Path below the root.
    path
        Where it lies.
    real
        The same with symbolic links resolved: what tells whether two items are one file.
    truth
        Name of its class, or a tuple of 1.0, 0.0, NaN where the root has label columns.
    official
        The split that the root puts it in.
    patient
        What a column tells the patient by, in clear; after ``assign_patients`` the patient key.
    columns
        Whatever else the root says.
    """

    id: str
    path: str
    real: str
    truth: str | tuple[float, ...]
    official: Split | None = None
    patient: str | None = None
    columns: dict[str, str | float] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    """The images of one root.

    Attributes
    ----------
    name
        Name of the root, a prefix of ids where there are several.
    labels
        Names of the label columns where ``truth`` is a tuple, else None.
    scope
        The data set that the root is of: within it, equal names of patients mean one patient.
    """

    name: str
    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    labels: tuple[str, ...] | None = None
    scope: str = ""


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
    """Make a finding whose list of files is cut to :data:`MAX_FILES`."""
    return Finding(
        check=check,
        severity=severity,
        problem=problem,
        count=count,
        files=tuple(sorted(files)[:MAX_FILES]),
        consequence=consequence,
        remedy=remedy,
    )

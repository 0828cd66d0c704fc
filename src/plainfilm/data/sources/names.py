"""Reads the patient from the name of a file.

Published data sets without a patient column often have the patient in the file name. A split that
ignores it can put images of one patient into both training and test set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from plainfilm.errors import UsageError

__all__ = ["CONVENTIONS", "Convention", "compile_patient_pattern", "patient_of", "subgroup_of"]


@dataclass(frozen=True, slots=True)
class Convention:
    """A known way of naming files.

    Attributes
    ----------
    name
        Name in findings.
    pattern
        Pattern to search in the path below the root, with forward slashes.
    """

    name: str
    pattern: re.Pattern[str]

    def key(self, path: str) -> str | None:
        """Return the patient in ``path``, or None if the convention does not apply."""
        match = self.pattern.search(path)
        return None if match is None else _join(match)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The kind of pneumonia is part of the key: the numbers of bacteria and virus are separate, so
# person 23 with bacteria and person 23 with a virus may be different patients.
CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        "personN_bacteria_M / personN_virus_M (Kermany 2018)",
        _compile(r"(?:^|/)person(?P<b>\d+)_(?P<a>bacteria|virus)_[^/]*$"),
    ),
    Convention(
        "IM-N-M / NORMAL2-IM-N-M (Kermany 2018)",
        _compile(r"(?:^|/)(?P<a>(?:NORMAL\d*-)?IM-\d+)-\d+[^/]*$"),
    ),
    Convention(
        "NNNNNNNN_MMM (NIH ChestX-ray14)", _compile(r"(?:^|/)(?P<a>\d{8})_\d{3}(?:\.[a-z]+)*$")
    ),
    Convention(
        "patientN/studyM/... (CheXpert)", _compile(r"(?:^|/)(?P<a>patient\d+)/study\d+/[^/]+$")
    ),
    Convention(
        "pN/sM/... (MIMIC-CXR)", _compile(r"(?:^|/)(?P<a>p\d{8})/s\d{8}(?:/[^/]+|\.[a-z]+)$")
    ),
)

_SUBGROUP = _compile(r"(?:^|[_\-/ ])(bacteria|virus)(?:l|[_\-/ .]|$)")


def _join(match: re.Match[str]) -> str | None:
    named = match.groupdict()
    parts = [named[name] for name in sorted(named)] if named else list(match.groups())
    return "-".join(part for part in parts if part) or None


def patient_of(path: str) -> tuple[str, str] | None:
    """Return the patient and the name of the convention, or None.

    Parameters
    ----------
    path
        Path below the root, with forward slashes.

    Examples
    --------
    >>> patient_of("train/PNEUMONIA/person23_virus_7.jpeg")[0]
    'virus-23'
    >>> patient_of("NORMAL/scan.png") is None
    True
    """
    for convention in CONVENTIONS:
        key = convention.key(path)
        if key is not None:
            return key, convention.name
    return None


def subgroup_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` if the file name contains the kind of pneumonia."""
    match = _SUBGROUP.search(path.rsplit("/", 1)[-1])
    return None if match is None else match.group(1).lower()


def compile_patient_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function that reads the patient from a path with a regular expression.

    The expression is searched in the file name; its groups, joined with ``-``, are the patient.

    Raises
    ------
    UsageError
        If the expression is not valid or has no group.
    """
    remedy = r"give an expression with a group for the patient, such as r'^(\d+)_'"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"patient= is not a valid regular expression: {error}",
            received=repr(pattern),
            remedy=remedy,
        ) from error
    if compiled.groups == 0:
        raise UsageError(
            "patient= is neither a column nor a regular expression with a group",
            received=repr(pattern),
            remedy=remedy,
        )

    def key(path: str) -> str | None:
        match = compiled.search(path.rsplit("/", 1)[-1])
        return None if match is None else _join(match)

    return key

"""Reads the patient from the name of a file.

Published data sets without a patient column often have the patient in the file name. A split that
ignores it can put images of one patient into both training and test set.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from plainfilm.errors import UsageError

# The kind of pneumonia is part of the key: the numbers of bacteria and virus are separate, so
# person 23 with bacteria and person 23 with a virus may be different patients.
_CONVENTIONS = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "personN_bacteria_M / personN_virus_M (Kermany 2018)": (
            r"(?:^|/)person(?P<b>\d+)_(?P<a>bacteria|virus)_[^/]*$"
        ),
        "IM-N-M / NORMAL2-IM-N-M (Kermany 2018)": (
            r"(?:^|/)(?P<a>(?:NORMAL\d*-)?IM-\d+)-\d+[^/]*$"
        ),
        "NNNNNNNN_MMM (NIH ChestX-ray14)": r"(?:^|/)(?P<a>\d{8})_\d{3}(?:\.[a-z]+)*$",
        "patientN/studyM/... (CheXpert)": r"(?:^|/)(?P<a>patient\d+)/study\d+/[^/]+$",
        "pN/sM/... (MIMIC-CXR)": r"(?:^|/)(?P<a>p\d{8})/s\d{8}(?:/[^/]+|\.[a-z]+)$",
    }.items()
}
"""Known ways of naming files: name and pattern of the path below the root."""

_SUBGROUP = re.compile(r"(?:^|[_\-/ ])(bacteria|virus)(?:l|[_\-/ .]|$)", re.IGNORECASE)


def _join(match: re.Match[str]) -> str | None:
    named = match.groupdict()
    parts = [named[name] for name in sorted(named)] if named else list(match.groups())
    return "-".join(part for part in parts if part) or None


def patient_of(path: str) -> tuple[str, str] | None:
    """Return the patient and the naming convention of a path below the root, or None.

    Examples
    --------
    >>> patient_of("train/PNEUMONIA/person23_virus_7.jpeg")[0]
    'virus-23'
    >>> patient_of("NORMAL/scan.png") is None
    True
    """
    for name, pattern in _CONVENTIONS.items():
        match = pattern.search(path)
        if match is not None and (patient := _join(match)):
            return patient, name
    return None


def subgroup_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` if the file name contains the kind of pneumonia."""
    match = _SUBGROUP.search(path.rsplit("/", 1)[-1])
    return None if match is None else match.group(1).lower()


def compile_patient_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function that reads the patient from a path with a regular expression.

    The expression is searched in the file name; its groups, joined with ``-``, are the patient.
    An invalid expression or one without a group raises `UsageError`.
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

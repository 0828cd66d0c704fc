"""Who a file belongs to, read from its name.

Data sets that were published without a patient column often carry the patient in the file name.
A split that does not know it puts one child's images on both sides, and the test score lies.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from plainfilm.errors import UsageError

__all__ = ["HABITS", "Habit", "compile_patient_pattern", "patient_of", "subgroup_of"]


@dataclass(frozen=True, slots=True)
class Habit:
    """One known way of naming files.

    Attributes
    ----------
    name
        What it is called in findings.
    pattern
        Searched in the path below the root, with forward slashes.
    """

    name: str
    pattern: re.Pattern[str]

    def key(self, path: str) -> str | None:
        """Return the patient key in ``path``, or None where the habit does not apply."""
        match = self.pattern.search(path)
        return None if match is None else _join(match)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The kind stands before the number in the key: person 23 with bacteria and person 23 with a virus
# are numbered apart and are not known to be the same child.
HABITS: tuple[Habit, ...] = (
    Habit(
        "personN_bacteria_M / personN_virus_M (Kermany 2018)",
        _compile(r"(?:^|/)person(?P<b>\d+)_(?P<a>bacteria|virus)_[^/]*$"),
    ),
    Habit(
        "IM-N-M / NORMAL2-IM-N-M (Kermany 2018)",
        _compile(r"(?:^|/)(?P<a>(?:NORMAL\d*-)?IM-\d+)-\d+[^/]*$"),
    ),
    Habit("NNNNNNNN_MMM (NIH ChestX-ray14)", _compile(r"(?:^|/)(?P<a>\d{8})_\d{3}(?:\.[a-z]+)*$")),
    Habit("patientN/studyM/... (CheXpert)", _compile(r"(?:^|/)(?P<a>patient\d+)/study\d+/[^/]+$")),
    Habit("pN/sM/... (MIMIC-CXR)", _compile(r"(?:^|/)(?P<a>p\d{8})/s\d{8}(?:/[^/]+|\.[a-z]+)$")),
)

_SUBGROUP = _compile(r"(?:^|[_\-/ ])(bacteria|virus)(?:l|[_\-/ .]|$)")


def _join(match: re.Match[str]) -> str | None:
    named = match.groupdict()
    parts = [named[name] for name in sorted(named)] if named else list(match.groups())
    return "-".join(part for part in parts if part) or None


def patient_of(path: str) -> tuple[str, str] | None:
    """Return (patient key, name of the habit) for a path of a known habit.

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
    for habit in HABITS:
        key = habit.key(path)
        if key is not None:
            return key, habit.name
    return None


def subgroup_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` where the file name tells the kind of pneumonia."""
    match = _SUBGROUP.search(path.rsplit("/", 1)[-1])
    return None if match is None else match.group(1).lower()


def compile_patient_pattern(pattern: str) -> Callable[[str], str | None]:
    """Turn a regular expression into a function from path to patient key.

    It is searched in the file name; its groups, joined with ``-``, are the key.

    Raises
    ------
    UsageError
        If it is no regular expression or has no group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"patient= is not a regular expression: {error}",
            received=repr(pattern),
            remedy=r"give one with a group around the patient's key, such as r'^(\d+)_'",
        ) from error
    if compiled.groups == 0:
        raise UsageError(
            "patient= is neither a column nor a regular expression with a group",
            received=repr(pattern),
            remedy=r"put the patient's key in a group, such as r'^(\d+)_'",
        )

    def key(path: str) -> str | None:
        match = compiled.search(path.rsplit("/", 1)[-1])
        return None if match is None else _join(match)

    return key

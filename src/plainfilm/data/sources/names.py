"""Reads patients from file names, by a given pattern or by the naming of published data sets.

A naming convention is a guess. It is used only for a class whose files nearly all have such a name,
and only where the set has the other properties of the published one: series that a viewer
exports as IM-0001-0001 into a folder for each patient are not Kermany's set, and 20240131_001 is a
date.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from plainfilm.data.sources.listing import MAX_CLASSES, Item
from plainfilm.errors import UsageError
from plainfilm.pixels.sniff import RASTER_SUFFIXES

Pattern = Callable[[str], str | None]


class Convention(NamedTuple):
    """A way of naming files: its name, and a pattern of the path below the root."""

    name: str
    pattern: re.Pattern[str]


def _convention(name: str, pattern: str) -> Convention:
    return Convention(name, re.compile(rf"(?:^|/){pattern}$", re.IGNORECASE))


# The kind of pneumonia is part of the key: the numbers of bacteria and virus are separate, so
# person 23 with bacteria and person 23 with a virus may be different patients.
_PERSON = _convention(
    "personN_bacteria_M / personN_virus_M (Kermany 2018)",
    r"person(?P<b>\d+)_(?P<a>bacteria|virus)_[^/]*",
)
_IM = _convention(
    "IM-N-M / NORMAL2-IM-N-M (Kermany 2018)", r"(?P<a>(?:NORMAL\d*-)?IM-\d{4})-\d{4}[^/]*"
)
_MENDELEY = _convention(
    "NORMAL-N-M / BACTERIA-N-M / VIRUS-N-M (Kermany 2018)",
    r"(?:NORMAL|BACTERIA|VIRUS)-(?P<a>\d{4,8})-\d{4}\.[a-z]+",
)
_NIH = _convention("NNNNNNNN_MMM (NIH ChestX-ray14)", r"(?P<a>\d{8})_(?:\d{3})(?:\.[a-z]+)*")
_CHEXPERT = _convention("patientN/studyM/... (CheXpert)", r"(?P<a>patient\d+)/study\d+/[^/]+")
_MIMIC = _convention("pN/sM/... (MIMIC-CXR)", r"(?P<a>p\d{8})/s\d{8}(?:/[^/]+|\.[a-z]+)")
CONVENTIONS = (_PERSON, _IM, _MENDELEY, _NIH, _CHEXPERT, _MIMIC)
FOLDER_CONVENTIONS = (_CHEXPERT, _MIMIC)
"""Conventions that name the folder of a patient."""

_SUBGROUP = re.compile(r"(?:^|[_\-/ ])(bacteria|virus)(?:l|[_\-/ .]|$)", re.IGNORECASE)
_DATE = re.compile(r"(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])")
_NEARLY_ALL = 0.9
_LOOK_AT = 50
_LAST_NIH_PATIENT = 30805
_MAX_FOLDERS = 12


def is_date(text: str) -> bool:
    """Return whether a text is a date such as 20240131 or 2024-01-31."""
    return _DATE.fullmatch(text) is not None


def convention_patients(items: Sequence[Item]) -> list[tuple[str, str] | None]:
    """Return convention and patient of each image of a root, where a class follows conventions."""
    classes: dict[object, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        classes[item.label].append(row)
    if len(classes) > MAX_CLASSES:
        classes = {None: [*range(len(items))]}
    found: dict[int, tuple[str, str]] = {}
    for rows in classes.values():
        looked_at = rows[:: max(1, len(rows) // _LOOK_AT)]
        likely = [c for c in CONVENTIONS if any(c.pattern.search(items[r].id) for r in looked_at)]
        of_class: dict[int, tuple[str, str]] = {}
        for convention in likely:
            of_class |= _follow(convention, rows, items)
        if len(of_class) >= _NEARLY_ALL * len(rows):
            found |= of_class
    return [found.get(row) for row in range(len(items))]


def _follow(
    convention: Convention, rows: Sequence[int], items: Sequence[Item]
) -> dict[int, tuple[str, str]]:
    """Return the patients of the rows that follow a convention; none if its shape is missing."""
    search = convention.pattern.search
    matches = {row: match for row in rows if (match := search(items[row].id))}
    patients = {row: _join(match) for row, match in matches.items()}
    if convention in (_PERSON, _IM, _MENDELEY) and not _is_kermany([items[r] for r in matches]):
        return {}
    if convention is _NIH and not _is_nih([*matches.values()]):
        return {}
    return {row: (convention.name, patient) for row, patient in patients.items() if patient}


def _is_kermany(items: Sequence[Item]) -> bool:
    """Return whether the files are rasters in few folders, with names that do not repeat."""
    if any(os.path.splitext(item.id)[1].lower() not in RASTER_SUFFIXES for item in items):  # noqa: PTH122
        return False
    paths = [item.id.rpartition("/") for item in items]
    if len({folder for folder, _, _ in paths}) > _MAX_FOLDERS:
        return False
    names = {(item.official, path[2].casefold()) for item, path in zip(items, paths, strict=True)}
    files = {item.real for item in items}
    return len(names) >= _NEARLY_ALL * len(files)


def _is_nih(matches: Sequence[re.Match[str]]) -> bool:
    """Return whether the numbers are those of the published set, or at least no dates."""
    numbers = [match["a"] for match in matches]
    if all(int(number) <= _LAST_NIH_PATIENT for number in numbers):
        return True
    if sum(map(is_date, numbers)) >= _NEARLY_ALL * len(numbers):
        return False
    first = {m["a"] for m in matches if m[0].rpartition("_")[2].startswith("000")}
    return 2 * len(first) >= len(Counter(numbers))


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
    for name, pattern in CONVENTIONS:
        if (match := pattern.search(path)) and (patient := _join(match)):
            return patient, name
    return None


def subgroup_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` if the file name contains the kind of pneumonia."""
    match = _SUBGROUP.search(path.rsplit("/", 1)[-1])
    return match[1].lower() if match else None


def compile_patient_pattern(pattern: str) -> Pattern:
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

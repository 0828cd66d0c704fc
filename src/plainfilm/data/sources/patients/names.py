"""Reads patients from file names, by a given pattern or by the naming of published data sets.

A naming convention is a guess. It is used only for a class whose files nearly all have such a name,
and only where the set has the other properties of the published one: series that a viewer
exports as IM-0001-0001 into a folder for each patient are not Kermany's set, and 20240131_001 is a
date.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from plainfilm.data.sources.listing import MAX_CLASSES, Item
from plainfilm.data.sources.options import compile_pattern
from plainfilm.data.sources.patients.identifiers import Node
from plainfilm.errors import UsageError
from plainfilm.pixels.sniff import RASTER_SUFFIXES


class Convention(NamedTuple):
    """A way of naming files; the groups of the pattern, joined with ``-``, are the patient."""

    name: str
    pattern: re.Pattern[str]
    in_folders: bool  # whether the pattern is for the path and not for the file name

    def match(self, path: str) -> re.Match[str] | None:
        """Match a path below the root."""
        if self.in_folders:
            return self.pattern.search(path)
        return self.pattern.fullmatch(path.rpartition("/")[2])


def _convention(name: str, pattern: str, *, in_folders: bool = False) -> Convention:
    pattern = rf"(?:^|/){pattern}$" if in_folders else pattern
    return Convention(name, re.compile(pattern, re.IGNORECASE), in_folders)


# The kind of pneumonia is part of the key: the numbers of bacteria and virus are separate, so
# person 23 with bacteria and person 23 with a virus may be different patients.
_PERSON = _convention(
    "personN_bacteria_M / personN_virus_M (Kermany 2018)",
    r"person(?P<b>\d+)_(?P<a>bacteria|virus)_.*",
)
_IM = _convention(
    "IM-N-M / NORMAL2-IM-N-M (Kermany 2018)", r"(?P<a>(?:NORMAL\d*-)?IM-\d{4})-\d{4}.*"
)
_MENDELEY = _convention(
    "NORMAL-N-M / BACTERIA-N-M / VIRUS-N-M (Kermany 2018)",
    r"(?:NORMAL|BACTERIA|VIRUS)-(?P<a>\d{4,8})-\d{4}\.[a-z].*",
)
_NIH = _convention("NNNNNNNN_MMM (NIH ChestX-ray14)", r"(?P<a>\d{8})_\d{3}(?:\.[a-z]+)*")
_CHEXPERT = _convention(
    "patientN/studyM/... (CheXpert)", r"(?P<a>patient\d+)/study\d+/[^/]+", in_folders=True
)
_MIMIC = _convention(
    "pN/sM/... (MIMIC-CXR)", r"(?P<a>p\d{8})/s\d{8}(?:/[^/]+|\.[a-z]+)", in_folders=True
)
CONVENTIONS = (_PERSON, _IM, _MENDELEY, _NIH, _CHEXPERT, _MIMIC)

_SUBGROUP = re.compile(r"(?:^|[_\-/ ])(bacteria|virus)(?:l|[_\-/ .]|$)", re.IGNORECASE)
_DATE = re.compile(r"(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])")
_NEARLY_ALL = 0.9
_LOOK_AT = 50
# Browsers and services append to an ending: .jpg_large, .jpg!d, .jpg~.
_RASTER = re.compile(
    rf"(?:{'|'.join(map(re.escape, sorted(RASTER_SUFFIXES)))})(?:[_!~ -][a-z0-9]{{0,8}})?"
)
_LAST_NIH_PATIENT = 30805
_MAX_FOLDERS = 24


def is_date(text: str) -> bool:
    """Return whether a text is a date such as 20240131 or 2024-01-31."""
    return _DATE.fullmatch(text) is not None


def convention_patients(items: Sequence[Item]) -> list[Node | None]:
    """Return the patient of each image of a root, in classes whose files follow conventions."""
    classes: dict[object, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        classes[item.label].append(row)
    if len(classes) > MAX_CLASSES:
        classes = {None: [*range(len(items))]}
    found: dict[Convention, dict[int, Node]] = defaultdict(dict)
    for rows in classes.values():
        looked_at = rows[:: max(1, len(rows) // _LOOK_AT)]
        for convention in CONVENTIONS:
            if any(convention.match(items[row].id) for row in looked_at):
                found[convention] |= _follow(convention, rows, items)
    # The shape of a set is that of all its classes: a viewer uses the same names in each.
    valid: dict[int, Node] = {}
    for convention, nodes in found.items():
        if _has_shape(convention, nodes, items):
            valid |= nodes
    result: list[Node | None] = [None] * len(items)
    for rows in classes.values():
        known = [row for row in rows if row in valid] if valid else []
        if len(known) >= _NEARLY_ALL * len(rows):
            for row in known:
                result[row] = valid[row]
    return result


def _follow(convention: Convention, rows: Sequence[int], items: Sequence[Item]) -> dict[int, Node]:
    """Return the patients of the rows whose files have such names."""
    parts = sorted(convention.pattern.groupindex)
    found: dict[int, Node] = {}
    nodes: dict[object, Node] = {}  # one object for each patient saves time
    for row in rows:
        if match := convention.match(items[row].id):
            groups: object = match.group(*parts)
            if (node := nodes.get(groups)) is None:
                identifier = "-".join(match[part] for part in parts)
                node = nodes[groups] = Node(convention.name, identifier)
            found[row] = node
    return found


def _has_shape(convention: Convention, nodes: dict[int, Node], items: Sequence[Item]) -> bool:
    """Return whether the files with such names have the other properties of the published set."""
    if convention in (_PERSON, _IM, _MENDELEY):
        return _is_kermany([items[row] for row in nodes])
    if convention is _NIH:
        return _is_nih([(items[row].id, node.identifier) for row, node in nodes.items()])
    return True


def _is_kermany(items: Sequence[Item]) -> bool:
    """Return whether the files are rasters in few folders, with names that do not repeat."""
    endings = {f".{item.id.lower().rpartition('.')[2]}" for item in items}
    if not all(map(_RASTER.fullmatch, endings)):
        return False
    folders: set[str] = set()
    names: set[str] = set()
    for item in items:
        folder, _, name = item.id.rpartition("/")
        folders.add(folder)
        names.add(f"{item.official}/{name}")  # not a tuple, which is slower
    files = len({item.real for item in items})
    return len(folders) <= _MAX_FOLDERS and len(names) >= _NEARLY_ALL * files


def _is_nih(names: Sequence[tuple[str, str]]) -> bool:
    """Return whether the numbers are those of the published set, or at least no dates."""
    numbers = {number for _, number in names}
    if all(int(number) <= _LAST_NIH_PATIENT for number in numbers):
        return True
    if sum(map(is_date, numbers)) >= _NEARLY_ALL * len(numbers):
        return False
    first = {number for path, number in names if path.rpartition("_")[2].startswith("000")}
    return 2 * len(first) >= len(numbers)


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
    for convention in CONVENTIONS:
        if (match := convention.match(path)) and (patient := _join(match)):
            return patient, convention.name
    return None


def subgroup_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` if the file name contains the kind of pneumonia."""
    name = path.rpartition("/")[2].lower()
    if "virus" not in name and "bacteria" not in name:  # a fast check, for 100,000 files
        return None
    match = _SUBGROUP.search(name)
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression whose groups, joined with ``-``, are the patient."""

    compiled: re.Pattern[str]

    def __call__(self, path: str) -> str | None:
        """Search in the file name of a path."""
        return self.search(path.rpartition("/")[2])

    def search(self, text: str) -> str | None:
        """Search in a text."""
        match = self.compiled.search(text)
        return None if match is None else _join(match)


def compile_patient_pattern(pattern: str) -> Pattern:
    """Compile the regular expression of ``patient=``.

    An invalid expression or one without a group raises `UsageError`.
    """
    remedy = r"give an expression with a group for the patient, such as r'^(\d+)_'"
    compiled = compile_pattern("patient", pattern, remedy)
    if compiled.groups == 0:
        raise UsageError(
            "patient= is neither a column nor a regular expression with a group",
            received=repr(pattern),
            remedy=remedy,
        )
    return Pattern(compiled)

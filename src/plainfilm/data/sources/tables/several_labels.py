"""Reads cells with several labels, such as ``Effusion|Mass`` or ``['effusion', 'mass']``."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import methodcaller

from plainfilm.data.sources.classes.names import denied_by, fold_class, means_no_finding
from plainfilm.data.sources.listing import Listing, split_of_name
from plainfilm.data.sources.tables.label_values import meaning_of
from plainfilm.errors import UsageError
from plainfilm.records import UNKNOWN

_SEPARATORS = ("|", ";", ",")
_MARKS = (*_SEPARATORS, "/", "+", "&")
_MARK = re.compile(r"^\s*\(?\?\)?\s*|\s*\(?\?+\)?\s*$")
_SHOWN = 20
_LIST = re.compile(r"[\[{(].*[\]})]", re.DOTALL)
_PART = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"\s][^,'"]*)""")

Cells = Mapping[str, tuple[str, ...]]
"""The labels of each different cell."""


def split_cells(column: Collection[str], separator: str | None = None) -> tuple[Cells, str] | None:
    """Return the labels of each different cell and how they are separated, or None.

    By default a column has several labels in a cell if most of its cells are lists, or if its
    labels recur: one of those that ``|`` separates, most of those that ``;`` separates, or, since a
    comma is often part of a name, all of those that commas separate, if they are fewer than the
    cells.

    Examples
    --------
    >>> split_cells(["Mass|Edema", "Mass", "Edema"])[0]["Mass|Edema"]
    ('Mass', 'Edema')
    >>> split_cells(["left|right", "above"]) is None
    True
    """
    cells = {cell for cell in column if not _is_blank(cell)}
    if separator:
        return _split_all(cells, lambda cell: cell.split(separator)), f"at {separator!r}"
    lists = sum(_LIST.fullmatch(cell) is not None for cell in cells)
    if lists and 2 * lists >= len(cells):
        return _split_all(cells, _read_list), "as lists"
    for mark in _SEPARATORS:
        if not any(mark in cell for cell in cells):
            continue
        split = _split_all(cells, methodcaller("split", mark))
        plain = [[*map(without_mark, labels)] for labels in split.values()]
        counts = Counter(label for labels in plain for label in labels)
        joint = {label for labels in plain if len(labels) > 1 for label in labels}
        recurring = sum(counts[label] > 1 for label in joint)
        enough = {
            "|": recurring > 0,
            ";": 2 * recurring > len(joint),
            ",": recurring == len(joint) > 0 and len(counts) < len(cells),
        }
        if enough[mark]:
            return split, f"at {mark!r}"
    return None


def _split_all(cells: Collection[str], split: Callable[[str], Sequence[str]]) -> Cells:
    parts = {cell: [part.strip() for part in split(cell)] for cell in cells}
    return {
        cell: tuple(dict.fromkeys(label for label in labels if not _is_blank(label)))
        for cell, labels in parts.items()
    }


def _is_blank(label: str) -> bool:
    return meaning_of(label) == "blank" and label.casefold() != "none"


def _read_list(cell: str) -> Sequence[str]:
    if not _LIST.fullmatch(cell):
        return [cell]
    try:
        parsed = json.loads(cell)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, list) and not any(isinstance(part, list | dict) for part in parsed):
        return ["" if part is None else str(part) for part in parsed]
    return ["".join(found) for found in _PART.findall(cell[1:-1])]


class Labels:
    """The different labels of a column, one spelling of each.

    ``none`` are the labels that mean that there is none and that never stand with another. A label
    that denies one finding, such as ``no effusion``, is the 0 of that label and says nothing of
    the others; these are ``denials``. A question mark makes a label uncertain, and a word such as
    ``uncertain`` all labels that the cell does not name.
    """

    def __init__(self, rows: Iterable[tuple[str, ...]], uncertain: float = UNKNOWN) -> None:
        self._uncertain = uncertain
        counts: Counter[str] = Counter()
        together: set[str] = set()
        marked: set[str] = set()
        for given in rows:
            labels = tuple(without_mark(label) for label in given)
            marked.update(n for n in given if n not in labels or _is_uncertain(n))
            counts.update(labels)
            if len(labels) > 1:
                together.update(labels)
        self._spelling: dict[str, str] = {}
        for label, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            if not _is_uncertain(label):
                self._spelling.setdefault(fold_class(label), label)
        joint = {fold_class(label) for label in together}
        none = {k for k, n in self._spelling.items() if k not in joint and means_no_finding(n)}
        self._denied: dict[str, str | None] = {}
        for key, name in self._spelling.items():
            keys = None if key in none or means_no_finding(name) else denied_by(name)
            if keys is not None:
                denied = next((one for one in keys if one in self._spelling), None)
                if denied or key not in joint:
                    self._denied[key] = denied
        self.marked = sorted(marked)
        self.none = sorted(self._spelling[key] for key in none)
        self.denials = sorted(self._spelling[key] for key in self._denied)
        self.names = sorted(
            (n for k, n in self._spelling.items() if k not in none and k not in self._denied),
            key=str.casefold,
        )

    def find(self, name: str) -> str | None:
        """Return the spelling of a label in the column, or None."""
        return self._spelling.get(fold_class(name))

    def columns(self, cells: Cells) -> dict[str, tuple[float, ...]]:
        """Return 1, 0 or unknown for each label of each different cell."""
        place = {fold_class(name): number for number, name in enumerate(self.names)}
        return {cell: self._values(labels, place) for cell, labels in cells.items()}

    def value(self, cells: Cells, name: str) -> dict[str, float]:
        """Return for each different cell whether it has a label."""
        place = {fold_class(name): 0}
        return {cell: self._values(labels, place)[0] for cell, labels in cells.items()}

    def _values(self, labels: Iterable[str], place: Mapping[str, int]) -> tuple[float, ...]:
        said: dict[int, set[float]] = defaultdict(set)
        other = 0.0
        denials = names = 0
        for label in labels:
            plain = without_mark(label)
            if _is_uncertain(plain):
                other = self._uncertain
                continue
            key = fold_class(plain)
            number, value = place.get(key), self._uncertain if plain != label else 1.0
            if number is None and key in self._denied:
                denials += 1
                number = place.get(self._denied[key] or "")
                value = self._uncertain if plain != label else 0.0
            else:
                names += 1
            if number is not None:
                said[number].add(value)
        if denials and not names and other == 0.0:
            other = UNKNOWN
        values = [other] * len(place)
        for number, found in said.items():
            values[number] = found.pop() if len(found) == 1 else UNKNOWN
        return tuple(values)


def without_mark(label: str) -> str:
    """Return a label without a question mark at its start or end, as in ``Pneumonia?``."""
    return _MARK.sub("", label) or label


def _is_uncertain(label: str) -> bool:
    return meaning_of(label) == "uncertain" and label.casefold() != "u"


def find_mixed(labels: Collection[str], *, every: bool = True) -> tuple[str, str] | None:
    """Return a label that another separator would split into labels, and this separator.

    Without ``every``, one part that is a label is enough, unless the separator is a comma.

    Examples
    --------
    >>> find_mixed(["TB", "Mass", "TB,Mass"]), find_mixed(["COVID+", "COVID-", "rib, left"])
    (('TB,Mass', ','), None)
    """
    keys = {fold_class(label) for label in labels}
    for mark in _MARKS:
        enough = all if every or mark == "," else any
        for label in sorted(labels):
            parts = [fold_class(part.strip()) for part in label.split(mark) if part.strip()]
            if len(set(parts)) > 1 and enough(part in keys for part in parts):
                return label, mark
    return None


def check_positive(listings: Sequence[Listing], positive: str | None) -> None:
    """Raise a `UsageError` if no cell with several labels has the positive one."""
    absent = [one.absent_positive for one in listings if one.absent_positive]
    if absent and all(one.positive is None for one in listings):
        raise UsageError(
            "positive= is not one of the labels",
            received=repr(positive),
            remedy=f"choose one of {absent[0]}",
        )


def join_labels(listings: Sequence[Listing]) -> None:
    """Give all tables with several labels in a cell the same labels; one may lack some of them.

    A label that a table lacks is unknown there, except in images without any label. If all tables
    are named as splits, they are one data set, and it is 0.

    If one table of a data set has cells with several labels, the classes of the others are labels
    as well.
    """
    several = [one for one in listings if one.open_labels]
    if not several or len(listings) < 2:
        return
    classes = [one for one in listings if one.labels is None and one.is_table]
    for one in classes:
        cells = {label: (label,) for label in {str(item.label) for item in one.items}}
        labels = Labels(cells.values())
        values = labels.columns(cells)
        for item in one.items:
            item.label = values[str(item.label)]
        one.labels = tuple(labels.names)
    tables = [*several, *classes]
    spelling: dict[str, str] = {}
    for one in tables:
        for name in one.labels or ():
            spelling.setdefault(fold_class(name), name)
    names = tuple(sorted(spelling.values(), key=str.casefold))
    one_set = all(split_of_name(one.name) for one in tables)
    for one in tables:
        order = [spelling[fold_class(name)] for name in one.labels or ()]
        places = [order.index(name) if name in order else None for name in names]
        for item in one.items:
            given = [*map(float, item.label)]
            absent = 0.0 if one_set or not any(given) else UNKNOWN
            item.label = tuple(absent if at is None else given[at] for at in places)
        one.labels = names
        if lacking := [name for name in names if name not in order]:
            _report_lacking(one, lacking, one_set)


def _report_lacking(listing: Listing, lacking: Sequence[str], one_set: bool) -> None:
    shown = ", ".join(lacking[:_SHOWN]) + ", ..." * (len(lacking) > _SHOWN)
    effect = (
        "0, since the tables are the splits of one data set"
        if one_set
        else "unknown, and as 0 only for images without any label"
    )
    problem = f"{shown} {'occurs' if len(lacking) == 1 else 'occur'} in other tables only; in "
    problem += f"{listing.name} this counts as {effect}"
    listing.report("labels-lacking", "note", problem, len(lacking))

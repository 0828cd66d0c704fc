"""Reads cells with several labels, such as ``Effusion|Mass`` or ``['effusion', 'mass']``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from plainfilm.data.sources.classes.names import fold_class, is_negative_name
from plainfilm.data.sources.listing import Listing
from plainfilm.data.sources.tables.label_values import meaning_of
from plainfilm.errors import UsageError

_SEPARATORS = ("|", ";", ",")
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
        split = _split_all(cells, lambda cell, mark=mark: cell.split(mark))  # type: ignore[misc]
        counts = Counter(label for labels in split.values() for label in labels)
        joint = {label for labels in split.values() if len(labels) > 1 for label in labels}
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

    ``none`` are the labels that mean that there is none and that never stand with another.
    """

    def __init__(self, rows: Iterable[tuple[str, ...]]) -> None:
        counts: Counter[str] = Counter()
        together: set[str] = set()
        for labels in rows:
            counts.update(labels)
            if len(labels) > 1:
                together.update(labels)
        self._spelling: dict[str, str] = {}
        for label, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            self._spelling.setdefault(fold_class(label), label)
        joint = {fold_class(label) for label in together}
        none = {k for k, n in self._spelling.items() if k not in joint and is_negative_name(n)}
        self.none = sorted(self._spelling[key] for key in none)
        self.names = sorted(
            (n for k, n in self._spelling.items() if k not in none), key=str.casefold
        )

    def find(self, name: str) -> str | None:
        """Return the spelling of a label in the column, or None."""
        return self._spelling.get(fold_class(name))

    def columns(self, cells: Cells) -> dict[str, tuple[float, ...]]:
        """Return 1 and 0 for each label of each different cell."""
        place = {name: number for number, name in enumerate(self.names)}
        return {
            cell: _mark(
                {place[n] for label in labels if (n := self.find(label)) in place}, len(place)
            )
            for cell, labels in cells.items()
        }

    def has(self, cells: Cells, name: str) -> dict[str, bool]:
        """Return for each different cell whether it has a label."""
        key = fold_class(name)
        return {cell: key in map(fold_class, labels) for cell, labels in cells.items()}


def _mark(places: set[int], size: int) -> tuple[float, ...]:
    return tuple(float(number in places) for number in range(size))


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
    spelling: dict[str, str] = {}
    for one in [*several, *classes]:
        for name in one.labels or ():
            spelling.setdefault(fold_class(name), name)
    names = tuple(sorted(spelling.values(), key=str.casefold))
    for one in [*several, *classes]:
        order = [spelling[fold_class(name)] for name in one.labels or ()]
        places = [order.index(name) if name in order else None for name in names]
        for item in one.items:
            item.label = tuple(0.0 if at is None else float(item.label[at]) for at in places)
        one.labels = names

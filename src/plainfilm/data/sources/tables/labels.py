"""Reads the labels of the rows of a table."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from plainfilm._text import plural
from plainfilm.data.sources.classes.names import fold_class, is_negative_name
from plainfilm.data.sources.identifying import contains_identity
from plainfilm.data.sources.listing import MAX_CLASSES, Listing
from plainfilm.data.sources.options import SourceOptions
from plainfilm.data.sources.tables.label_values import (
    DROP,
    VALUES,
    LabelPolicy,
    Meaning,
    map_unknown,
    meaning_of,
    plain_cell,
)
from plainfilm.data.sources.tables.several_labels import (
    Cells,
    Labels,
    find_mixed,
    split_cells,
)
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import LabelError, SourceError, UsageError

_GENERIC = frozenset(
    {"label", "labels", "class", "classes", "classname", "category", "target", "targets", "y", "gt"}
    | {"groundtruth", "diagnosis", "result", "outcome"}
)
_MINUS = frozenset("-\u2212")
_INTEGER = re.compile(r"-?\d{1,9}")
_CODE = re.compile("-?(?:9{1,4}|7{2,3}|8{2,3})")  # usual for unknown or not applicable
_MANY = 10  # different numbers that may not be grades
_SHOWN = 20
_MAX_LABELS = 1000  # in cells that surely contain several labels


@dataclass(frozen=True, slots=True)
class NoLabel:
    """Why the image of a row is left out: a code and a sentence."""

    reason: str
    problem: str


Label = str | tuple[float, ...] | NoLabel
"""The class of a row, the values of several labels, or the reason why it has none."""


def read_labels(
    table: Table, names: Sequence[str], options: SourceOptions, listing: Listing
) -> list[Label]:
    """Return the label of each row; sets what the listing says about its labels."""
    class_map = options.get("class_map")
    if class_map and len(names) == 1:
        table.columns[names[0]] = map_unknown(table.columns[names[0]], class_map)
    reader = _Reader(table, options, listing)
    labels = reader.read_columns(names) if len(names) > 1 else reader.read_column(names[0])
    reader.policy.report(listing, reader.counts)
    alone = NoLabel("no-label", "the table of the labels has no row for the image")
    for row in {row for name in names for row in _without_partner(table, name)}:
        labels[row] = alone
    return labels


def _without_partner(table: Table, name: str) -> list[int]:
    return [row for row, partner in enumerate(table.partners.get(name, ())) if not partner]


class _Reader:
    def __init__(self, table: Table, options: SourceOptions, listing: Listing) -> None:
        self.table, self.listing = table, listing
        self.policy = LabelPolicy.of(options)
        self.counts: dict[str, dict[Meaning, int]] = {}
        old = map(plain_cell, map(str, options.get("class_map") or {}))
        self._renamed = {int(name) for name in old if _INTEGER.fullmatch(name)}
        self._separator, self._positive = options.get("separator"), options.get("positive")

    def read_columns(self, names: Sequence[str]) -> list[Label]:
        """Read several columns of 1 and 0."""
        self.listing.labels = tuple(names)
        columns = [self._read_binary(name) for name in names]
        dropped = NoLabel("uncertain", "a label is uncertain")
        return [dropped if DROP in values else values for values in zip(*columns, strict=True)]

    def read_column(self, name: str) -> list[Label]:
        """Read one column of 1 and 0, of class names, or of several labels in a cell."""
        different = set(self._cells(name))
        if split := split_cells(different, self._separator):
            return self._read_several(name, *split)
        meanings = {meaning_of(cell) for cell in different} - {"blank", "uncertain"}
        if meanings and None not in meanings:
            return self._read_two_classes(name)
        return self._read_classes(name)

    def _cells(self, name: str) -> list[str]:
        """Return the cells of a column, with - as 0 where +, ++ is in other cells."""
        cells = self.table.columns[name]
        graded = any(cell and not cell.strip("+") for cell in set(cells))
        return ["0" if cell in _MINUS else cell for cell in cells] if graded else cells

    def _read_binary(self, name: str) -> list[float]:
        cells = self._cells(name)
        values = self.policy.values(set(cells))
        if None in values.values():
            row = next(row for row, cell in enumerate(cells) if values[cell] is None)
            self._reject(name, row, "give several columns of 1, 0 and blank, or one of class names")
        self._count(name)
        return [DROP if (value := values[cell]) is None else value for cell in cells]

    def _reject(self, name: str, row: int, remedy: str) -> None:
        cell = self.table.columns[name][row]
        shown = "another value" if contains_identity(cell) else repr(cell)
        raise LabelError(
            f"the label column {name!r} must contain 1, 0 or blank",
            received=f"{shown} in row {row + 1} of {self.table.path}",
            remedy=remedy,
        )

    def _count(self, name: str) -> None:
        cells = self._cells(name)
        counted = Counter(cells)
        counted.subtract(cells[row] for row in _without_partner(self.table, name))
        found: Counter[Meaning] = Counter()
        for cell, number in counted.items():
            if meaning := meaning_of(cell):
                found[meaning] += number
        self.counts[name] = dict(found)

    def _read_two_classes(self, name: str) -> list[Label]:
        values = self._read_binary(name)
        negative, positive = self._name_classes(name)
        self.listing.positive = positive
        by_value: dict[float, Label] = {1.0: positive, 0.0: negative}
        blank, uncertain = _no_label(name)
        return [
            by_value.get(value) or (uncertain if meaning_of(cell) == "uncertain" else blank)
            for value, cell in zip(values, self._cells(name), strict=True)
        ]

    def _name_classes(self, name: str) -> tuple[str, str]:
        """Return the classes: the values of a column called label, or else the column's name."""
        if _plain(name) not in _GENERIC:
            return negative_name(name), name
        spellings = Counter(map(plain_cell, self._cells(name)))
        found = {
            meaning: cell
            for cell, _ in sorted(spellings.items(), key=lambda pair: (pair[1], pair[0]))
            if (meaning := meaning_of(cell)) in ("yes", "no")
        }
        return found.get("no", "0"), found.get("yes", "1")

    def _read_classes(self, name: str) -> list[Label]:
        cells = self.table.columns[name]
        if self.policy.blank == "negative" and (found := self._read_marks(name)):
            return found
        for option, value in (("blank", self.policy.blank), ("uncertain", self.policy.uncertain)):
            if value in ("negative", "positive"):
                raise UsageError(
                    f"{option}={value} is for labels of 1 and 0, not for class names",
                    received=f"the column {name!r} of {self.table.path}",
                    remedy="leave it out: images without a class are left out",
                )
        blank, uncertain = _no_label(name)
        meanings = {cell: meaning_of(cell) for cell in set(cells)}
        if self._cells(name) is not cells:  # grades such as -, + and ++
            meanings |= dict.fromkeys(_MINUS & meanings.keys(), None)
        self._check_numbers(name, meanings)
        self._check_codes(name, meanings)
        self._count(name)
        self.counts[name]["blank"] = self.counts[name].get("blank", 0) - sum(
            cell.casefold() == "none" for cell in cells
        )
        if self._separator is None:
            self._warn_of_separator(name, [cell for cell, found in meanings.items() if not found])
        labels: dict[str, Label] = {cell: plain_cell(cell) for cell in meanings}
        for cell, meaning in meanings.items():
            if meaning == "blank" and cell.casefold() != "none":
                labels[cell] = blank
            elif meaning == "uncertain":
                labels[cell] = uncertain
        return [labels[cell] for cell in cells]

    def _check_numbers(self, name: str, meanings: dict[str, Meaning | None]) -> None:
        """Reject probabilities, and a word among 1 and 0, which would become classes."""
        others = [cell for cell, meaning in meanings.items() if meaning is None]
        words = [cell for cell in others if not _is_number(cell)]
        fractions = [cell for cell in others if _is_number(cell) and not _is_whole(cell)]
        binary = {m for cell, m in meanings.items() if plain_cell(cell) in ("0", "1")}
        odd = fractions if not words else words if binary >= {"yes", "no"} else []
        if odd:
            row = min(map(self.table.columns[name].index, odd))
            self._reject(name, row, "correct it, or name a column of 1 and 0 or of class names")

    def _read_marks(self, name: str) -> list[Label] | None:
        """Read a column of one class, or of one mark such as x, and blank cells, which mean 0."""
        cells = self.table.columns[name]
        meanings = {cell: meaning_of(cell) for cell in set(cells)}
        classes = Counter(plain_cell(cell) for cell in cells if meanings[cell] is None)
        if len({*map(fold_class, classes)}) != 1 or {*meanings.values()} & {"yes", "no"}:
            return None
        ((mark, _),) = classes.most_common(1)
        is_mark = len(mark) == 1 and not mark.isdigit() and _plain(name) not in _GENERIC
        positive = name if is_mark else mark
        if is_negative_name(positive):
            return None
        self._count(name)
        self.listing.positive = positive
        _, uncertain = _no_label(name)
        labels: dict[Meaning | None, Label] = {None: positive, "blank": negative_name(positive)}
        other = VALUES[self.policy.uncertain]
        labels["uncertain"] = {0.0: labels["blank"], 1.0: positive}.get(other, uncertain)
        return [labels[meanings[cell]] for cell in cells]

    def _check_codes(self, name: str, meanings: dict[str, Meaning | None]) -> None:
        """Reject a column of numbers that is no class, and warn of a usual code for unknown."""
        numbers = {int(c) for c in map(plain_cell, meanings) if _INTEGER.fullmatch(c)}
        rows = len(self.table)
        if len(numbers) >= _MANY and 2 * len(numbers) > rows:
            raise LabelError(
                f"the label column {name!r} has nearly as many values as rows",
                received=f"{len(numbers)} numbers in {plural(rows, 'row')} of {self.table.path}",
                remedy="name the column of the classes with labels=",
            )
        unnamed = numbers - self._renamed
        codes = sorted(n for n in unnamed if _CODE.fullmatch(str(n)) and n - 1 not in numbers)
        if codes and {0, 1} <= numbers:
            shown = " and ".join(map(str, codes))
            self.listing.report(
                "label-codes",
                "warning",
                f"{shown} in the label column {name} of {self.listing.name} "
                f"{'is a usual code' if len(codes) == 1 else 'are usual codes'} for unknown",
                len(codes),
                consequence="it is read as a class of its own",
                remedy="if it means unknown, leave these rows out with where=; "
                "or merge it with another class with class_map=",
            )

    def _read_several(self, name: str, split: Cells, how: str) -> list[Label]:
        cells = self.table.columns[name]
        known = (split[cell] for cell in cells if cell in split)
        labels = Labels(known, VALUES[self.policy.uncertain])
        if self._separator is not None:
            self._warn_of_separator(name, labels.names)
        elif how != "as lists":
            self._check_mixed(name, labels.names, how)
        self._count(name)
        blank, unsure = _no_label(name)
        values: dict[str, Label]
        shown = ", ".join(labels.names[:_SHOWN]) + ", ..." * (len(labels.names) > _SHOWN)
        if self._positive is not None:
            chosen = labels.find(self._positive)
            self.listing.absent_positive = "" if chosen else shown
            self.listing.positive = chosen
            chosen = chosen or self._positive
            classes = (negative_name(chosen), chosen)
            found = labels.value(split, chosen)
            values = {
                c: unsure if one not in (0, 1) else classes[int(one)] for c, one in found.items()
            }
            absent: Label = classes[0]
            used = f"{chosen} or not"
        else:
            guessed = self._separator is None and how != "as lists"
            if len(labels.names) > (MAX_CLASSES if guessed else _MAX_LABELS):
                raise SourceError(
                    f"the column {name!r} has too many different labels",
                    received=f"{len(labels.names)} labels, separated {how}, in {self.table.path}",
                    remedy="name one with positive=, select rows with where=, or name another "
                    "column with labels=",
                )
            self.listing.labels, self.listing.open_labels = tuple(labels.names), True
            nothing = NoLabel("no-label", f"the column {name!r} says nothing of the labels")
            values = {
                cell: unsure if DROP in one else nothing if all(map(math.isnan, one)) else one
                for cell, one in labels.columns(split).items()
            }
            absent = (0.0,) * len(labels.names)
            used = plural(len(labels.names), "label")
        none = f"; {', '.join(labels.none)} means that no label is present" if labels.none else ""
        if labels.denials:
            none += f"; {', '.join(labels.denials[:_SHOWN])} says nothing of other labels"
        if labels.marked:
            none += f"; uncertain labels, such as {labels.marked[0]}, count as "
            none += {"drop": "a reason to leave the image out"}.get(
                self.policy.uncertain, self.policy.uncertain
            )
        problem = f"cells of {name} in {self.listing.name} were separated {how}: {used}{none}"
        self.listing.report("labels-separated", "note", problem, len(cells))
        missing = absent if self.policy.blank == "negative" else blank
        return [values.get(cell, missing) for cell in cells]

    def _check_mixed(self, name: str, labels: Sequence[str], how: str) -> None:
        if mixed := find_mixed(labels):
            raise LabelError(
                f"cells of the column {name!r} are separated in several ways",
                received=f"{mixed[0]!r} as well as its parts, in {self.table.path} separated {how}",
                remedy="write one separator in all cells, or name it with separator= if this is "
                "one label",
            )

    def _warn_of_separator(self, name: str, labels: Sequence[str]) -> None:
        if mixed := find_mixed(labels, every=False):
            self.listing.report(
                "labels-not-separated",
                "warning",
                f"the class {mixed[0]!r} of {name} may be several labels",
                1,
                consequence="it is read as a class of its own",
                remedy="if a cell may have several labels, write one separator in all cells and "
                f"give it, such as separator={mixed[1]!r}",
            )


def _no_label(column: str) -> tuple[NoLabel, NoLabel]:
    """Return why images with a blank and with an uncertain label are left out."""
    return (
        NoLabel("no-label", f"the column {column!r} is blank"),
        NoLabel("uncertain", f"the label in the column {column!r} is uncertain"),
    )


def negative_name(name: str) -> str:
    """Return the name of the class of 0 in a column.

    Examples
    --------
    >>> negative_name("Pneumonia"), negative_name("No Finding")
    ('no Pneumonia', 'not No Finding')
    """
    return f"not {name}" if is_negative_name(name) else f"no {name}"


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ".", 1))
    except ValueError:
        return False
    return True


def _is_whole(cell: str) -> bool:
    return float(cell.replace(",", ".", 1)).is_integer()

"""A CSV or Parquet table that names files and says what is known about each."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plainfilm.data.sources.identifying import (
    is_identifying,
    looks_like_data,
    tells_apart,
    tells_identity,
)
from plainfilm.data.sources.listing import SPLIT_NAMES
from plainfilm.errors import SourceError, UsageError

__all__ = ["TABLE_SUFFIXES", "Columns", "Table", "choose_columns", "is_generic", "read_table"]

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})

_GUESSES = {
    "path": ("file", "path", "image", "filename", "filepath", "imagepath", "imagefile"),
    "label": ("label", "class", "target"),
    "patient": ("patient", "patientid", "patientkey", "subject", "subjectid"),
    "split": ("split", "split", "fold"),
}


@dataclass(slots=True)
class Table:
    """The cells of a table as text, blank where nothing stands; numbers as Parquet has them."""

    path: Path
    columns: dict[str, list[str]]
    ragged: list[int] = field(default_factory=list)  # line numbers

    @property
    def names(self) -> str:
        """The names of the columns, for a message."""
        if looks_like_data(self.columns):
            return f"{len(self.columns)} names that look like data (has the table no header?)"
        return ", ".join(self.columns)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what; ``labels`` has one entry, or several of 1, 0 and blank."""

    path: str
    labels: tuple[str, ...]
    patient: str | None
    split: str | None
    guessed: tuple[str, ...]


def read_table(path: Path) -> Table:
    """Read a table whole, every cell as text.

    Raises
    ------
    SourceError
        If it cannot be read, has no rows, or two columns of one name.
    """
    try:
        if path.suffix.lower() == ".parquet":
            table = _read_parquet(path)
        else:
            table = _read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError("the table cannot be read", received=f"{path}: {error}") from error
    if not table.columns or not next(iter(table.columns.values())):
        raise SourceError("the table has no rows", received=path)
    return table


def _read_csv(path: Path) -> Table:
    with open(path, newline="", encoding="utf-8-sig") as file:
        head = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=head.count)
        rows = csv.reader(file, delimiter=delimiter)
        header = [name.strip() for name in next(rows, [])]
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise SourceError(
                "two columns of the table have one name",
                received=path
                if looks_like_data(header)
                else f"{path}: {', '.join(repr(name) for name in twice)}",
                remedy="rename one of them; the first line must name the columns",
            )
        kept, ragged = [], []
        for row in rows:
            if len(row) == len(header):
                kept.append(row)
            elif row:
                ragged.append(rows.line_num)
    cells = zip(*kept, strict=True) if kept else iter([()] * len(header))
    return Table(
        path,
        {n: [c.strip() for c in column] for n, column in zip(header, cells, strict=True)},
        ragged,
    )


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        columns = parquet.read_table(path).to_pydict()
    except pyarrow.ArrowException as error:
        raise SourceError("the table cannot be read", received=f"{path}: {error}") from error
    return Table(path, {str(n): [_text(cell) for cell in cells] for n, cells in columns.items()})


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def choose_columns(
    table: Table,
    *,
    labels: str | Sequence[str] | None = None,
    patient: str | None = None,
    path_column: str | None = None,
    split_column: str | None = None,
) -> Columns:
    """Settle which column is what: as told, else by the usual names.

    Raises
    ------
    SourceError
        If no column, or more than one, has a usual name; the message lists the columns. If what
        has the usual name of a label says something else in nearly every row.
    UsageError
        If a column that was named is missing, or one of labels is about who a patient is.
    """
    guessed: list[str] = []

    def pick(role: str, argument: str, given: str | None, needed: bool) -> str | None:
        if given is not None:
            return _existing(table, argument, given)
        found = [n for n in table.columns if _plain(n) in _GUESSES[role]]
        if len(found) > 1 or (needed and not found):
            raise SourceError(
                f"{'several columns' if found else 'no column'} could be the {role}"
                + (f": {', '.join(found)}" if found else ""),
                received=f"{table.path} with the columns {table.names}",
                remedy=f"name one with {argument}=",
            )
        if found:
            guessed.append(f"{role} from {found[0]!r}")
        return found[0] if found else None

    path = pick("path", "path_column", path_column, True)
    if labels is None or isinstance(labels, str):
        label = pick("label", "labels", labels, True)
        chosen: tuple[str, ...] = (label,) if label else ()
    else:
        chosen = tuple(_existing(table, "labels", label) for label in labels)
        if not chosen or len(set(chosen)) != len(chosen):
            raise UsageError("labels= needs different columns", received=list(labels))
    for name in chosen:
        # What labels hold becomes names of classes, which go into every file and message.
        cells = table.columns[name]
        values = set(cells) - {""}
        telling = bool(values) and all(map(tells_identity, values))
        apart = tells_apart(cells)
        if apart and labels is None:
            raise SourceError(
                "what is taken for the classes has too many values to be classes",
                received=f"{len(values)} different ones in {len(cells)} rows",
                remedy="name the column of the classes with labels=",
            )
        if is_identifying(name) or telling or apart:
            raise UsageError(
                "labels= names a column that may tell who a patient is",
                received=repr(name),
                remedy="name the column of the classes; if this one is, rename it in the table",
            )
    # What is no column is an expression for file names, and goes before a usual name.
    who = patient if patient in table.columns else None
    if patient is None:
        who = pick("patient", "patient", None, False)
    part = pick("split", "split_column", split_column, False)
    if part and split_column is None and not _names_splits(table.columns[part]):
        guessed.remove(f"split from {part!r}")  # a fold number, say: it stays a column
        part = None
    assert path is not None
    return Columns(path, chosen, who, part, tuple(guessed))


def is_generic(name: str) -> bool:
    """Tell whether a column of this name is a label of whatever, as ``class`` is."""
    return _plain(name) in _GUESSES["label"]


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _existing(table: Table, argument: str, name: str) -> str:
    if name not in table.columns:
        raise UsageError(
            f"{argument}= names a column that the table does not have",
            received=f"{name!r}; {table.path} has {table.names}",
            remedy=f"name one of them with {argument}=",
        )
    return name


def _names_splits(cells: list[str]) -> bool:
    # One known name is enough: what else such a column holds is then a mistake, which is told.
    return any(cell.casefold() in SPLIT_NAMES for cell in cells)

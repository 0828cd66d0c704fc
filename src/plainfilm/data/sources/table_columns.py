"""Reads a CSV or Parquet table of images and chooses its columns."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.sources.identifying import (
    contains_identity,
    is_identifying_name,
    is_nearly_unique,
    looks_like_data,
    name_columns,
)
from plainfilm.data.sources.listing import split_of_name
from plainfilm.data.sources.options import SourceOptions
from plainfilm.data.sources.where import select_rows
from plainfilm.errors import SourceError, UsageError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})

_USUAL_NAMES = {
    "path": ("file", "path", "image", "filename", "filepath", "imagepath", "imagefile"),
    "label": ("label", "class", "target"),
    "patient": ("patient", "patientid", "patientkey", "subject", "subjectid"),
    "split": ("split", "partition", "fold"),
}


@dataclass(slots=True)
class Table:
    """The cells of a table as text, blank if missing; ``ragged`` has the numbers of bad lines."""

    path: Path
    columns: dict[str, list[str]]
    ragged: list[int] = field(default_factory=list)

    @property
    def names(self) -> str:
        """The names of the columns, for a message."""
        return name_columns(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def where(self, expression: str) -> Table:
        """Return the table with the rows that an expression selects (see `select_rows`)."""
        mask = select_rows(expression, self.columns)
        if not mask.any():
            raise SourceError(
                "where= selects no row",
                received=f"{expression!r} on {plural(len(self), 'row')} of {self.path}",
                remedy="compare with values as they are in the table, in upper or lower case",
            )
        columns = {name: [*compress(cells, mask)] for name, cells in self.columns.items()}
        return replace(self, columns=columns)


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns by role; ``labels`` is one class column or several label columns."""

    path: str
    labels: tuple[str, ...]
    patient: str | None
    split: str | None
    guessed: tuple[str, ...]


def read_table(path: Path) -> Table:
    """Read a table, every cell as text."""
    try:
        table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError("the table cannot be read", received=f"{path}: {error}") from error
    if not len(table):
        raise SourceError("the table has no rows", received=path)
    return table


def _read_csv(path: Path) -> Table:
    with open(path, newline="", encoding="utf-8-sig") as file:
        head = file.readline()
        file.seek(0)
        rows = csv.reader(file, delimiter=max(",;\t", key=head.count))
        header = [name.strip() for name in next(rows, [])]
        if repeated := sorted({name for name in header if header.count(name) > 1}):
            raise SourceError(
                "two columns of the table have the same name",
                received=path
                if looks_like_data(header)
                else f"{path}: {', '.join(map(repr, repeated))}",
                remedy="rename one of them; the first line must contain the names of the columns",
            )
        kept, ragged = [], []
        for row in rows:
            if len(row) == len(header):
                kept.append(row)
            elif row:
                ragged.append(rows.line_num)
    cells = zip(*kept, strict=True) if kept else iter([()] * len(header))
    columns = {n: [c.strip() for c in column] for n, column in zip(header, cells, strict=True)}
    return Table(path, columns, ragged)


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        columns = parquet.read_table(path).to_pydict()
    except pyarrow.ArrowException as error:
        raise SourceError("the table cannot be read", received=f"{path}: {error}") from error
    return Table(path, {str(n): [_text(cell) for cell in cells] for n, cells in columns.items()})


def _text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool) or (isinstance(cell, float) and cell.is_integer()):
        return str(int(cell))
    return str(cell).strip()


def choose_columns(table: Table, options: SourceOptions) -> Columns:
    """Choose the columns for path, labels, patient and split, by option or by usual name."""
    labels, patient = options.get("labels"), options.get("patient")
    split_column = options.get("split_column")
    guessed: list[str] = []

    def find(role: str, argument: str, name: str | None, required: bool) -> str | None:
        if name is not None:
            return _existing(table, argument, name)
        found = [n for n in table.columns if _plain(n) in _USUAL_NAMES[role]]
        if len(found) > 1 or (required and not found):
            raise SourceError(
                f"{'several columns' if found else 'no column'} could be the {role}"
                + (f": {', '.join(found)}" if found else ""),
                received=f"{table.path} with the columns {table.names}",
                remedy=f"name the column with {argument}=",
            )
        if found:
            guessed.append(f"{role} from {found[0]!r}")
        return found[0] if found else None

    path = find("path", "path_column", options.get("path_column"), True)
    assert path is not None
    if labels is None or isinstance(labels, str):
        label = find("label", "labels", labels, True)
        chosen: tuple[str, ...] = (label,) if label else ()
    else:
        chosen = tuple(_existing(table, "labels", label) for label in labels)
        if not chosen or len(set(chosen)) != len(chosen):
            raise UsageError("labels= needs different columns", received=list(labels))
    for name in chosen:
        _check_label_column(table, name, guessed=labels is None)
    # A patient= that is not a column is a pattern for file names, which replaces a usual column.
    owner = patient if patient in table.columns else None
    if patient is None:
        owner = find("patient", "patient", None, False)
    split = find("split", "split_column", split_column, False)
    # One known split name is enough; other values in the column are then an error.
    names = set(table.columns[split] if split else ())
    if split and split_column is None and not any(map(split_of_name, names)):
        guessed.remove(f"split from {split!r}")  # for example numbers of folds
        split = None
    return Columns(path, chosen, owner, split, tuple(guessed))


def _check_label_column(table: Table, name: str, *, guessed: bool) -> None:
    """Reject labels that may identify patients, since class names occur in all output."""
    cells = table.columns[name]
    values = set(cells) - {""}
    nearly_unique = is_nearly_unique(cells)
    if nearly_unique and guessed:
        raise SourceError(
            "the column of the classes has too many values",
            received=f"{len(values)} different values in {plural(len(cells), 'row')}",
            remedy="name the column of the classes with labels=",
        )
    if (
        nearly_unique
        or is_identifying_name(name)
        or (bool(values) and all(map(contains_identity, values)))
    ):
        raise UsageError(
            "labels= names a column that may identify patients",
            received=repr(name),
            remedy="name the column of the classes; if it is this one, rename it in the table",
        )


def is_generic(name: str) -> bool:
    """Return whether a label column has a name without meaning, such as ``class``."""
    return _plain(name) in _USUAL_NAMES["label"]


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _existing(table: Table, argument: str, name: str) -> str:
    if name not in table.columns:
        raise UsageError(
            f"{argument}= names a column that does not exist",
            received=f"{name!r}; {table.path} has {table.names}",
            remedy=f"name an existing column with {argument}=",
        )
    return name

"""Checks that a column of labels does not identify patients."""

from __future__ import annotations

from plainfilm._text import plural
from plainfilm.data.sources.identifying import (
    contains_identity,
    is_identifying_name,
    is_nearly_unique,
)
from plainfilm.data.sources.tables.several_labels import (
    split_cells,
)
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError, UsageError


def check_label_column(
    table: Table, name: str, *, separator: str | None = None, guessed: bool = False
) -> None:
    """Reject labels that may identify patients, since class names occur in all output."""
    cells = table.columns[name]
    values = set(cells) - {""}
    if split := split_cells(values, separator):
        cells = [label for cell in cells for label in split[0].get(cell, ())]
        values = set(cells)
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

"""Lists the images that the rows of a table name."""

# A table may name a hundred thousand files, so paths are text here and not Path objects.
# ruff: noqa: PTH100, PTH114, PTH118

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.find_images import find_images
from plainfilm.data.sources.further_columns import keep_further_columns
from plainfilm.data.sources.identifying import contains_identity
from plainfilm.data.sources.listing import Item, Listing
from plainfilm.data.sources.report_images import describe_row, report_images
from plainfilm.data.sources.root_splits import read_splits
from plainfilm.data.sources.table import Table
from plainfilm.data.sources.table_columns import Columns, is_generic
from plainfilm.data.sources.table_files import table_name
from plainfilm.errors import LabelError
from plainfilm.records import UNKNOWN

_YES = frozenset({"1", "1.0", "true", "yes"})
_NO = frozenset({"0", "0.0", "false", "no"})
_BLANK = frozenset({"", "nan", "na", "n/a", "none", "null"})
_UNCERTAIN = frozenset({"-1", "-1.0"})
_BINARY = dict.fromkeys(_YES, 1.0) | dict.fromkeys(_NO, 0.0)
_BINARY |= dict.fromkeys(_BLANK | _UNCERTAIN, UNKNOWN)


def list_table(table: Table, columns: Columns, images: Path | None = None) -> Listing:
    """List the images that a table names, relative to ``images`` or the folder of the table."""
    listing = Listing(name=table_name(table.path), is_table=True)
    base = Path(os.path.abspath(images if images is not None else table.path.parent))
    files = find_images(table.columns[columns.path], base, search=images is not None)
    labels = _read_labels(table, columns, listing)
    splits = read_splits(table, columns.split)
    patients = table.columns[columns.patient] if columns.patient else None
    extra = keep_further_columns(table, columns, listing)
    resolve_folder = cache(os.path.realpath)
    for row, (identity, path) in enumerate(zip(files.ids, files.paths, strict=True)):
        label = labels[row]
        if files.sizes[row] <= 0:
            listing.left_out.append(describe_row(files, row))
        elif label is None:
            problem = f"the column {columns.labels[0]!r} is blank"
            listing.left_out.append(LeftOut(identity, path, "no-label", problem))
        else:
            listing.items.append(
                Item(
                    identity,
                    path,
                    _resolve(path, resolve_folder),
                    label,
                    splits[row],
                    (patients[row] or None) if patients else None,
                    {n: cell for n, cells in extra.items() if (cell := cells[row]) != ""},
                )
            )
    report_images(files, table, columns.path, base, listing)
    _report(table, columns, listing)
    return listing


def _resolve(path: str, resolve_folder: Callable[[str], str]) -> str:
    """Resolve symbolic links in a path, with a cached function for its folder."""
    if os.path.islink(path):
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(resolve_folder(folder), name)


def _read_labels(
    table: Table, columns: Columns, listing: Listing
) -> Sequence[str | tuple[float, ...] | None]:
    """Return the class of each row, or its tuple of labels; None if the class is blank."""
    if len(columns.labels) > 1:
        listing.labels = columns.labels
        cells = [_read_binary(table, name, listing) for name in columns.labels]
        return list(zip(*cells, strict=True))
    name = columns.labels[0]
    column = table.columns[name]
    values = {cell.casefold() for cell in column} - _BLANK
    if not is_generic(name) and values and values <= _YES | _NO | _UNCERTAIN:
        # The name of a column of 1 and 0 is the name of the positive class.
        classes = {1.0: name, 0.0: f"no {name}"}
        return [classes.get(value) for value in _read_binary(table, name, listing)]
    return [None if cell.casefold() in _BLANK - {"none"} else cell for cell in column]


def _read_binary(table: Table, name: str, listing: Listing) -> list[float]:
    words = [cell.casefold() for cell in table.columns[name]]
    for row, cell in enumerate(table.columns[name]):
        if words[row] not in _BINARY:
            shown = "another value" if contains_identity(cell) else repr(cell)
            raise LabelError(
                f"the label column {name!r} must contain 1, 0 or blank",
                received=f"{shown} in row {row + 1} of {table.path}",
                remedy="give several columns of 1, 0 and blank, or one column of class names",
            )
    if uncertain := sum(word in _UNCERTAIN for word in words):
        listing.report(
            "uncertain-labels",
            "note",
            f"{plural(uncertain, 'label')} of {name!r} with the value -1 (uncertain) "
            f"{'counts' if uncertain == 1 else 'count'} as unknown",
            uncertain,
        )
    return [_BINARY[word] for word in words]


def _report(table: Table, columns: Columns, listing: Listing) -> None:
    if columns.guessed:
        listing.report(
            "columns-chosen",
            "note",
            f"columns of {table.path.name} were chosen by their names: "
            + "; ".join(columns.guessed),
            len(columns.guessed),
        )
    for note in table.notes:
        listing.report("lines-skipped", "note", f"{table.path.name}: {note}", 1)
    if table.ragged:
        count = len(table.ragged)
        lines = ", ".join(map(str, table.ragged[:5])) + ", ..." * (count > 5)
        listing.report(
            "ragged-rows",
            "warning",
            f"{plural(count, 'row')} of {table.path.name} with another number of cells than the "
            f"header {'is' if count == 1 else 'are'} not used (lines {lines})",
            count,
            remedy="quote cells that contain the delimiter",
        )

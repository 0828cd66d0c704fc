"""Lists the images that the rows of a table name."""

# A table may name a hundred thousand files, so paths are text here and not Path objects.
# ruff: noqa: PTH100, PTH114, PTH118

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.listing import Item, Listing
from plainfilm.data.sources.options import SourceOptions
from plainfilm.data.sources.tables.columns import Columns
from plainfilm.data.sources.tables.files import table_name
from plainfilm.data.sources.tables.find_images import find_images
from plainfilm.data.sources.tables.further_columns import keep_further_columns
from plainfilm.data.sources.tables.labels import NoLabel, read_labels
from plainfilm.data.sources.tables.reduce import find_reader_columns
from plainfilm.data.sources.tables.report_images import describe_row, report_images
from plainfilm.data.sources.tables.split_columns import (
    read_splits,
    report_other_cells,
    report_split_columns,
)
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError


def list_table(table: Table, columns: Columns, options: SourceOptions) -> Listing:
    """List the images that a table names, relative to ``images=`` or the folder of the table."""
    images = options.get("images")
    listing = Listing(name=table_name(table.path), is_table=True)
    base = Path(os.path.abspath(images if images is not None else table.path.parent))
    if not base.is_dir():
        raise SourceError(
            "images= is not a folder",
            received=images,
            remedy="give the folder in which the images of the table are",
        )
    files = find_images(table.columns[columns.path], base, search=images is not None)
    labels = read_labels(table, columns.labels, options, listing)
    splits = read_splits(table, columns.split)
    report_other_cells(table, columns.split, listing)
    if options.get("split_column") is None:
        used = {columns.path, columns.patient, *columns.labels}
        report_split_columns(table, columns.split, used, listing)
    patients = table.columns[columns.patient] if columns.patient else None
    extra = keep_further_columns(table, columns, listing)
    readers = {name: table.columns[name] for name in _reader_columns(table, columns, options)}
    resolve_folder = cache(os.path.realpath)
    for row, (identity, path) in enumerate(zip(files.ids, files.paths, strict=True)):
        label = labels[row]
        if files.sizes[row] <= 0:
            listing.left_out.append(describe_row(files, row))
        elif isinstance(label, NoLabel):
            listing.left_out.append(LeftOut(identity, path, label.reason, label.problem))
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
                    {n: cell for n, cells in readers.items() if (cell := cells[row].casefold())},
                )
            )
    report_images(files, table, columns.path, base, listing)
    _report(table, columns, listing)
    return listing


def _reader_columns(table: Table, columns: Columns, options: SourceOptions) -> list[str]:
    """Return the columns of readers for the rule majority, also those that are not kept."""
    if options.get("reduce") != "majority":
        return []
    used = {columns.path, columns.patient, columns.split, *columns.labels}
    return find_reader_columns(name for name in table.columns if name not in used)


def _resolve(path: str, resolve_folder: Callable[[str], str]) -> str:
    """Resolve symbolic links in a path, with a cached function for its folder."""
    if os.path.islink(path):
        return os.path.realpath(path)
    folder, separator, name = path.rpartition(os.sep)
    real = resolve_folder(folder or separator)
    # Usually no folder is a link, and joining a hundred thousand paths takes long.
    return path if real == folder else os.path.join(real, name)


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

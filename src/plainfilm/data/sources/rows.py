"""Lists the images that the rows of a table name."""

# A table may name a hundred thousand files, so paths are text here and not Path objects.
# ruff: noqa: PTH100, PTH111, PTH114, PTH116, PTH118, PTH120

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.further_columns import keep_further_columns
from plainfilm.data.sources.identifying import contains_identity, is_identifying_name
from plainfilm.data.sources.listing import Item, Listing, describe_unusable
from plainfilm.data.sources.root_splits import read_splits
from plainfilm.data.sources.table import Table
from plainfilm.data.sources.table_columns import Columns, is_generic
from plainfilm.data.sources.table_files import table_name
from plainfilm.errors import LabelError, SourceError
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
    paths = [_locate(cell, base) for cell in table.columns[columns.path]]
    ids = _name_files(paths, base)
    labels = _read_labels(table, columns, listing)
    splits = read_splits(table, columns.split)
    patients = table.columns[columns.patient] if columns.patient else None
    extra = keep_further_columns(table, columns, listing)
    missing = 0
    resolve_folder = cache(os.path.realpath)
    for row, (identity, path) in enumerate(zip(ids, paths, strict=True)):
        label = labels[row]
        size = _size(path) if path else -1
        if size <= 0:
            missing += size < 0
            listing.left_out.append(describe_unusable(identity, path, size))
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
    if missing == len(paths):
        first = table.columns[columns.path][0]
        private = is_identifying_name(columns.path) or contains_identity(first)
        raise SourceError(
            "none of the files in the table exists",
            received=f"{plural(missing, 'file')} in the column {columns.path!r} below {base}"
            if private
            else f"{plural(missing, 'file')}, the first is {first!r} at {paths[0] or base}",
            remedy="give the base folder of the paths with images=, or another column with "
            "path_column=",
        )
    _report(table, columns, missing, listing)
    return listing


def _locate(cell: str, base: Path) -> str:
    if not cell:
        return ""
    cell = cell if os.sep == "\\" else cell.replace("\\", "/")  # a path from Windows
    return os.path.normpath(os.path.join(base, os.path.expanduser(cell)))


def _name_files(paths: list[str], base: Path) -> list[str]:
    """Return ids: paths below the base folder or, for other files, below their common folder."""
    root = f"{base}{os.sep}"
    outside = [path for path in paths if path and not path.startswith(root)]
    try:
        common = os.path.commonpath([os.path.dirname(path) for path in outside]) if outside else ""
    except ValueError:  # on several drives
        common = ""
    ids: list[str] = []
    for row, path in enumerate(paths):
        if path.startswith(root):
            identity = path[len(root) :]
        elif path:
            identity = os.path.relpath(path, common) if common else path
        else:
            identity = f"row {row + 1}"
        ids.append(identity.replace(os.sep, "/"))
    inside = {i for i, path in zip(ids, paths, strict=True) if path.startswith(root)}
    return [
        path.replace(os.sep, "/").lstrip("/") if i in inside and not path.startswith(root) else i
        for i, path in zip(ids, paths, strict=True)
    ]


def _resolve(path: str, resolve_folder: Callable[[str], str]) -> str:
    """Resolve symbolic links in a path, with a cached function for its folder."""
    if os.path.islink(path):
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(resolve_folder(folder), name)


def _size(path: str) -> int:
    """Return the size of a regular file, or -1."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


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


def _report(table: Table, columns: Columns, missing: int, listing: Listing) -> None:
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
    if missing:
        listing.report(
            "missing-files",
            "warning",
            f"{plural(missing, 'file')} in {table.path.name} "
            f"{'does' if missing == 1 else 'do'} not exist",
            missing,
            [item.id for item in listing.left_out if item.reason == "missing"],
            remedy="check that the data set is complete",
        )
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

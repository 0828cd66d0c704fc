"""The rows of a table become items: where each file is, and what is known about it."""

# A table may name a hundred thousand files: their paths stay text, not objects.
# ruff: noqa: PTH100, PTH111, PTH114, PTH116, PTH118, PTH120

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.columns import Columns, Table, is_generic
from plainfilm.data.sources.folders import leave_out
from plainfilm.data.sources.identifying import (
    is_identifying,
    is_number,
    looks_like_data,
    tells_apart,
    tells_identity,
)
from plainfilm.data.sources.listing import SPLIT_NAMES, Item, Listing, finding
from plainfilm.errors import LabelError, SourceError
from plainfilm.records import UNKNOWN, Finding

__all__ = ["list_table", "without_telling_columns"]

_YES = frozenset({"1", "1.0", "true", "yes"})
_NO = frozenset({"0", "0.0", "false", "no"})
_BLANK = frozenset({"", "nan", "na", "n/a", "none", "null"})
_UNCERTAIN = frozenset({"-1", "-1.0"})


def list_table(table: Table, columns: Columns, images: Path | None = None) -> Listing:
    """List the images that a table names.

    Parameters
    ----------
    images
        Folder that relative paths start from; where None, the table's own.

    Raises
    ------
    SourceError
        If none of the files exists, or a split has an unknown name.
    LabelError
        If a label column holds something else than 1, 0 and blank.
    """
    listing = Listing(name=table.path.stem)
    base = Path(os.path.abspath(images if images is not None else table.path.parent))
    paths = [_locate(cell, base) for cell in table.columns[columns.path]]
    ids = _identify(paths, base)
    truth = _truth(table, columns, listing)
    splits = _split_cells(table, columns)
    patients = table.columns[columns.patient] if columns.patient else None
    extra = _further_columns(table, columns, listing)
    missing = 0
    resolve = _Resolver()
    for row, (identity, path) in enumerate(zip(ids, paths, strict=True)):
        value = truth[row]
        size = _size(path) if path else -1
        if size <= 0:
            missing += size < 0
            listing.left_out.append(leave_out(identity, path, size))
        elif value is None:
            what = f"the column {columns.labels[0]!r} is blank"
            listing.left_out.append(LeftOut(identity, path, "no-label", what))
        else:
            listing.items.append(
                Item(
                    identity,
                    path,
                    resolve(path),
                    value,
                    SPLIT_NAMES.get(splits[row].casefold()),
                    (patients[row] or None) if patients else None,
                    {n: cell for n, cells in extra.items() if (cell := cells[row]) != ""},
                )
            )
    if missing == len(paths):
        raise SourceError(
            f"none of the {missing} files that the table names exists",
            received=f"{columns.path!r}, looked for below {base}"
            if is_identifying(columns.path) or tells_identity(table.columns[columns.path][0])
            else f"{columns.path!r} = {table.columns[columns.path][0]!r}, looked for at "
            f"{paths[0] or base}",
            remedy="give the folder that the paths start from with images=, "
            "or another column with path_column=",
        )
    _note(table, columns, missing, listing)
    return listing


def _locate(cell: str, base: Path) -> str:
    if not cell:
        return ""
    cell = cell if os.sep == "\\" else cell.replace("\\", "/")  # written on Windows
    return os.path.normpath(os.path.join(base, os.path.expanduser(cell)))


def _identify(paths: list[str], base: Path) -> list[str]:
    """Name files by their path below the base; those elsewhere below what they have in common."""
    home = f"{base}{os.sep}"
    away = [path for path in paths if path and not path.startswith(home)]
    try:
        common = os.path.commonpath([os.path.dirname(path) for path in away]) if away else ""
    except ValueError:  # on several drives
        common = ""
    ids: list[str] = []
    for row, path in enumerate(paths):
        if path.startswith(home):
            identity = path[len(home) :]
        elif path:
            identity = os.path.relpath(path, common) if common else path
        else:
            identity = f"row {row + 1}"
        ids.append(identity.replace(os.sep, "/"))
    inside = {i for i, path in zip(ids, paths, strict=True) if path.startswith(home)}
    return [
        path.replace(os.sep, "/").lstrip("/") if i in inside and not path.startswith(home) else i
        for i, path in zip(ids, paths, strict=True)
    ]


class _Resolver:
    """Resolve links, asking about each folder once: a table names many files of few folders."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], name)


def _size(path: str) -> int:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _truth(
    table: Table, columns: Columns, listing: Listing
) -> Sequence[str | tuple[float, ...] | None]:
    if len(columns.labels) > 1:
        listing.labels = columns.labels
        cells = [_binary_cells(table, name, listing) for name in columns.labels]
        return list(zip(*cells, strict=True))
    name = columns.labels[0]
    column = table.columns[name]
    values = {cell.casefold() for cell in column} - _BLANK
    named = not is_generic(name)
    if named and values and values <= _YES | _NO | _UNCERTAIN:
        # One column of 1 and 0 is named after what 1 means.
        words = {1.0: name, 0.0: f"no {name}"}
        return [words.get(value) for value in _binary_cells(table, name, listing)]
    return [None if cell.casefold() in _BLANK - {"none"} else cell for cell in column]


def _binary_cells(table: Table, name: str, listing: Listing) -> list[float]:
    values: list[float] = []
    uncertain = 0
    for row, cell in enumerate(table.columns[name]):
        word = cell.casefold()
        if word in _YES:
            values.append(1.0)
        elif word in _NO:
            values.append(0.0)
        elif word in _BLANK or word in _UNCERTAIN:
            values.append(UNKNOWN)
            uncertain += word in _UNCERTAIN
        else:
            raise LabelError(
                f"the label column {name!r} must hold 1, 0 or nothing",
                received=f"{'another value' if tells_identity(cell) else repr(cell)} "
                f"in row {row + 1} of {table.path}",
                remedy="give several columns of 1, 0 and blank, or one column of class names",
            )
    if uncertain:
        listing.findings.append(
            finding(
                "uncertain-labels",
                "note",
                f"{uncertain} labels of {name!r} are -1 (uncertain); they are taken as unknown",
                uncertain,
            )
        )
    return values


def _split_cells(table: Table, columns: Columns) -> list[str]:
    if columns.split is None:
        return [""] * len(table.columns[columns.path])
    cells = table.columns[columns.split]
    strange = sorted({cell for cell in cells if cell and cell.casefold() not in SPLIT_NAMES})
    if strange:
        raise SourceError(
            f"the split column {columns.split!r} holds unknown names",
            received=f"{len(strange)} of them"
            if is_identifying(columns.split) or any(map(tells_identity, strange))
            else ", ".join(strange[:5]),
            remedy=f"use {', '.join(SPLIT_NAMES)} or nothing",
        )
    return cells


def _further_columns(
    table: Table, columns: Columns, listing: Listing
) -> dict[str, Sequence[str | float]]:
    """Return what else the table says, without what may tell who a patient is."""
    used = {columns.path, columns.patient, columns.split, *columns.labels}
    patients = table.columns[columns.patient] if columns.patient else None
    kept: dict[str, Sequence[str | float]] = {}
    out, emptied = [], []
    for name, cells in table.columns.items():
        if name in used:
            continue
        if is_identifying(name) or cells == patients or tells_identity(name):
            out.append(name)
            continue
        telling = {cell for cell in set(cells) if cell and tells_identity(cell)}
        if telling:
            cells = ["" if cell in telling else cell for cell in cells]
        if tells_apart(cells, patients):
            out.append(name)
            continue
        if telling:
            emptied.append(name)
        kept[name] = _numbers(cells)
    if out or emptied:
        parts = [f"columns {', '.join(out)}"] if out else []
        parts += (
            [f"cells (UIDs, dates, names, long text) of {', '.join(emptied)}"] if emptied else []
        )
        what = " and ".join(parts)
        if looks_like_data(table.columns):  # the first row of a table that has no header
            what = f"cells of {len(out) + len(emptied)} columns"
        listing.findings.append(
            finding(
                "identity-columns",
                "note",
                f"{what} of {table.path.name} may tell who a patient is and are not kept",
                len(out) + len(emptied),
                remedy="rename a column that is about something else",
            )
        )
    return kept


def without_telling_columns(listing: Listing) -> list[Finding]:
    """Take out the columns that differ from patient to patient, now that patients are known.

    While a table is read they are known from a column only; here also from names and headers of
    files, so that a name that stands in every row of one patient is seen.
    """
    owners = [item.patient or item.id for item in listing.items]
    names = {name: None for item in listing.items for name in item.columns}
    cells = {name: [str(item.columns.get(name, "")) for item in listing.items] for name in names}
    out = [name for name in names if tells_apart(cells[name], owners)]
    if not out:
        return []
    for item in listing.items:
        item.columns = {n: cell for n, cell in item.columns.items() if n not in out}
    told = f"{len(out)} columns" if looks_like_data(names) else f"columns {', '.join(out)}"
    return [
        finding(
            "identity-columns",
            "note",
            f"{told} of {listing.name} say something else of nearly every patient, may tell who "
            "it is, and are not kept",
            len(out),
        )
    ]


def _numbers(cells: list[str]) -> Sequence[str | float]:
    """Turn a column of plain decimal numbers into floats; codes such as 007 stay text."""
    for cell in cells:
        if cell and not is_number(cell):
            return cells
    return [float(cell) if cell else "" for cell in cells]


def _note(table: Table, columns: Columns, missing: int, listing: Listing) -> None:
    if columns.guessed:
        guessed = "; ".join(columns.guessed)
        what = f"columns of {table.path.name} were taken by their names: {guessed}"
        listing.findings.append(finding("columns-taken", "note", what, len(columns.guessed)))
    if missing:
        gone = [item.id for item in listing.left_out if item.reason == "missing"]
        listing.findings.append(
            finding(
                "missing-files",
                "warning",
                f"{missing} files that {table.path.name} names do not exist",
                missing,
                gone,
                remedy="check that the data set was unpacked whole",
            )
        )
    if table.ragged:
        lines = ", ".join(map(str, table.ragged[:5]))
        listing.findings.append(
            finding(
                "ragged-rows",
                "warning",
                f"{len(table.ragged)} rows of {table.path.name} have another number of cells than "
                f"the header and are not used (lines {lines}{', ...' * (len(table.ragged) > 5)})",
                len(table.ragged),
                remedy="quote cells that hold the separator",
            )
        )

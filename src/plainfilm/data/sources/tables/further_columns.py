"""Keeps the further columns of a table that do not identify patients."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm._text import plural
from plainfilm.data.sources.identifying import (
    contains_identity,
    is_identifying_name,
    is_nearly_unique,
    is_number,
    looks_like_data,
)
from plainfilm.data.sources.listing import Listing, finding
from plainfilm.data.sources.tables.columns import Columns
from plainfilm.data.sources.tables.table import Table
from plainfilm.records import Finding


def keep_further_columns(
    table: Table, columns: Columns, listing: Listing
) -> dict[str, Sequence[str | float]]:
    """Return the columns without a role, except columns and cells that may identify patients."""
    used = {columns.path, columns.patient, columns.split, *columns.labels}
    patients = table.columns[columns.patient] if columns.patient else None
    kept: dict[str, Sequence[str | float]] = {}
    dropped, emptied = [], []
    for name, cells in table.columns.items():
        if name in used:
            continue
        if is_identifying_name(name) or cells == patients or contains_identity(name):
            dropped.append(name)
            continue
        identifying = {cell for cell in set(cells) if cell and contains_identity(cell)}
        if identifying:
            cells = ["" if cell in identifying else cell for cell in cells]
        if is_nearly_unique(cells, patients):
            dropped.append(name)
            continue
        emptied += [name] if identifying else []
        kept[name] = _to_numbers(cells)
    if dropped or emptied:
        _report(table, dropped, emptied, listing)
    return kept


def _report(table: Table, dropped: list[str], emptied: list[str], listing: Listing) -> None:
    count = len(dropped) + len(emptied)
    parts = [f"columns {', '.join(dropped)}"] if dropped else []
    if emptied:
        parts.append(f"cells with UIDs, dates, names or long text in {', '.join(emptied)}")
    removed = " and ".join(parts)
    if looks_like_data(table.columns):  # the header may be a row of data
        removed = f"cells of {plural(count, 'column')}"
    listing.report(
        "identity-columns",
        "note",
        f"{removed} of {table.path.name} may identify patients and were not kept",
        count,
        remedy="rename a column if it does not identify patients",
    )


def _to_numbers(cells: list[str]) -> Sequence[str | float]:
    """Convert a column to floats if all its cells are plain decimal numbers or blank."""
    different = set(cells) - {""}
    if not all(map(is_number, different)):
        return cells
    numbers: dict[str, str | float] = {"": "", **{cell: float(cell) for cell in different}}
    return [numbers[cell] for cell in cells]


def drop_unique_columns(listing: Listing) -> list[Finding]:
    """Drop the columns that differ between nearly all patients, once patients are assigned.

    :func:`keep_further_columns` knows only the patients of a column. Patients from file names and
    DICOM headers also reveal a name that is repeated in all rows of a patient.
    """
    owners = [item.patient or item.id for item in listing.items]
    names = {name: None for item in listing.items for name in item.columns}
    dropped = [
        name
        for name in names
        if is_nearly_unique([str(item.columns.get(name, "")) for item in listing.items], owners)
    ]
    if not dropped:
        return []
    for item in listing.items:
        item.columns = {n: cell for n, cell in item.columns.items() if n not in dropped}
    count = len(dropped)
    shown = plural(count, "column") if looks_like_data(names) else f"columns {', '.join(dropped)}"
    problem = (
        f"{shown} of {listing.name} may identify patients, since they differ between nearly all "
        "patients, and were not kept"
    )
    return [finding("identity-columns", "note", problem, count)]

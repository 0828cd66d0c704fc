"""Groups records by the values of their columns and metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import Manifest
from plainfilm.data.metadata import Metadata
from plainfilm.evaluation.view import Floats

_MOST = 12  # a column with more values holds names, not groups
_AGES = (18.0, 40.0, 65.0)
_METADATA = ("view", "sex", "age", "laterality", "manufacturer", "photometric", "modality")


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The names of the groups of records, and the group of each record, -1 without a value."""

    name: str
    values: tuple[str, ...]
    codes: NDArray[np.intp]  # (n,)


def collect_columns(
    manifest: Manifest, metadata: Metadata | None = None
) -> dict[str, Sequence[str | float | None]]:
    """Return the columns of the records and the metadata (n,) of their files, by name.

    A column takes precedence over a metadata field of the same name.
    """
    columns: dict[str, Sequence[str | float | None]] = {
        name: manifest.records.column(name) for name in manifest.records.column_names
    }
    if metadata is None:
        return columns
    taken = {name.casefold() for name in columns}
    fields = (name for name in _METADATA if name in metadata.names - taken)
    return columns | {name: metadata.values(name) for name in fields}


def group_columns(columns: Mapping[str, Sequence[str | float | None]]) -> list[Column]:
    """Return the columns (n,) that have 2 to 12 groups.

    Numbers with more than six different values are binned: ages at 18, 40 and 65 years, others
    into thirds.
    """
    found = (_group(name, values) for name, values in columns.items())
    return [column for column in found if column is not None]


def _group(name: str, given: Sequence[str | float | None]) -> Column | None:
    listed = np.asarray(given).tolist() if hasattr(given, "dtype") else given
    cells = [None if cell != cell else cell for cell in listed]  # NaN is not equal to itself
    # Each different cell is read once.
    known = [cell for cell in dict.fromkeys(cells) if not _missing(cell)]
    numbers = [cell for cell in known if isinstance(cell, int | float)]
    if known and len(numbers) == len(known) > 6:
        value_of = dict.fromkeys(cells, math.nan) | {one: float(one) for one in numbers}
        return _bin(name, np.fromiter(map(value_of.__getitem__, cells), np.float64, len(cells)))
    texts = {cell: _text(cell) for cell in known if cell is not None}
    kinds = sorted({text for text in texts.values() if text})
    if not 2 <= len(kinds) <= _MOST:
        return None
    codes = {kind: number for number, kind in enumerate(kinds)}
    code_of = dict.fromkeys(cells, -1) | {c: codes.get(text, -1) for c, text in texts.items()}
    return Column(
        name, tuple(kinds), np.fromiter(map(code_of.__getitem__, cells), np.intp, len(cells))
    )


def _bin(name: str, values: Floats) -> Column | None:
    """Return groups of numbers (n,), NaN where missing."""
    is_age = name.casefold() in ("age", "patient age", "patient_age", "patientage")
    edges = np.unique(_AGES if is_age else np.nanquantile(values, [1 / 3, 2 / 3]))
    codes = np.searchsorted(edges, values, side="right").astype(np.intp)
    codes[np.isnan(values)] = -1
    if len(np.unique(codes[codes >= 0])) < 2:
        return None
    shown = [f"{edge:g}" for edge in edges]
    between = (f"{low} to below {high}" for low, high in pairwise(shown))
    return Column(name, (f"below {shown[0]}", *between, f"{shown[-1]} and above"), codes)


def _missing(value: str | float | None) -> bool:
    if value is None:
        return True
    return math.isnan(value) if isinstance(value, float) else str(value).strip() == ""


def _text(value: str | float) -> str:
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value).strip()

"""Converts between Arrow columns and the texts and numbers of records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = Any
"""A `pyarrow.Table`; pyarrow has no types."""
Column = Any
"""A `pyarrow.Array` or `pyarrow.ChunkedArray`."""
Value = str | float | None


def encode_texts(table: Table) -> Table:
    """Return a table in which each different text of splits and further columns is held once."""
    import pyarrow

    for place, field in enumerate(table.schema):
        if field.type == pyarrow.string() and field.name not in ("id", "path", "patient"):
            table = table.set_column(place, field.name, table[place].dictionary_encode())
    return table.replace_schema_metadata(None).combine_chunks()


def to_names(values: str | Iterable[str | None], count: int) -> Column:
    """Return a column of a few different texts, null where they are empty."""
    import pyarrow

    given = [values] * count if isinstance(values, str) else values
    return pyarrow.array([str(one) if one else None for one in given], "string").dictionary_encode()


def to_cells(cells: Iterable[Value]) -> Column:
    """Return a further column; numbers in a column that has texts become texts."""
    import pyarrow

    values = [*cells]
    if any(isinstance(value, str) for value in values):
        values = [None if value is None else str(value) for value in values]
        return pyarrow.array(values, "string").dictionary_encode()
    return pyarrow.array(values, "float64")


def codes_of(column: Column) -> tuple[NDArray[np.intp], list[str]]:
    """Return the codes (n,) and texts of a dictionary column; -1 is no text."""
    array = column.unify_dictionaries().combine_chunks()
    codes: NDArray[np.intp] = array.indices.fill_null(-1).to_numpy().astype(np.intp)
    return codes, array.dictionary.to_pylist()


def texts_of(column: Column) -> NDArray[np.str_]:
    """Return the texts (n,) of a dictionary column; an empty one where it is null."""
    codes, names = codes_of(column)
    return np.array([*names, ""], np.str_)[codes]

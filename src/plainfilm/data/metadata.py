"""Holds the metadata of many files in columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Value = str | float

_AT_ONCE = 4096  # rows that are mappings at the same time


class Metadata(Sequence[Mapping[str, Value]]):
    """The metadata of files, one row for each file.

    Indexing and iteration make mappings of names to values, which are not kept; slices are
    `Metadata`. Work on many files uses `numbers` and `values`, in the order of the files.

    Examples
    --------
    >>> metadata = Metadata.of([{"format": "png", "width": 40}, {"width": 30.5}])
    >>> metadata[0]
    {'format': 'png', 'width': 40}
    >>> metadata.numbers("width").tolist(), metadata.values("format")
    ([40.0, 30.5], ['png', None])
    """

    def __init__(self, count: int, **numbers: NDArray[np.float64]) -> None:
        """Hold rows that have only these ``numbers``, (n,) each."""
        self._count = count
        # Numbers are float64, NaN for none. Texts are int32 positions in `_texts`, -1 for none.
        self._columns: dict[tuple[str, type], NDArray[Any]] = {
            (name, float): column for name, column in numbers.items()
        }
        self._texts: list[str] = []
        self._codes: dict[str, int] = {}  # positions of the texts

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Value]]) -> Metadata:
        """Return rows in columns."""
        if isinstance(rows, Metadata):
            return rows
        metadata = cls(len(rows))
        metadata.put(np.arange(len(rows)), rows)
        return metadata

    def put(self, at: NDArray[np.intp], rows: Sequence[Mapping[str, Value]]) -> None:
        """Set rows that are still empty; numbers must be finite."""
        for name in dict.fromkeys(name for row in rows for name in row):
            cells = [row.get(name) for row in rows]
            if any(isinstance(cell, str) for cell in cells):
                codes = [self._encode(cell) if isinstance(cell, str) else -1 for cell in cells]
                self._column(name, str)[at] = codes
            if any(isinstance(cell, int | float) for cell in cells):
                numbers = [cell if isinstance(cell, int | float) else math.nan for cell in cells]
                self._column(name, float)[at] = numbers

    def _encode(self, text: str) -> int:
        code = self._codes.setdefault(text, len(self._texts))
        if code == len(self._texts):
            self._texts.append(text)
        return code

    def _column(self, name: str, kind: type) -> NDArray[Any]:
        if (name, kind) not in self._columns:
            empty = np.full(self._count, -1, np.int32) if kind is str else _no_numbers(self._count)
            self._columns[name, kind] = empty
        return self._columns[name, kind]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Value]: ...

    @overload
    def __getitem__(self, index: slice) -> Metadata: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, Value] | Metadata:
        if isinstance(index, slice):
            return self.take(range(self._count)[index])
        row = range(self._count)[index]  # raises an IndexError, and counts from the end
        return self._rows(slice(row, row + 1))[0]

    def __iter__(self) -> Iterator[Mapping[str, Value]]:
        for start in range(0, self._count, _AT_ONCE):
            yield from self._rows(slice(start, start + _AT_ONCE))

    def _rows(self, part: slice) -> list[dict[str, Value]]:
        rows: list[dict[str, Value]] = [{} for _ in range(self._count)[part]]
        for (name, _), column in self._columns.items():
            cells, known = column[part], np.flatnonzero(_known(column[part]))
            for row, value in zip(known.tolist(), self._decode(cells[known]), strict=True):
                rows[row][name] = value
        return rows

    def _decode(self, cells: NDArray[Any]) -> list[Value]:
        if cells.dtype == np.int32:
            return [self._texts[code] for code in cells.tolist()]
        return [int(x) if x.is_integer() and abs(x) < 2**53 else x for x in cells.tolist()]

    @property
    def names(self) -> frozenset[str]:
        """Names that at least one file has."""
        columns = self._columns.items()
        return frozenset(name for (name, _), column in columns if _known(column).any())

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Metadata:
        """Return these rows, in this order."""
        chosen = np.asarray(rows, np.intp)
        part = Metadata(len(chosen))
        part._columns = {key: column[chosen] for key, column in self._columns.items()}
        part._texts, part._codes = self._texts, self._codes
        return part

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return the numbers of a name, (n,), NaN where a file has none."""
        column = self._columns.get((name, float))
        return _no_numbers(self._count) if column is None else column.copy()

    def values(self, name: str) -> list[Value | None]:
        """Return the numbers and texts of a name, (n,), None where a file has neither."""
        values: NDArray[np.object_] = np.full(self._count, None, object)
        for kind in (float, str):
            if (column := self._columns.get((name, kind))) is not None:
                known = _known(column)
                values[known] = self._decode(column[known])
        listed: list[Value | None] = values.tolist()
        return listed


def _no_numbers(count: int) -> NDArray[np.float64]:
    return np.full(count, np.nan)


def _known(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which cells of a column have a value."""
    known: NDArray[np.bool_] = column >= 0 if column.dtype == np.int32 else ~np.isnan(column)
    return known

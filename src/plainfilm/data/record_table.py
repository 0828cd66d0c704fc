"""Holds the records of a data set in Arrow columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.data.arrow_columns import Table, Value, codes_of, texts_of, to_cells, to_names
from plainfilm.errors import LabelError
from plainfilm.records import UNKNOWN, Record

Rows = Sequence[int] | NDArray[np.intp]

EXTRA = "column."
"""Start of the names of further columns in the table."""

_AT_ONCE = 4096  # rows that are records at the same time


class Records(Sequence[Record]):
    """The records of a data set as a table.

    Indexing and iteration make :class:`~plainfilm.records.Record` objects, which are not kept;
    slices are `Records`. Work on many records uses the columns, whose values are in the order of
    the records.
    """

    __slots__ = ("_labels", "_table")

    def __init__(self, table: Table, labels: NDArray[np.float32]) -> None:
        """Hold ``labels`` (n, labels) and a table of the other fields, see `from_columns`."""
        self._table = table
        self._labels = labels
        self._labels.flags.writeable = False

    @classmethod
    def from_columns(
        cls,
        labels: NDArray[np.float32],
        columns: Mapping[str, Iterable[Value]] | None = None,
        **fields: Iterable[str | None],
    ) -> Self:
        """Make records from ``labels`` (n, labels), ``columns`` and other fields (n,).

        The fields are ``id``, ``path``, ``patient`` and optionally ``split`` and ``official``,
        where an empty text is None.
        """
        import pyarrow

        text = pyarrow.string()
        arrays = {name: pyarrow.array(fields[name], text) for name in ("id", "path", "patient")}
        for name in ("split", "official"):
            arrays[name] = to_names(fields.get(name, ""), len(labels))
        for name, cells in (columns or {}).items():
            arrays[EXTRA + name] = to_cells(cells)
        return cls(pyarrow.table(arrays), labels.copy())

    @classmethod
    def of(cls, records: Iterable[Record], width: int) -> Records:
        """Return records as a table; a `LabelError` is raised if one has not ``width`` labels."""
        if isinstance(records, Records):
            return records
        records = tuple(records)
        for record in records:
            if len(record.labels) != width:
                raise invalid_labels(record, width)
        names = dict.fromkeys(name for record in records for name in record.columns)
        return cls.from_columns(
            np.array([one.labels for one in records], np.float32).reshape(-1, width),
            {name: [one.columns.get(name) for one in records] for name in names},
            id=[one.id for one in records],
            path=[str(one.path) for one in records],
            patient=[one.patient for one in records],
            split=[one.split for one in records],
            official=[one.official for one in records],
        )

    def __len__(self) -> int:
        return len(self._labels)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        row = range(len(self))[index]  # raises an IndexError, and counts from the end
        return _to_records(self._table.slice(row, 1), self._labels[row : row + 1])[0]

    def __iter__(self) -> Iterator[Record]:
        for start in range(0, len(self), _AT_ONCE):
            rows = self._labels[start : start + _AT_ONCE]
            yield from _to_records(self._table.slice(start, _AT_ONCE), rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Records) -> Records:
        import pyarrow

        both = pyarrow.concat_tables([self._table, other._table], promote_options="default")
        labels = np.concatenate([self._labels, other._labels])
        return Records(both.unify_dictionaries().combine_chunks(), labels)

    def __repr__(self) -> str:
        return f"<{plural(len(self), 'record')}>"

    @property
    def table(self) -> Table:
        """All fields except the labels."""
        return self._table

    @property
    def labels(self) -> NDArray[np.float32]:
        """Labels, (n, labels): 1, 0 or NaN for unknown; not writable."""
        return self._labels

    @property
    def ids(self) -> NDArray[np.str_]:
        """Ids, (n,)."""
        return np.array(self._table["id"].to_pylist(), np.str_)

    @property
    def paths(self) -> list[str]:
        """Locations of the files, (n,)."""
        paths: list[str] = self._table["path"].to_pylist()
        return paths

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient keys, (n,)."""
        return np.array(self._table["patient"].to_pylist(), np.str_)

    @property
    def splits(self) -> NDArray[np.str_]:
        """Splits, (n,); an empty text for a record without one."""
        return texts_of(self._table["split"])

    @property
    def officials(self) -> NDArray[np.str_]:
        """Splits that the source assigns, (n,); an empty text for a record without one."""
        return texts_of(self._table["official"])

    @property
    def known_splits(self) -> NDArray[np.str_]:
        """Splits, (n,), or official splits of records without one."""
        splits = self.splits
        return np.where(splits != "", splits, self.officials)

    @property
    def groups(self) -> NDArray[np.intp]:
        """Number of the patient of each record, (n,), in the order of their first records."""
        return codes_of(self._table["patient"].dictionary_encode())[0]

    @property
    def patient_count(self) -> int:
        """Number of patients."""
        return int(self.groups.max(initial=-1)) + 1

    @property
    def has_patients(self) -> bool:
        """Whether the patient of a record is known, and its key is not its id."""
        return not bool(self._table["patient"].equals(self._table["id"]))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the further columns that have a value."""
        table, n = self._table, len(self)
        names = (name for name in table.column_names if name.startswith(EXTRA))
        return tuple(name[len(EXTRA) :] for name in names if table[name].null_count < n)

    def column(self, name: str) -> list[Value]:
        """Return the values of a further column, (n,), None where a record has none."""
        import pyarrow

        column = self._table[EXTRA + name]
        if pyarrow.types.is_dictionary(column.type):
            codes, names = codes_of(column)
            cells: list[Value] = [*names, None]
            return [cells[code] for code in codes.tolist()]
        values: list[Value] = column.to_pylist()
        return values

    def repeated_id(self) -> str | None:
        """Return an id that several records have, the first of the most frequent ones."""
        import pyarrow.compute as compute

        ids = self._table["id"]
        if compute.count_distinct(ids).as_py() == len(ids):
            return None
        (repeated, _), *_ = Counter(map(str, ids.to_pylist())).most_common(1)
        return repeated

    def order(self) -> NDArray[np.intp]:
        """Return the rows in the order of their ids."""
        import pyarrow.compute as compute

        rows: NDArray[np.intp] = compute.sort_indices(self._table["id"]).to_numpy()
        return rows.astype(np.intp)

    def find(self, identity: str) -> Record | None:
        """Return the record with this id."""
        import pyarrow.compute as compute

        row = compute.index(self._table["id"], identity).as_py()
        return None if row < 0 else self[row]

    def contains_ids(self, ids: Collection[str]) -> NDArray[np.bool_]:
        """Return which records have one of these ids, (n,)."""
        import pyarrow
        import pyarrow.compute as compute

        values = pyarrow.array(ids, pyarrow.string())
        mask: NDArray[np.bool_] = compute.is_in(self._table["id"], values).to_numpy()
        return mask

    def ids_where(self, mask: NDArray[np.bool_]) -> list[str]:
        """Return the ids of the records that a mask (n,) selects."""
        ids: list[str] = self._table["id"].filter(mask).to_pylist()
        return ids

    def take(self, rows: Rows) -> Records:
        """Return these records, in this order."""
        chosen = np.asarray(rows, np.intp)
        return Records(self._table.take(chosen), self._labels[chosen])

    def where(self, mask: NDArray[np.bool_]) -> Records:
        """Return the records that a mask (n,) selects."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def with_column(self, name: str, cells: Iterable[Value]) -> Records:
        """Return the records with another further column, (n,)."""
        import pyarrow

        columns = pyarrow.table({EXTRA + name: to_cells(cells)})
        kept = [one for one in self._table.column_names if one != EXTRA + name]
        table = self._table.select(kept).append_column(EXTRA + name, columns[0])
        return Records(table, self._labels)

    def replace(
        self, *, labels: NDArray[np.float32] | None = None, **fields: str | Iterable[str]
    ) -> Records:
        """Return the records with other labels, paths, splits or official splits.

        A field is ``path``, ``split`` or ``official``; a single text is for all records, and an
        empty one is no split.
        """
        import pyarrow

        table = self._table
        for name, values in fields.items():
            is_path = name == "path"
            column = pyarrow.array(values, "string") if is_path else to_names(values, len(self))
            table = table.set_column(table.column_names.index(name), name, column)
        return Records(table, self._labels if labels is None else labels.copy())


def invalid_labels(record: Record, width: int) -> LabelError:
    """Return the error for a record without ``width`` valid labels."""
    return LabelError(
        f"a record must have {plural(width, 'label')} of 1, 0 or NaN",
        received=f"{record.id}: {record.labels}",
    )


def _to_records(table: Table, labels: NDArray[np.float32]) -> list[Record]:
    cells: dict[str, list[Any]] = table.to_pydict()
    extra = {name[len(EXTRA) :]: cells.pop(name) for name in [*cells] if name.startswith(EXTRA)}
    rows = [tuple(v if v == v else UNKNOWN for v in row) for row in labels.tolist()]
    return [
        Record(
            **dict(zip(cells, fields, strict=True)),
            labels=rows[row],
            columns={n: cell for n, own in extra.items() if (cell := own[row]) is not None},
        )
        for row, fields in enumerate(zip(*cells.values(), strict=True))
    ]

"""Converts records to Parquet tables and back."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plainfilm._files import open_regular, reason_of
from plainfilm.errors import SourceError
from plainfilm.records import Record

Table = Any
"""A `pyarrow.Table`; pyarrow has no types."""

_KEY = "plainfilm."
_LABEL = "label."
_COLUMN = "column."


def labels_to_json(labels: Sequence[float]) -> list[int | None]:
    """Return labels as 1, 0 and None for unknown."""
    return [None if math.isnan(value) else int(value) for value in labels]


def encode_records(
    records: Sequence[Record], labels: Sequence[str], metadata: Mapping[str, str]
) -> bytes:
    """Return a Parquet file with one row for each record and the metadata in its schema."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    text = arrow.string()
    arrays: dict[str, Any] = {
        name: arrow.array([getattr(record, name) for record in records], text)
        for name in ("id", "path", "patient", "split", "official")
    }
    # Absolute, since the reader may run in another folder.
    arrays["path"] = arrow.array([str(Path(r.path).absolute()) for r in records], text)
    for number, label in enumerate(labels):
        cells = [labels_to_json(r.labels)[number] for r in records]
        arrays[_LABEL + label] = arrow.array(cells, arrow.int8())
    for name in sorted({name for record in records for name in record.columns}):
        values: list[Any] = [record.columns.get(name) for record in records]
        # A column that is text in one source and numbers in another becomes text.
        is_text = any(isinstance(value, str) for value in values)
        if is_text:
            values = [None if value is None else str(value) for value in values]
        arrays[_COLUMN + name] = arrow.array(values, text if is_text else arrow.float64())
    table = arrow.table(arrays).replace_schema_metadata(
        {_KEY + key: value for key, value in metadata.items()}
    )
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def read_parquet(path: Path) -> tuple[Table, dict[str, str]]:
    """Read a table and the metadata in its schema."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        open_regular(path).close()
        table = parquet.read_table(path)
    except FileNotFoundError as error:
        raise SourceError("the manifest does not exist", received=path) from error
    except (OSError, pyarrow.ArrowException) as error:
        raise SourceError(
            "the manifest cannot be read",
            received=f"{path}: {reason_of(error)}",
            remedy="create it again from the data",
        ) from error
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    start = _KEY.encode()
    return table, {
        key.removeprefix(start).decode(): value.decode()
        for key, value in metadata.items()
        if key.startswith(start)
    }


def decode_records(table: Table, labels: Sequence[str]) -> tuple[Record, ...]:
    """Return the records of a table that :func:`encode_records` wrote."""
    columns: dict[str, list[Any]] = table.to_pydict()
    rows = zip(*(columns[_LABEL + label] for label in labels), strict=True)
    extra = {n[len(_COLUMN) :]: cells for n, cells in columns.items() if n.startswith(_COLUMN)}
    # Equal values share one object, since all records are in memory at once.
    shared: dict[Any, Any] = {}
    records = []
    for row, values in enumerate(rows):
        known = tuple(math.nan if value is None else float(value) for value in values)
        split, official = columns["split"][row], columns["official"][row]
        records.append(
            Record(
                id=columns["id"][row],
                path=columns["path"][row],
                labels=shared.setdefault(values, known),
                patient=columns["patient"][row],
                split=shared.setdefault(split, split),
                official=shared.setdefault(official, official),
                columns={n: c[row] for n, c in extra.items() if c[row] is not None},
            )
        )
    return tuple(records)

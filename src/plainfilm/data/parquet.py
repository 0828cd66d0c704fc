"""Converts records to Parquet tables and back."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from plainfilm._files import open_regular, reason_of
from plainfilm.data.arrow_columns import Table, encode_texts
from plainfilm.data.record_table import EXTRA, Records
from plainfilm.errors import SourceError
from plainfilm.records import UNKNOWN

_KEY = "plainfilm."
_LABEL = "label."


def labels_to_json(labels: Sequence[float]) -> list[int | None]:
    """Return labels as 1, 0 and None for unknown."""
    return [None if math.isnan(value) else int(value) for value in labels]


def encode_records(records: Records, labels: Sequence[str], metadata: Mapping[str, str]) -> bytes:
    """Return a Parquet file with one row for each record and the metadata in its schema."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    text, table = arrow.string(), records.table
    arrays = {
        name: table[name].cast(text) for name in ("id", "path", "patient", "split", "official")
    }
    # Absolute, since the reader may run in another folder.
    arrays["path"] = arrow.array([str(Path(path).absolute()) for path in records.paths], text)
    for number, label in enumerate(labels):
        cells = records.labels[:, number]
        arrays[_LABEL + label] = arrow.array(cells, arrow.int8(), mask=np.isnan(cells))
    for name in sorted(records.column_names):
        column = table[EXTRA + name]
        is_text = arrow.types.is_dictionary(column.type)
        arrays[EXTRA + name] = column.cast(text) if is_text else column
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


def decode_records(table: Table, labels: Sequence[str]) -> Records:
    """Return the records of a table that :func:`encode_records` wrote."""
    columns = [table[_LABEL + label].cast("float32").fill_null(UNKNOWN) for label in labels]
    fields = table.drop_columns([_LABEL + label for label in labels])
    return Records(encode_texts(fields), np.column_stack(columns))

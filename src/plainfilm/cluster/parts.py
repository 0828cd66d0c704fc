"""Writes and checks the Parquet files of parts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

from plainfilm._files import canonical_json, parse_json

__all__ = ["encode_part", "open_part"]

_IDENTITY = b"plainfilm.identity"
_COUNTS = b"plainfilm.counts"


def encode_part(table: Any, identity: str, counts: Mapping[str, int]) -> bytes:
    """Return a table as a Parquet file with the hash of its job and its rows by reason."""
    import pyarrow.parquet as parquet

    metadata = {_IDENTITY: identity.encode(), _COUNTS: canonical_json(counts).encode()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd", write_page_checksum=True)
    return file.getvalue()


def open_part(file: BinaryIO, identity: str, rows: int) -> tuple[Any, dict[str, int]]:
    """Return a part as a `ParquetFile`, and its rows by reason.

    Raises a ValueError, TypeError, OSError or ArrowException if it is damaged, of another job, or
    has another number of rows.
    """
    import pyarrow.parquet as parquet

    opened = parquet.ParquetFile(file, page_checksum_verification=True)
    metadata = opened.schema_arrow.metadata or {}
    if metadata.get(_IDENTITY) != identity.encode():
        raise ValueError("it is of another job")
    if opened.metadata.num_rows != rows:
        raise ValueError(f"it has {opened.metadata.num_rows} rows, not {rows}")
    return opened, dict(parse_json(metadata.get(_COUNTS, b"")))

"""A job that does nothing with its rows, for script/nightly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plainfilm.cluster.job import ChunkResult
from plainfilm.cluster.plan import Row


@dataclass(frozen=True)
class NullJob:
    """Writes the URI of each row."""

    name = "score"

    def identity(self) -> dict[str, Any]:
        """Return a model that does not exist."""
        return {"bundle": "null"}

    def open(self) -> NullWorker:
        """Return a worker."""
        return NullWorker()


class NullWorker:
    """Writes the URI of each row."""

    def run(self, rows: Sequence[Row], chunk_rows: int) -> ChunkResult:
        """Return the URIs, and that there is no result."""
        import pyarrow

        return ChunkResult(pyarrow.table({"uri": [row.uri for row in rows]}), {"null": len(rows)})

    def close(self) -> None:
        """End nothing."""

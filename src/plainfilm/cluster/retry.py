"""Works again on rows that have a temporary error, such as a file that could not be reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from plainfilm.cluster.job import ChunkResult, Worker
from plainfilm.cluster.ledger import Ledger
from plainfilm.cluster.plan import Chunk
from plainfilm.decoding.decode import TEMPORARY

__all__ = ["find_retried", "run_again"]


def find_retried(ledger: Ledger, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return the chunks whose parts have rows with a temporary error."""
    return [chunk for chunk, counts in ledger.counts(chunks) if TEMPORARY & counts.keys()]


def run_again(ledger: Ledger, worker: Worker, chunk: Chunk) -> ChunkResult:
    """Return the part of a chunk with new rows in place of those with a temporary error."""
    import pyarrow as arrow

    table, planned = ledger.read(chunk), ledger.plan.rows(chunk)
    reasons = table["reason"].to_pylist()
    rows = [row for row, reason in enumerate(reasons) if reason in TEMPORARY]
    result = worker.run([planned[row] for row in rows], chunk.rows)
    order = [*range(len(table))]
    for number, row in enumerate(rows):
        order[row] = len(table) + number
    ((_, before),) = ledger.counts([chunk])
    counts = Counter(before)
    counts.subtract(Counter(reasons[row] for row in rows))
    counts.update(result.counts)
    merged = arrow.concat_tables([table, result.table.cast(table.schema)]).take(order)
    return ChunkResult(merged, +counts)

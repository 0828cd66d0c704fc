"""Describes how far the job of an output is, from its files alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from plainfilm._document import Document
from plainfilm._text import plural, printable
from plainfilm.cluster.ledger import IDENTITIES, PARTS, Ledger, open_stored
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Chunk
from plainfilm.cluster.stores import Entry
from plainfilm.errors import UsageError

__all__ = ["Status", "describe_status", "read_status"]

_WINDOW = 600.0  # seconds before now whose parts give the rate


@dataclass(frozen=True, slots=True)
class Status(Document):
    """How far a job is.

    Attributes
    ----------
    job
        ``score`` or ``audit``.
    rows, chunks
        Planned rows and chunks.
    rows_done, chunks_done
        Those that have a part.
    finished
        Whether all parts are there and were checked after the last one was written.
    counts
        Rows that are done, by reason why they have no result.
    failed
        Chunks that failed in all attempts, with the reason of the last.
    left_out
        Entries of the archive that were not planned, by reason.
    rate
        Rows a second in the last ten minutes; None if there were none.
    seconds_left
        Estimate from the rate, or None.
    """

    SCHEMA: ClassVar[int] = 1
    COMPLETE: ClassVar[bool] = True

    job: str
    rows: int
    chunks: int
    rows_done: int
    chunks_done: int
    finished: bool
    counts: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    rate: float | None = None
    seconds_left: float | None = None


def read_status(out: str | Path) -> Status:
    """Return how far the job of an output is; nothing is written, and processes may work on it.

    Raises
    ------
    UsageError
        If there is no job, or its plan is not complete.
    RunError
        If a part is damaged.
    """
    store = open_store(out)
    for document in IDENTITIES:
        if (ledger := open_stored(store, document)) is not None:
            return _read(ledger)
    raise UsageError(
        f"{store.uri} has no job with a complete plan",
        remedy="give the output of plainfilm score; while the archive is listed, try again later",
    )


def _read(ledger: Ledger) -> Status:
    """Return the status of a job."""
    parts = {entry.name: entry for entry in ledger.store.entries(PARTS)}
    chunks = list(ledger.plan.chunks())
    done = [(chunk, parts[chunk.part]) for chunk in chunks if chunk.part in parts]
    end = ledger.done() if len(done) == len(chunks) else None
    counts: Counter[str] = Counter(None if end is None else end.counts)
    if end is None:
        for _, own in ledger.counts([chunk for chunk, _ in done]):
            counts.update(own)
    rows = sum(chunk.rows for chunk, _ in done)
    rate = None if end is not None else _rate(done, time.time())
    return Status(
        job=ledger.document.removesuffix(".json"),
        rows=len(ledger.plan),
        chunks=len(chunks),
        rows_done=rows,
        chunks_done=len(done),
        finished=end is not None,
        counts=dict(sorted(counts.items())),
        failed=ledger.failed(),
        left_out=ledger.plan.index.left_out,
        rate=rate,
        seconds_left=None if rate is None else (len(ledger.plan) - rows) / rate,
    )


def _rate(done: Sequence[tuple[Chunk, Entry]], now: float) -> float | None:
    """Return the rows a second since the first part, but not longer than ten minutes ago."""
    start = max(now - _WINDOW, min((entry.modified for _, entry in done), default=now))
    rows = sum(chunk.rows for chunk, entry in done if entry.modified > start)
    return rows / (now - start) if rows and now > start else None


def describe_status(status: Status) -> list[str]:
    """Return a status as lines of text.

    Examples
    --------
    >>> status = Status("score", 10_000, 3, 8192, 2, False, rate=64.0, seconds_left=28.25)
    >>> print(*describe_status(status), sep="\\n")
    score of 10,000 images in 3 chunks
    done: 8,192 images, 2 chunks (81 %)
    64 images a second, 28 s left
    """
    lines = [
        f"{status.job} of {plural(status.rows, 'image')} in {plural(status.chunks, 'chunk')}",
        f"done: {plural(status.rows_done, 'image')}, {plural(status.chunks_done, 'chunk')} "
        f"({status.rows_done * 100 // status.rows} %)",
    ]
    if status.finished:
        lines.append("finished")
    elif status.rate is not None and status.seconds_left is not None:
        lines.append(
            f"{_rounded(status.rate)} images a second, {_duration(status.seconds_left)} left"
        )
    for words, counts in (("no result", status.counts), ("not planned", status.left_out)):
        if counts:
            ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
            lines.append(f"{words}: " + ", ".join(f"{count:,} {why}" for why, count in ordered))
    lines += [f"failed: {name}: {printable(why)}" for name, why in status.failed.items()]
    return lines


def _rounded(rate: float) -> str:
    """Return a rate with the digits that matter.

    >>> _rounded(1234.5), _rounded(0.0512)
    ('1,234', '0.051')
    """
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    """Return a duration in its largest sensible unit.

    >>> _duration(89), _duration(5400), _duration(400_000)
    ('89 s', '90 min', '4.6 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} days"

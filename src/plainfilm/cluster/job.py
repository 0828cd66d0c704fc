"""Defines what a job, a worker and an engine are to each other; imports nothing heavy.

A *job* is a picklable description. Each worker process opens it once and then works on chunks of
the plan. An *engine* runs the workers, as plain processes or on a cluster. The schedule
(:mod:`plainfilm.cluster.drive`) decides which chunk is worked on when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from plainfilm.errors import PlainfilmError

if TYPE_CHECKING:
    from plainfilm.cluster.plan import Chunk, Row

__all__ = ["ChunkResult", "Engine", "Event", "Job", "Outcome", "Worker"]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkResult:
    """The result of a chunk: its table, with a row for each planned row, and rows by reason.

    ``counts`` has only rows with a reason why they have no result.
    """

    table: Any  # pyarrow.Table
    counts: Mapping[str, int] = field(default_factory=dict)


class Worker(Protocol):
    """Works on chunks in one process."""

    def run(self, rows: Sequence[Row], chunk_rows: int) -> ChunkResult:
        """Return the result of planned rows: all ``chunk_rows`` of a chunk, or some of them again.

        A PlainfilmError stops the whole job: the archive cannot be reached, the disk is full.
        After any other error the chunk is tried again.
        """

    def close(self) -> None:
        """End what the worker started."""


class Job(Protocol):
    """A picklable description of the work."""

    @property
    def name(self) -> str:
        """Name of the job, which is that of its identity document."""

    def identity(self) -> dict[str, Any]:
        """Return what all results of an output have in common, as JSON."""

    def open(self) -> Worker:
        """Return a worker in this process; a PlainfilmError stops the whole job."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a chunk in a worker.

    Attributes
    ----------
    rows, counts
        Rows of the chunk, and those with a reason why they have no result.
    committed
        Whether this worker wrote the part; if not, another one did before.
    problem
        Why the attempt failed, or None.
    error
        An error that stops the job, or None.
    """

    rows: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    committed: bool = False
    problem: str | None = None
    error: PlainfilmError | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The end of an attempt at a chunk."""

    chunk: Chunk
    attempt: int
    outcome: Outcome


class Engine(Protocol):
    """Runs attempts at chunks somewhere else."""

    @property
    def capacity(self) -> int:
        """Number of chunks that can be worked on at the same time; it may change."""

    def submit(self, chunk: Chunk, attempt: int) -> None:
        """Begin an attempt at a chunk; never waits."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return the attempts that have ended; wait at most ``timeout`` seconds for the first.

        A worker that dies ends its attempt with a problem.
        """

    def close(self) -> None:
        """End all workers, also those that are working, within seconds."""

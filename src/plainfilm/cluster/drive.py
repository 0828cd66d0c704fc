"""The schedule of a job: which chunk is worked on when, whatever runs the workers.

A chunk on which an attempt fails (the worker died, or there was an unforeseen error) is tried
three times in all; then it is named and the rest goes on. When workers have nothing else to do,
chunks that take three times as long as usual are given to a second one: the first that commits
wins. An error that would hit every chunk (the archive cannot be reached, the disk is full) stops
the job; chunks that are done stay done.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from plainfilm._progress import Progress, silent
from plainfilm.cluster.job import Engine, Event
from plainfilm.cluster.plan import Chunk

__all__ = ["Driven", "drive"]

_TRIES = 3
_SLOW = 3.0  # times the median duration of a chunk
_LEAST = 5.0  # seconds before a chunk counts as slow
_KNOWN = 3  # chunks that show how long one takes
_TICK = 0.5  # seconds between two looks at the attempts


@dataclass(frozen=True, slots=True)
class Driven:
    """What a call did: rows, rows by reason why they have no result, and failed chunks."""

    rows: int
    counts: Mapping[str, int]
    failed: Mapping[Chunk, str]  # with the problem of the last attempt


def drive(
    engine: Engine,
    chunks: Sequence[Chunk],
    *,
    stage: str,
    progress: Progress = silent,
    fail: Callable[[Chunk, str, int], None] = lambda chunk, problem, tries: None,
) -> Driven:
    """Work on chunks until each is done or has failed; the engine is not closed.

    Parameters
    ----------
    engine
        What runs the workers.
    chunks
        The chunks, in the order in which they are begun.
    stage, progress
        Name of the stage, and the callback.
    fail
        Called with each chunk that has failed, the problem and the number of tries.

    Raises
    ------
    PlainfilmError
        If an error stops the job.
    """
    schedule, rows = _Schedule(engine, deque(chunks), fail), sum(chunk.rows for chunk in chunks)
    began = time.monotonic()
    progress(stage, 0, rows)
    while schedule.is_busy:
        schedule.submit(time.monotonic())
        for event in engine.wait(_TICK):
            schedule.end(event, time.monotonic())
        speed = schedule.rows / (time.monotonic() - began)
        progress(stage, schedule.rows, rows, describe(speed, schedule.counts))
    return Driven(schedule.rows, dict(schedule.counts), schedule.failed)


def describe(speed: float, counts: Mapping[str, int]) -> str:
    """Return a speed and the rows by reason, in words.

    Examples
    --------
    >>> describe(312.4, {"truncated": 1, "changed": 3})
    '312/s, 3 changed, 1 truncated'
    """
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join([f"{speed:,.0f}/s", *(f"{count} {reason}" for reason, count in ordered)])


@dataclass(slots=True)
class _Schedule:
    """Chunks that wait, and attempts in progress with the time of their beginning."""

    engine: Engine
    waiting: deque[Chunk]
    fail: Callable[[Chunk, str, int], None]
    active: dict[tuple[Chunk, int], float] = field(default_factory=dict)
    tries: Counter[Chunk] = field(default_factory=Counter)  # of chunks that failed at least once
    open: set[Chunk] = field(default_factory=set)  # begun, and neither done nor failed
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=101))
    number: int = 0  # of the last attempt
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[Chunk, str] = field(default_factory=dict)

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting or self.open)

    def submit(self, now: float) -> None:
        """Begin attempts while workers have nothing to do."""
        free = self.engine.capacity - len(self.active)
        for _ in range(free):
            chunk = self.waiting.popleft() if self.waiting else self._slowest(now)
            if chunk is None:
                return
            self.number += 1
            self.open.add(chunk)
            self.active[chunk, self.number] = now
            self.engine.submit(chunk, self.number)

    def _slowest(self, now: float) -> Chunk | None:
        """Return the slowest of the slow chunks that have one attempt, or None."""
        if len(self.seconds) < _KNOWN:
            return None
        limit = max(_LEAST, _SLOW * median(self.seconds))
        attempts = Counter(chunk for chunk, _ in self.active)
        slow = [
            (began, chunk)
            for (chunk, _), began in self.active.items()
            if chunk in self.open and attempts[chunk] == 1 and now - began > limit
        ]
        return min(slow)[1] if slow else None

    def end(self, event: Event, now: float) -> None:
        """Take note of the end of an attempt."""
        began = self.active.pop((event.chunk, event.attempt))
        chunk, outcome = event.chunk, event.outcome
        if chunk not in self.open:  # another attempt was faster
            return
        if outcome.error is not None:
            raise outcome.error
        if outcome.problem is None:
            self.open.remove(chunk)
            self.seconds.append(now - began)
            self.rows += outcome.rows
            self.counts.update(outcome.counts)
            return
        self.tries[chunk] += 1
        if any(other == chunk for other, _ in self.active):
            return
        self.open.remove(chunk)
        if self.tries[chunk] < _TRIES:
            self.waiting.append(chunk)
        else:
            self.failed[chunk] = outcome.problem
            self.fail(chunk, outcome.problem, _TRIES)

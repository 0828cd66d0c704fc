"""The schedule of a job: failures are tried again, slow chunks are given to a second worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from plainfilm.cluster import drive as drive_module
from plainfilm.cluster.drive import drive
from plainfilm.cluster.job import Event, Outcome
from plainfilm.cluster.plan import Chunk
from plainfilm.errors import StorageError

CHUNKS = [Chunk(0, group, 10) for group in range(6)]
Act = Callable[[Chunk, int], tuple[float, Outcome]]


class FakeEngine:
    """Ends each attempt after the seconds, and with the outcome, that ``act`` returns for it."""

    def __init__(self, act: Act, capacity: int = 2) -> None:
        self.act, self.capacity = act, capacity
        self.asked: Counter[Chunk] = Counter()
        self.running: list[tuple[float, Event]] = []

    def submit(self, chunk: Chunk, attempt: int) -> None:
        assert len(self.running) < self.capacity
        self.asked[chunk] += 1
        seconds, outcome = self.act(chunk, self.asked[chunk])
        self.running.append((time.monotonic() + seconds, Event(chunk, attempt, outcome)))

    def wait(self, timeout: float) -> Sequence[Event]:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if ended := [one for one in self.running if one[0] <= time.monotonic()]:
                self.running = [one for one in self.running if one not in ended]
                return [event for _, event in ended]
            time.sleep(0.001)
        return []

    def close(self) -> None:
        pass


def done(chunk: Chunk, number: int) -> tuple[float, Outcome]:
    return 0.0, Outcome(chunk.rows, {"truncated": 1})


def test_every_chunk_is_done_once_and_counted() -> None:
    engine, seen = FakeEngine(done), list[tuple[int, int, str]]()
    result = drive(
        engine,
        CHUNKS,
        stage="predicting",
        progress=lambda stage, done, total, note="": seen.append((done, total, note)),
    )
    assert engine.asked == Counter(CHUNKS)
    assert (result.rows, result.counts, result.failed) == (60, {"truncated": 6}, {})
    assert seen[0] == (0, 60, "")
    assert seen[-1][:2] == (60, 60)
    assert seen[-1][2].endswith("/s, 6 truncated")
    assert drive(FakeEngine(done), [], stage="predicting").rows == 0


def test_a_chunk_is_tried_three_times_and_the_rest_goes_on() -> None:
    def act(chunk: Chunk, number: int) -> tuple[float, Outcome]:
        if chunk.group == 1 or (chunk.group == 2 and number < 3):
            return 0.0, Outcome(problem=f"a worker process died (signal {number})")
        return done(chunk, number)

    engine, failures = FakeEngine(act), list[tuple[Chunk, str, int]]()
    result = drive(
        engine, CHUNKS, stage="predicting", fail=lambda *failure: failures.append(failure)
    )
    problem = "a worker process died (signal 3)"
    assert result.failed == {CHUNKS[1]: problem}
    assert failures == [(CHUNKS[1], problem, 3)]
    assert result.rows == 50
    assert engine.asked == Counter(CHUNKS) + Counter({CHUNKS[1]: 2, CHUNKS[2]: 2})


def test_an_error_that_would_hit_every_chunk_stops_the_job() -> None:
    def act(chunk: Chunk, number: int) -> tuple[float, Outcome]:
        if chunk.group == 2:
            return 0.0, Outcome(error=StorageError("the disk is full"))
        return done(chunk, number)

    engine = FakeEngine(act, capacity=1)
    with pytest.raises(StorageError, match="the disk is full"):
        drive(engine, CHUNKS, stage="predicting")
    assert engine.asked == Counter(CHUNKS[:3])


def test_a_slow_chunk_is_given_to_a_second_worker_when_one_is_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drive_module, "_LEAST", 0.05)
    monkeypatch.setattr(drive_module, "_TICK", 0.02)

    def act(chunk: Chunk, number: int) -> tuple[float, Outcome]:
        stuck = chunk.group == 0 and number == 1
        return 60.0 if stuck else 0.01, Outcome(chunk.rows)

    engine = FakeEngine(act)
    began = time.monotonic()
    result = drive(engine, CHUNKS, stage="predicting")
    assert time.monotonic() - began < 5
    assert result.rows == 60
    assert engine.asked == Counter(CHUNKS) + Counter({CHUNKS[0]: 1})


def test_a_slow_chunk_that_fails_has_not_failed_while_another_attempt_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drive_module, "_LEAST", 0.05)
    monkeypatch.setattr(drive_module, "_TICK", 0.02)
    monkeypatch.setattr(drive_module, "_TRIES", 1)

    def act(chunk: Chunk, number: int) -> tuple[float, Outcome]:
        if chunk.group > 0:
            return 0.01, Outcome(chunk.rows)
        return (0.2, Outcome(problem="died")) if number == 1 else (0.3, Outcome(chunk.rows))

    result = drive(FakeEngine(act), CHUNKS, stage="predicting")
    assert (result.rows, result.failed) == (60, {})

"""Failed fetches of an archive's instances, in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plainfilm.pacs.ledger import Ledger, ResultRow
from plainfilm.pacs.ledger_fetches import MOST_ATTEMPTS


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def ledger(tmp_path: Path, now: list[float]) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", clock=lambda: now[0]) as opened:
        yield opened


def test_what_is_recorded_is_not_to_be_fetched(ledger: Ledger) -> None:
    ledger.add_image("a", "received", "0", "s")
    ledger.add_image("b", "ignored", "0", "s", ignored=True)
    ledger.add_image("c", "lost", "0", "s")
    ledger.finish({"c": "lost"}, [ResultRow("d", "own", "report")], [])
    uids = ["received", "ignored", "own", "lost", "new"]
    assert ledger.to_fetch(uids) == ledger.unfetched(uids) == ["lost", "new"]
    assert ledger.to_fetch([]) == []


def test_pauses_between_attempts_grow_and_attempts_end(ledger: Ledger, now: list[float]) -> None:
    pauses = []
    while ledger.to_fetch(["a"]):
        failed = ledger.fetch_failed("a", "http-500")
        began = now[0]
        while not failed.given_up and not ledger.to_fetch(["a"]):
            now[0] += 30
        pauses.append(now[0] - began)
    assert pauses == [60, 240, 960, 3600, 0]
    assert (failed.attempts, failed.given_up, failed.since) == (MOST_ATTEMPTS, True, 1_000_000)
    assert ledger.failed_fetches() == [failed]
    assert ledger.unfetched(["a"]) == ["a"]
    assert ledger.retry_fetches() == 1
    assert ledger.to_fetch(["a"]) == ["a"]


def test_a_success_ends_the_count(ledger: Ledger) -> None:
    ledger.fetch_failed("a", "timeout")
    ledger.fetched("a")
    assert ledger.failed_fetches() == []
    assert ledger.fetch_failed("a", "timeout").attempts == 1


def test_a_clock_that_was_set_back_does_not_stop_fetches(ledger: Ledger, now: list[float]) -> None:
    ledger.fetch_failed("a", "timeout")
    now[0] -= 1e6
    assert ledger.to_fetch(["a"]) == ["a"]


def test_a_round_is_over_when_what_waits_cannot_be_sent(ledger: Ledger, now: list[float]) -> None:
    assert ledger.is_idle() and ledger.is_done()
    ledger.add_image("a", "u", "0", "s")
    assert not ledger.is_idle(["down"])
    rows = [ResultRow(name, name, "report") for name in ("r1", "r2")]
    ledger.finish({"a": "predicted"}, rows, ["down"])
    assert not ledger.is_idle(["another"])
    assert ledger.is_idle(["down"]) and not ledger.is_done()
    first, second = ledger.due_deliveries("down", now[0], 9)
    ledger.delivered(first.id)
    ledger.park(second.id, "A900")
    assert ledger.is_idle() and not ledger.is_done()
    ledger.retry()
    ledger.delivered(second.id)
    assert ledger.is_idle() and ledger.is_done()
    ledger.fetch_failed("b", "http-500")
    assert ledger.is_idle() and not ledger.is_done()

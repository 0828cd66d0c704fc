"""Tests of the ledger: states of images, results and deliveries."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from plainfilm.pacs.ledger import MOST_VERSIONS, Ledger, ResultRow, image_key, uid_key


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    with Ledger.open(tmp_path / "ledger.db", clock=clock) as opened:
        yield opened


def image(name: str, study: str = "study", version: int = 0) -> tuple[str, str, str, str]:
    """Return the arguments of `add_image` of a drawn image."""
    uid, sha256 = uid_key(name), hashlib.sha256(f"{name} {version}".encode()).hexdigest()
    return image_key(uid, sha256), uid, sha256, uid_key(study)


def result(name: str, kind: str = "report") -> ResultRow:
    return ResultRow(uid_key(f"key {name}"), uid_key(name), kind)


def test_an_image_is_new_once(ledger):
    one = image("1.2")
    assert ledger.known(one[1], one[2]) == "new"
    assert ledger.add_image(*one)
    assert ledger.known(one[1], one[2]) == "duplicate"
    assert not ledger.add_image(*one)
    ledger.finish({one[0]: "predicted"}, [result("9.1")], ["a"])
    assert ledger.known(one[1], one[2]) == "duplicate"
    assert ledger.known(uid_key("9.1"), one[2]) == "own"


def test_other_contents_of_a_uid_are_answered_a_few_times(ledger):
    for version in range(MOST_VERSIONS):
        one = image("1.2", version=version)
        assert ledger.known(one[1], one[2]) == "new"
        ledger.add_image(*one)
    late = image("1.2", version=MOST_VERSIONS)
    assert ledger.known(late[1], late[2]) == "ignored"
    assert ledger.add_image(*late, ignored=True)
    assert ledger.known(late[1], late[2]) == "ignored"
    assert not ledger.add_image(*late, ignored=True)
    assert len(ledger.waiting_images()) == MOST_VERSIONS


def test_a_lost_image_is_new_again(ledger):
    one = image("1.2")
    ledger.add_image(*one)
    ledger.begin([one[0]])
    ledger.finish({one[0]: "lost"}, [], [])
    assert not ledger.has_image(one[0])
    assert ledger.known(one[1], one[2]) == "new"
    assert ledger.add_image(*one)
    assert ledger.due_images(0, 1)[0].attempts == 0


def test_a_study_is_due_after_a_quiet_time(ledger, clock):
    start = clock.now
    assert ledger.next_due(10) is None
    ledger.add_image(*image("1", "a"))
    clock.now += 4
    ledger.add_image(*image("2", "a"))
    ledger.add_image(*image("3", "b"))
    assert ledger.next_due(10) == start + 14
    clock.now = start + 13.9
    assert ledger.due_images(10, 16) == []
    clock.now = start + 14
    due = ledger.due_images(10, 16)
    assert [one.uid for one in due] == [uid_key("1"), uid_key("2")]
    assert ledger.next_due(10) <= clock.now
    assert len(ledger.due_images(10, 1)) == 1
    other = ledger.due_images(10, 16, busy=[uid_key("a")])
    assert [one.uid for one in other] == [uid_key("3")]
    assert ledger.due_images(10, 16, busy=[uid_key("a"), uid_key("b")]) == []
    assert ledger.next_due(10, busy=[uid_key("a"), uid_key("b")]) is None
    ledger.add_image(*image("4", "c"))
    assert ledger.next_due(10, busy=[uid_key("a"), uid_key("b")]) == clock.now + 10


def test_a_study_that_never_gets_quiet_is_due_at_last(ledger, clock):
    start = clock.now
    while not ledger.due_images(10, 16):
        ledger.add_image(*image(str(clock.now), "a"))
        assert ledger.next_due(10) <= start + 60
        clock.now += 5
    assert clock.now == start + 60


def test_a_clock_that_is_set_back_delays_nothing(ledger, clock):
    ledger.add_image(*image("1"))
    clock.now -= 86400
    assert len(ledger.due_images(10, 16)) == 1
    assert ledger.next_due(10) <= clock.now
    ledger.finish({image("1")[0]: "predicted"}, [result("9")], ["a"])
    (delivery,) = ledger.due_deliveries("a", clock.now, 1)
    ledger.postpone(delivery.id, clock.now + 300, "0110")
    assert ledger.due_deliveries("a", clock.now - 10 * 86400, 1)


def test_attempts_are_counted(ledger):
    one = image("1")
    ledger.add_image(*one)
    for _ in range(3):
        ledger.begin([one[0]])
    assert ledger.due_images(0, 1)[0].attempts == 3


def test_finish_is_one_step_and_idempotent(ledger, clock):
    one, two = image("1"), image("2")
    ledger.add_image(*one)
    ledger.add_image(*two)
    rows = [result("9.1"), result("9.2", "capture")]
    for _ in range(2):
        ledger.finish({one[0]: "predicted", two[0]: "view"}, rows, ["a", "b"])
    assert ledger.due_images(0, 16) == []
    for name in ("a", "b"):
        due = ledger.due_deliveries(name, clock.now, 16)
        assert [(one.result, one.kind) for one in due] == [(row.key, row.kind) for row in rows]


def deliver(ledger: Ledger, *destinations: str) -> str:
    """Answer one image; return the key of its result."""
    one = image("1")
    ledger.add_image(*one)
    ledger.finish({one[0]: "predicted"}, [result("9")], destinations)
    return result("9").key


def test_a_result_is_needed_until_each_destination_has_it(ledger, clock):
    key = deliver(ledger, "a", "b")
    (first,) = ledger.due_deliveries("a", clock.now, 16)
    (second,) = ledger.due_deliveries("b", clock.now, 16)
    assert not ledger.delivered(first.id)
    assert ledger.needed_results() == {key}
    assert ledger.delivered(second.id)
    assert ledger.needed_results() == set()
    assert ledger.due_deliveries("a", clock.now, 16) == []
    assert ledger.next_delivery("a") is None


def test_a_delivery_is_postponed_parked_and_retried(ledger, clock):
    deliver(ledger, "a")
    (one,) = ledger.due_deliveries("a", clock.now, 16)
    ledger.postpone(one.id, clock.now + 5, "A700")
    assert ledger.due_deliveries("a", clock.now, 16) == []
    assert ledger.next_delivery("a") == clock.now + 5
    clock.now += 5
    assert ledger.due_deliveries("a", clock.now, 16)[0].attempts == 1
    for stop in (ledger.park, ledger.refuse_class):
        stop(one.id, "C000")
        assert ledger.due_deliveries("a", clock.now + 1000, 16) == []
        assert ledger.needed_results() == {result("9").key}
        assert ledger.retry() == 1
        assert ledger.due_deliveries("a", clock.now, 16)[0].attempts == 0
    assert ledger.retry() == 0


def test_deliveries_to_a_removed_destination_are_parked(ledger, clock):
    deliver(ledger, "a", "b")
    assert ledger.park_others(["b"]) == 1
    assert ledger.due_deliveries("a", clock.now, 16) == []
    assert ledger.due_deliveries("b", clock.now, 16)


def test_storage_commitment(ledger, clock):
    one = image("1")
    ledger.add_image(*one)
    rows = [result("9.1"), result("9.2"), result("9.3")]
    ledger.finish({one[0]: "predicted"}, rows, ["a"])
    for due in ledger.due_deliveries("a", clock.now, 16):
        ledger.committing(due.id, "1.2.3", due=clock.now + 60)
    assert ledger.due_deliveries("a", clock.now, 16) == []
    assert ledger.committed("1.2.4", [rows[0].uid], []) == []
    assert ledger.committed("1.2.3", [rows[0].uid], [rows[1].uid]) == [rows[0].key]
    assert ledger.committed("1.2.3", [rows[0].uid], [rows[1].uid]) == []
    assert ledger.due_deliveries("a", clock.now, 16) == []
    assert [due.uid for due in ledger.due_deliveries("a", clock.now + 1, 16)] == [rows[1].uid]
    ledger.postpone(1, 0, "no-answer")  # the answer was lost, and the confirmation came before
    assert rows[0].uid not in {due.uid for due in ledger.due_deliveries("a", clock.now + 1, 16)}
    clock.now += 60  # no answer about the third
    assert len(ledger.due_deliveries("a", clock.now, 16)) == 2


def test_an_archive_may_confirm_after_it_was_asked_again(ledger, clock):
    deliver(ledger, "a")
    (one,) = ledger.due_deliveries("a", clock.now, 1)
    for number in range(50):
        ledger.committing(one.id, f"1.2.{number}", due=clock.now)
        ledger.postpone(one.id, clock.now, "no-answer")
    ledger.committing(one.id, "1.2.99", due=clock.now + 60)
    assert ledger.committed("1.2.0", [one.uid], []) == []
    assert ledger.committed("1.2.20", [one.uid], []) == [one.result]


def test_a_clock_that_is_set_back_and_a_retry_make_deliveries_due(ledger, clock):
    deliver(ledger, "a")
    (one,) = ledger.due_deliveries("a", clock.now, 1)
    ledger.postpone(one.id, clock.now + 3600, "http-503")
    assert ledger.due_deliveries("a", clock.now, 1) == []
    assert len(ledger.due_deliveries("a", clock.now - 3600, 1)) == 1
    assert ledger.retry() == 1
    assert len(ledger.due_deliveries("a", clock.now, 1)) == 1


def test_a_delivery_that_is_removed_while_it_is_sent_is_no_error(ledger, clock):
    deliver(ledger, "a")
    (one,) = ledger.due_deliveries("a", clock.now, 1)
    ledger.lose_results([one.result])
    assert ledger.delivered(one.id)
    ledger.park(one.id, "C000")
    assert ledger.retry() == 0


def test_a_delivered_result_stays_delivered(ledger, clock):
    deliver(ledger, "a")
    (one,) = ledger.due_deliveries("a", clock.now, 1)
    assert ledger.delivered(one.id)
    ledger.park(one.id, "C000")
    ledger.postpone(one.id, clock.now, "A700")
    ledger.refuse_class(one.id, "0122")
    assert ledger.next_delivery("a") is None
    assert ledger.needed_results() == set()


def plans(ledger: Ledger) -> list[str]:
    """Return how SQLite reads the tables in the queries of a running service."""
    found: list[str] = []
    asked: list[tuple[str, dict | tuple]] = []

    class Spy:
        def __getattr__(self, name):
            return getattr(connection, name)

        def execute(self, statement, values=()):
            asked.append((statement, values))
            return connection.execute(statement, values)

    connection, ledger._connection = ledger._connection, Spy()
    ledger.known("u", "s")
    ledger.has_image("k")
    ledger.due_images(10, 16, busy=["x"])
    ledger.next_due(10)
    ledger.due_deliveries("a", 0, 16)
    ledger.next_delivery("a")
    ledger.waiting_images()
    ledger.needed_results()
    ledger.is_idle()
    ledger.is_done()
    for statement, values in asked:
        found += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    return found


def test_no_query_of_a_running_service_reads_finished_rows(ledger):
    found = plans(ledger)
    partial = ("images_waiting", "images_studies", "deliveries_due", "deliveries_needed")
    for plan in found:
        if plan.startswith(("SCAN images", "SCAN deliveries", "SCAN one")):
            assert any(name in plan for name in partial), found
        assert "TEMP B-TREE" not in plan, found


def test_a_destination_that_is_given_twice_gets_a_result_once(ledger, clock):
    deliver(ledger, "a", "a")
    assert len(ledger.due_deliveries("a", clock.now, 9)) == 1

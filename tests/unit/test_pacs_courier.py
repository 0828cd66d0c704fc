"""The thread of a destination: errors of the disk and of libraries delay, and lose nothing."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from pacs_outbox import Outbox, wait_until
from plainfilm.errors import UsageError
from plainfilm.inference.log import Log
from plainfilm.pacs.courier import Backoff, Courier
from plainfilm.pacs.delivery_report import DeliveryReport
from plainfilm.pacs.outcomes import Outcome, Outgoing, Unavailable
from plainfilm.pacs.settings import DicomDestination, WebDestination

TO = DicomDestination("ARCHIVE", "127.0.0.1", 4242)
SENT = Outcome("delivered", "0000")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "state") as opened:
        yield opened


class Archive:
    """Answers as a function says, and counts attempts for each file name."""

    def __init__(self, answer: Callable[[str, int], Outcome]) -> None:
        self.answer, self.attempts, self.batches = answer, dict[str, int](), list[int]()

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Outcome]]:
        self.batches.append(len(results))
        for result in results:
            name = result.path.stem
            self.attempts[name] = self.attempts.get(name, 0) + 1
            yield result, self.answer(name, self.attempts[name])

    def close(self) -> None:
        pass


def deliver(
    outbox: Outbox,
    archive: Archive,
    condition: Callable[[], bool],
    backoff: Backoff = Backoff(0.01, 0.1),  # noqa: B008
    *,
    pauses: bool = False,
) -> Courier:
    """Deliver until a condition holds, and the destination pauses if asked for."""
    stop = threading.Event()
    report = DeliveryReport(1, Log(outbox.lines), outbox.deliveries)
    courier = Courier(
        TO.name, archive, outbox.ledger, outbox.spool, report, stop=stop, backoff=backoff
    )
    thread = threading.Thread(target=courier.run)
    thread.start()
    try:
        assert wait_until(lambda: condition() and (courier.pauses or not pauses))
    finally:
        stop.set()
        courier.woken.set()
        thread.join()
    return courier


def empty(outbox: Outbox) -> Callable[[], bool]:
    return lambda: not outbox.files()


def test_a_full_disk_at_the_commit_sends_again(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.add([TO], ["1", "2", "3"])
    delivered, fails = outbox.ledger.delivered, [True, True]

    def full(number: int, *, status: str) -> bool:
        if fails and fails.pop():
            raise OSError(errno.ENOSPC, "SECRET")
        return delivered(number, status=status)

    monkeypatch.setattr(outbox.ledger, "delivered", full)
    archive = Archive(lambda name, attempt: SENT)
    deliver(outbox, archive, empty(outbox))
    assert sum(archive.attempts.values()) == 5
    assert {state for state, _ in outbox.states()} == {"delivered"}
    assert "SECRET" not in outbox.lines.getvalue()


def test_a_destination_pauses_while_nothing_can_be_recorded(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.add([TO], ["1"])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(outbox.ledger, "delivered", full)
    monkeypatch.setattr(outbox.ledger, "postpone", full)
    archive = Archive(lambda name, attempt: SENT)
    deliver(outbox, archive, lambda: bool(archive.attempts), Backoff(60, 60), pauses=True)


def test_an_error_of_a_library_concerns_one_result(outbox: Outbox) -> None:
    outbox.add([TO], [str(n) for n in range(20)])
    bad = outbox.key("3")

    def answer(name: str, attempt: int) -> Outcome:
        if name == bad:
            raise KeyError("SECRET")
        return SENT

    archive = Archive(answer)
    deliver(outbox, archive, lambda: outbox.files() == 1 and archive.attempts[bad] > 2)
    assert {n for name, n in archive.attempts.items() if name != bad} == {1}
    assert "SECRET" not in outbox.lines.getvalue()
    assert "KeyError" in outbox.lines.getvalue()


def test_a_result_that_takes_the_archive_down_is_tried_alone(outbox: Outbox) -> None:
    outbox.add([TO], [str(n) for n in range(18)])
    bad = outbox.key("0")

    def answer(name: str, attempt: int) -> Outcome:
        if name == bad:
            raise Unavailable(Outcome("later", "http-503"))
        return SENT

    archive = Archive(answer)
    deliver(outbox, archive, lambda: outbox.files() == 1)
    assert archive.batches[:2] == [16, 1]


def test_an_archive_that_is_full_is_left_alone_for_a_while(outbox: Outbox) -> None:
    outbox.add([TO], [str(n) for n in range(18)])
    full = Outcome("later", "A700")
    archive = Archive(lambda name, attempt: full if attempt == 1 and len(times) < 5 else SENT)
    times: list[int] = []
    answer = archive.answer
    archive.answer = lambda name, attempt: (times.append(1), answer(name, attempt))[1]
    deliver(outbox, archive, empty(outbox))
    assert archive.batches[:3] == [16, 1, 1], "two failures in a row end the batch"
    assert outbox.deliveries.values["1", "report", "postponed"] == 4
    events = [one["event"] for one in outbox.events() if one["event"] != "delivery"]
    assert events == ["archive-unavailable", "archive-available"]


def test_a_result_that_is_missing_in_the_outbox_is_lost_and_said(outbox: Outbox) -> None:
    outbox.add([TO], ["1", "2"])
    outbox.spool.drop_result(outbox.key("1"))

    def answer(name: str, attempt: int) -> Outcome:
        return Outcome("refused", "file-missing") if name == outbox.key("1") else SENT

    deliver(outbox, Archive(answer), empty(outbox))
    assert outbox.states() == [("delivered", "0000")]
    (said,) = [one for one in outbox.events() if one.get("outcome") == "lost"]
    assert said["remedy"] == "send its images again"
    assert outbox.deliveries.values["1", "report", "lost"] == 1


def test_a_damaged_result_is_parked_at_once(outbox: Outbox) -> None:
    outbox.add([TO], ["1"])
    archive = Archive(lambda name, attempt: Outcome("refused", "file-damaged"))
    deliver(outbox, archive, lambda: outbox.states() == [("parked", "file-damaged")])
    assert archive.batches == [1]


def test_wrong_configuration_waits_longest_and_is_said_when_it_changes(outbox: Outbox) -> None:
    outbox.add([TO], ["1"])
    wrong = ["tls", "tls", "http-401"]

    def answer(name: str, attempt: int) -> Outcome:
        if wrong:
            raise Unavailable(Outcome("misconfigured", wrong.pop(0)))
        return SENT

    courier = deliver(outbox, Archive(answer), empty(outbox))
    assert courier.failures == 0
    said = [(one["event"], one.get("status")) for one in outbox.events()]
    assert [one for one in said if one[0] != "delivery"] == [
        ("archive-unavailable", "tls"),
        ("archive-unavailable", "http-401"),
        ("archive-available", None),
    ]
    waits = [one["seconds"] for one in outbox.events() if one.get("outcome") == "postponed"]
    assert waits == [0.1] * 3


def test_the_time_between_attempts_doubles_up_to_a_limit() -> None:
    backoff = Backoff(1.0, 300.0)
    for failures in range(1, 2000, 7):
        low = min(2.0 ** min(failures - 1, 20), 300)
        assert low <= backoff.seconds(failures) <= min(1.5 * low, 300)


def test_commitment_needs_a_destination_that_can_commit(outbox: Outbox) -> None:
    web = WebDestination("http://127.0.0.1:1/dicom-web")
    with pytest.raises(UsageError, match="C-STORE"), outbox.delivering([web], commit=True):
        pass
    with outbox.delivering([web, TO], commit=True):
        pass

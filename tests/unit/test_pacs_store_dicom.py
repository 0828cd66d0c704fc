"""C-STORE to archives that refuse, fail, are silent or send garbage: nothing is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom")

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_ECHO, C_STORE

from dicom_wire import COMMAND, LAST, element, message, value
from pacs_outbox import CAPTURE, QUICK, REPORT, Outbox, raw_server, result_file, serving, wait_until
from plainfilm.pacs.ledger import uid_key
from plainfilm.pacs.outcomes import (
    FileMeta,
    Outcome,
    Outgoing,
    StepSeconds,
    Unavailable,
    of_status,
    read_meta,
)
from plainfilm.pacs.settings import DicomDestination
from plainfilm.pacs.store_dicom import DicomSender


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "state") as opened:
        yield opened


@contextlib.contextmanager
def scp(
    store: Callable[[Any], int],
    classes: Sequence[str] = (REPORT, CAPTURE),
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    port: int = 0,
    **settings: Any,
) -> Iterator[DicomDestination]:
    entity = AE("ARCHIVE")
    for name, setting in settings.items():
        setattr(entity, name, setting)
    for one in classes:
        entity.add_supported_context(one, list(syntaxes))
    with serving(entity, [(evt.EVT_C_STORE, store)], port=port) as used:
        yield DicomDestination("ARCHIVE", "127.0.0.1", used)


def send(to: DicomDestination, *paths: Path, **settings: Any) -> list[str]:
    """Send files; return the verdict and status of each, and why it ended early."""
    sender = DicomSender(to, "PLAINFILM", **{"seconds": QUICK, **settings})
    found: list[Outcome] = []
    try:
        for _, outcome in sender.send(
            [Outgoing(number, "report", path) for number, path in enumerate(paths)]
        ):
            found.append(outcome)
    except Unavailable as error:
        found.append(error.outcome)
    sender.close()
    return [f"{one.verdict} {one.status}" for one in found]


def write(folder: Path, uid: str, kind: str = "report") -> Path:
    path = folder / f"{uid}.dcm"
    path.write_bytes(result_file(uid, kind))
    return path


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, "delivered"),
        (0xB000, "delivered"),
        (0xB006, "delivered"),
        (0xB007, "delivered"),
        (0x0111, "delivered"),
        (0xA700, "later"),
        (0xA7FF, "later"),
        (0x0110, "later"),
        (0xA900, "refused"),
        (0xC000, "refused"),
        (0x0122, "class-refused"),
        (0x0124, "misconfigured"),
    ],
)
def test_a_status_decides_what_happens_next(status: int, verdict: str) -> None:
    assert of_status(status) == Outcome(verdict, f"{status:04X}")  # type: ignore[arg-type]


def test_files_are_sent_as_they_are_over_one_association(tmp_path: Path) -> None:
    received, associations = [], set()

    def store(event: Any) -> int:
        received.append(bytes(event.request.DataSet.getvalue()))
        associations.add(event.assoc)
        return 0

    paths = [write(tmp_path, f"2.25.{n}", "report" if n % 2 else "capture") for n in range(4)]
    with scp(store) as to:
        assert send(to, *paths) == ["delivered 0000"] * 4
    assert len(associations) == 1
    assert all(path.read_bytes().endswith(data) for path, data in zip(paths, received, strict=True))


def test_an_archive_with_implicit_vr_only_gets_the_same_content(tmp_path: Path) -> None:
    received = []

    def store(event: Any) -> int:
        received.append(event.dataset)
        return 0

    path = write(tmp_path, "2.25.5")
    with scp(store, syntaxes=[ImplicitVRLittleEndian]) as to:
        assert send(to, path) == ["delivered 0000"]
    assert received[0] == dcmread(path)


def test_a_link_or_another_file_is_not_sent(tmp_path: Path) -> None:
    path = write(tmp_path, "2.25.6")
    (tmp_path / "link.dcm").symlink_to(path)
    found = [
        read_meta(Outgoing(1, "report", one, uid_key(uid)))
        for one, uid in ((path, "2.25.6"), (path, "2.25.7"), (tmp_path / "link.dcm", "2.25.6"))
    ]
    assert isinstance(found[0], FileMeta)
    assert found[1:] == [Outcome("refused", "file-damaged")] * 2


def test_missing_and_damaged_files_do_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "damaged.dcm").write_bytes(b"x" * 500)
    paths = [tmp_path / "missing.dcm", tmp_path / "damaged.dcm", write(tmp_path, "2.25.6")]
    with scp(lambda event: 0) as to:
        assert send(to, *paths) == [
            "refused file-missing",
            "refused file-damaged",
            "delivered 0000",
        ]


def test_a_refused_class_does_not_stop_the_other(tmp_path: Path) -> None:
    paths = [write(tmp_path, "2.25.7"), write(tmp_path, "2.25.8", "capture")]
    with scp(lambda event: 0, classes=[CAPTURE]) as to:
        assert send(to, *paths) == ["class-refused no-context", "delivered 0000"]
    with scp(lambda event: 0, classes=["1.2.840.10008.1.1"]) as to:
        assert send(to, *paths) == ["misconfigured no-class-accepted"]


def test_an_archive_that_does_not_know_the_title(tmp_path: Path) -> None:
    with scp(lambda event: 0, require_calling_aet=["OTHER"]) as to:
        assert send(to, write(tmp_path, "2.25.9")) == ["misconfigured association-rejected"]


def aborts(event: Any) -> int:
    event.assoc.abort()
    return 0


def stalls(event: Any) -> int:
    time.sleep(2.5)
    return 0


@pytest.mark.parametrize("store", [aborts, stalls])
def test_an_archive_that_stops_during_a_transfer(
    store: Callable[[Any], int], tmp_path: Path
) -> None:
    calls = []

    def second_works(event: Any) -> int:
        calls.append(1)
        return store(event) if len(calls) == 1 else 0

    paths = [write(tmp_path, "2.25.1"), write(tmp_path, "2.25.2")]
    with scp(second_works) as to:
        assert send(to, *paths) == ["later no-answer", "delivered 0000"]


def respond(event: Any, status: int = 0, **changes: Any) -> None:
    """Send a response that differs from the expected one."""
    response = changes.pop("primitive", C_STORE)()
    response.MessageIDBeingRespondedTo = event.request.MessageID
    response.AffectedSOPClassUID = event.request.AffectedSOPClassUID
    response.Status = status
    for name, changed in changes.items():
        setattr(response, name, changed)
    event.assoc.dimse.send_msg(response, event.context.context_id)


WRONG: dict[str, Callable[[Any], None]] = {
    "message ID": lambda event: respond(event, MessageIDBeingRespondedTo=77),
    "instance": lambda event: respond(event, AffectedSOPInstanceUID="2.25.77"),
    "echo": lambda event: respond(event, primitive=C_ECHO),
    "no command field": lambda event: event.assoc.dul.socket.send(
        message(value(event.context.context_id, COMMAND | LAST, element(0x0110, b"\1\0")))
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_only_the_response_to_the_request_counts(name: str, tmp_path: Path) -> None:
    asked = []

    def store(event: Any) -> int:
        asked.append(event.request.MessageID)
        if len(asked) == 1:
            WRONG[name](event)
            event.assoc.dul.socket.close()
        return 0

    started = time.monotonic()
    with scp(store) as to:
        paths = [write(tmp_path, f"2.25.{n}") for n in range(3)]
        found = send(to, *paths, seconds=StepSeconds(answer=200))
        assert found == ["later no-answer", "delivered 0000", "delivered 0000"]
        assert asked[-2:] == [1, 2]
    assert time.monotonic() - started < 60


def test_a_response_that_comes_twice_is_not_the_one_to_the_next_request(tmp_path: Path) -> None:
    def store(event: Any) -> int:
        if event.request.AffectedSOPInstanceUID in ("2.25.1", "2.25.3"):
            respond(event)
            return 0
        return 0xA900

    with scp(store) as to:
        found = send(to, *(write(tmp_path, f"2.25.{n}") for n in range(1, 5)))
    for outcome, possible in zip(found, ("delivered 0000", "refused A900") * 2, strict=True):
        assert outcome in (possible, "later no-answer")


GARBAGE = {
    "silent": lambda own: own.recv(1) and time.sleep(3),
    "closes at once": lambda own: None,
    "answers HTTP": lambda own: own.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100),
    "half a PDU": lambda own: own.sendall(b"\x02\x00\x00\x00\x10\x00abc") or time.sleep(3),
    "declares 4 GiB": lambda own: (
        own.sendall(b"\x02\x00\xff\xff\xff\xff" + b"x" * 100_000) or time.sleep(3)
    ),
    "invalid acceptance": lambda own: own.sendall(b"\x02\x00\x00\x00\x00P" + b"\xff" * 80),
}


@pytest.mark.parametrize("behaviour", GARBAGE)
def test_peers_that_are_no_archive_cost_bounded_time(behaviour: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with raw_server(GARBAGE[behaviour]) as port:
        found = send(DicomDestination("ARCHIVE", "127.0.0.1", port), write(tmp_path, "2.25.1"))
    assert found[0].startswith("later no-")
    assert time.monotonic() - started < 20


FLOODS = {
    "a PDU of 2 GiB": b"\x04\x00\x7f\xff\xff\xff" + b"x" * 1000,
    "a command without end": b"\x04\x00\x00\x00\x3e\x86"
    + b"\x00\x00\x3e\x82\x01\x01"
    + b"y" * 16000,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_an_answer_without_end_is_not_kept(flood: str, tmp_path: Path) -> None:
    sent = []

    def store(event: Any) -> int:
        with contextlib.suppress(OSError):
            for _ in range(5000):
                event.assoc.dul.socket.socket.sendall(FLOODS[flood])
                sent.append(len(FLOODS[flood]))
        return 0

    with scp(store) as to:
        assert send(to, write(tmp_path, "2.25.1")) == ["later no-answer"]
    assert sum(sent) < 8 << 20


def test_nothing_listens_and_an_unknown_host(tmp_path: Path) -> None:
    path = write(tmp_path, "2.25.1")
    with raw_server(lambda own: None) as port:
        pass
    assert send(DicomDestination("A", "127.0.0.1", port), path) == ["later no-connection"]
    assert send(DicomDestination("A", "no.invalid", 104), path) == ["later no-connection"]


def test_a700_is_not_delivered_and_a_single_refusal_does_not_hold_others_back(
    outbox: Outbox,
) -> None:
    seen: dict[str, int] = {}

    def store(event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        seen[uid] = seen.get(uid, 0) + 1
        if uid == "2.25.100":
            return 0xA700 if seen[uid] < 3 else 0xB000
        return 0xC000 if uid == "2.25.101" else 0

    with scp(store) as to:
        outbox.add([to], [f"2.25.{100 + n}" for n in range(5)])
        with outbox.delivering([to]):
            assert wait_until(lambda: {s for s, _ in outbox.states()} == {"delivered", "parked"})
    assert outbox.states() == [
        ("delivered", "B000"),
        ("parked", "C000"),
        *[("delivered", "0000")] * 3,
    ]
    assert seen == {"2.25.100": 3, "2.25.101": 3, "2.25.102": 1, "2.25.103": 1, "2.25.104": 1}
    assert outbox.files() == 1
    (found,) = outbox.ledger.summary().destinations
    assert (found.delivered, found.warned, found.parked) == (4, {"B000": 1}, {"C000": 1})
    counts = outbox.deliveries.values
    assert counts["1", "report", "warning"] == 1
    assert counts["1", "report", "delivered"] == 3
    assert counts["1", "report", "parked"] == 1
    parked = next(one for one in outbox.events() if one.get("outcome") == "parked")
    assert "plainfilm pacs retry" in parked["remedy"]
    assert "SECRET" not in outbox.lines.getvalue().upper()
    assert "2.25." not in outbox.lines.getvalue()


def test_a_refused_class_is_said_once_and_the_capture_arrives(outbox: Outbox) -> None:
    with scp(lambda event: 0, classes=[CAPTURE]) as to:
        outbox.add([to], ["2.25.1", "2.25.2"])
        outbox.add([to], ["2.25.3"], "capture")
        with outbox.delivering([to]):
            assert wait_until(lambda: "waiting" not in dict(outbox.states()))
    assert [state for state, _ in outbox.states()] == [*["class-refused"] * 2, "delivered"]
    said = [one for one in outbox.events() if one["event"] == "class-refused"]
    assert len(said) == 1
    assert said[0]["consequence"] == (
        "the archive gets no structured reports; they wait in the outbox"
    )
    assert outbox.ledger.retry() == 2  # after the archive allows the class
    with scp(lambda event: 0) as other:
        moved = DicomDestination(other.title, other.host, other.port)
        with outbox.ledger._writing() as rows:
            rows.execute("UPDATE deliveries SET destination = ?", (moved.name,))
        with outbox.delivering([moved]):
            assert wait_until(lambda: {state for state, _ in outbox.states()} == {"delivered"})
    assert outbox.files() == 0


def test_an_archive_that_is_down_and_comes_back(outbox: Outbox) -> None:
    with raw_server(lambda own: None) as port:
        to = DicomDestination("ARCHIVE", "127.0.0.1", port)
        outbox.add([to], [f"2.25.{n}" for n in range(18)])
        with outbox.delivering([to]) as delivery:
            assert wait_until(lambda: delivery.unavailable() == (1,))
    got: list[str] = []

    def store(event: Any) -> int:
        got.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    with outbox.delivering([to]) as delivery:
        assert wait_until(lambda: delivery.unavailable() == (1,))
        with scp(store, port=port):
            assert wait_until(lambda: not outbox.files())
            outbox.add([to], ["2.25.77"])
            delivery.wake()
            assert wait_until(lambda: not outbox.files())
    assert sorted(got) == sorted({*(f"2.25.{n}" for n in range(18)), "2.25.77"})
    assert delivery.unavailable() == ()
    events = [one["event"] for one in outbox.events()]
    assert events.count("archive-available") == 1


def test_what_makes_an_archive_fail_each_time_does_not_hold_others_back(outbox: Outbox) -> None:
    def store(event: Any) -> int:
        return aborts(event) if str(event.request.AffectedSOPInstanceUID) < "2.25.3" else 0

    with scp(store) as to:
        outbox.add([to], [f"2.25.{n}" for n in range(1, 9)])
        with outbox.delivering([to]):
            assert wait_until(lambda: outbox.files() == 2)
    assert {status for state, status in outbox.states() if state == "waiting"} == {"no-answer"}

"""Results arrive in real archives: by C-STORE and STOW-RS, with TLS, committed, and once only."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom")

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from pacs_certificates import certificates
from pacs_outbox import (
    CAPTURE,
    REPORT,
    Outbox,
    answer,
    result_file,
    serving,
    stow,
    wait_until,
    web_server,
)
from pacs_peers import (
    PATH,
    Orthanc,
    archive,  # noqa: F401 (a fixture)
    free_port,
    needs,
    network,  # noqa: F401 (a fixture)
)
from plainfilm.pacs.outcomes import StepSeconds
from plainfilm.pacs.requests import Receiver
from plainfilm.pacs.settings import (
    Destination,
    DicomDestination,
    TlsFiles,
    WebDestination,
    parse_destination,
)
from plainfilm.pacs.tls import server_context

pytestmark = [pytest.mark.slow]

SECONDS = StepSeconds(connect=5, negotiate=5, answer=5)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "state") as opened:
        yield opened


def complete(outbox: Outbox) -> bool:
    """Return whether everything is delivered and the outbox is empty."""
    return {state for state, _ in outbox.states()} == {"delivered"} and not outbox.files()


def test_an_archive_that_is_down_gets_everything_and_no_second_copy(
    archive: Orthanc,  # noqa: F811
    outbox: Outbox,
) -> None:
    to: list[Destination] = [
        parse_destination(archive.destination),
        WebDestination(archive.dicomweb),
    ]
    kinds = {"2.25.1": "report", "2.25.2": "report", "2.25.3": "capture"}
    archive.stop()
    for uid, kind in kinds.items():
        outbox.add(to, [uid], kind)
    with outbox.delivering(to, seconds=SECONDS) as delivery:
        assert wait_until(lambda: delivery.unavailable() == (1, 2))
        assert outbox.files() == 3
        archive.start()
        assert wait_until(lambda: complete(outbox))
        assert archive.count() == 3
        # as after a crash between the answer of the archive and the commit
        for uid, kind in kinds.items():
            key = outbox.key(uid)
            outbox.spool.write_result(key, result_file(uid, kind))
        with outbox.ledger._writing() as rows:
            rows.execute("UPDATE deliveries SET state = 'waiting'")
        delivery.wake()
        assert wait_until(lambda: complete(outbox))
    assert archive.count() == 3
    archive.clear()


def test_killed_again_and_again_nothing_is_lost_and_nothing_arrives_twice(
    archive: Orthanc,  # noqa: F811
    outbox: Outbox,
) -> None:
    to = parse_destination(archive.destination)
    outbox.add([to], [f"2.25.{100 + n}" for n in range(40)])
    script = (
        "import sys; sys.path[:0] = sys.argv[4:]\n"
        "from pathlib import Path; from pacs_outbox import *\n"
        "from plainfilm.pacs.settings import parse_destination\n"
        "state, to, _ = sys.argv[1:4]\n"
        "outbox = Outbox(Path(state)); outbox.open()\n"
        "with outbox.delivering([parse_destination(to)]):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(20)\n"
    )
    command = [sys.executable, "-c", script, str(outbox.folder), to.name, "", *sys.path]
    for kill in range(2):
        count = archive.count()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert wait_until(lambda: archive.count() > count + 3 * kill)  # noqa: B023
            process.kill()
    assert archive.count() < 40
    with outbox.delivering([to], seconds=SECONDS):
        assert wait_until(lambda: complete(outbox))
    assert archive.count() == 40
    archive.clear()


def test_results_stay_until_the_archive_has_committed_them(
    archive: Orthanc,  # noqa: F811
    outbox: Outbox,
) -> None:
    counts: list[str] = []
    receiver = Receiver(outbox.ledger, outbox.spool, counts.append, commitments=True)
    entity = AE("PLAINFILM")
    for context in receiver.contexts():
        entity.add_supported_context(
            context.abstract_syntax,
            context.transfer_syntax,
            scu_role=context.scu_role,
            scp_role=context.scp_role,
        )
    arrived = threading.Event()

    def report(event: Any) -> Any:
        arrived.wait(5)
        return receiver.commit(event)

    to = parse_destination(archive.destination)
    outbox.add([to], ["2.25.201", "2.25.202"])
    with (
        serving(entity, [(evt.EVT_N_EVENT_REPORT, report)], archive.modalities["PLAINFILM"]),
        outbox.delivering([to], seconds=SECONDS, commit=True),
    ):
        assert wait_until(lambda: {state for state, _ in outbox.states()} == {"committing"})
        assert archive.count() == 2
        assert outbox.files() == 2
        arrived.set()
        assert wait_until(lambda: complete(outbox))
    assert counts == ["commitments"]
    assert outbox.deliveries.values["1", "report", "stored"] == 2
    archive.clear()


@contextlib.contextmanager
def scp(*handlers: Any, commits: bool = True) -> Iterator[DicomDestination]:
    entity = AE("ARCHIVE")
    for one in (REPORT, CAPTURE, *([StorageCommitmentPushModel] if commits else [])):
        entity.add_supported_context(one)
    with serving(entity, handlers) as port:
        yield DicomDestination("ARCHIVE", "127.0.0.1", port)


def test_a_result_that_is_not_committed_is_sent_again(outbox: Outbox) -> None:
    stored: list[str] = []
    asked: list[list[str]] = []

    def store(event: Any) -> int:
        stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    def action(event: Any) -> tuple[int, None]:
        requested = event.action_information
        asked.append([str(one.ReferencedSOPInstanceUID) for one in requested.ReferencedSOPSequence])
        failed = [one for one in requested.ReferencedSOPSequence if len(asked) == 1][:1]
        for one in failed:
            one.FailureReason = 0x0112
        information = Dataset()
        information.TransactionUID = requested.TransactionUID
        information.ReferencedSOPSequence = list(requested.ReferencedSOPSequence)[len(failed) :]
        information.FailedSOPSequence = failed
        arguments = (information, 2 if failed else 1, StorageCommitmentPushModel)
        instance = StorageCommitmentPushModelInstance
        threading.Timer(
            0.05, event.assoc.send_n_event_report, [*arguments, instance]
        ).start()  # on the same association
        return 0, None

    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, action)]
    with scp(*handlers) as to:
        outbox.add([to], ["2.25.301", "2.25.302"])
        with outbox.delivering([to], commit=True, seconds=StepSeconds()):
            assert wait_until(lambda: complete(outbox))
    assert stored == ["2.25.301", "2.25.302", "2.25.301"]
    assert asked == [["2.25.301", "2.25.302"], ["2.25.301"]]


def test_an_archive_without_commitment_is_said_and_gets_the_results(outbox: Outbox) -> None:
    with scp((evt.EVT_C_STORE, lambda event: 0), commits=False) as to:
        outbox.add([to], ["2.25.401", "2.25.402"])
        with outbox.delivering([to], commit=True):
            assert wait_until(lambda: complete(outbox))
    said = [one for one in outbox.events() if one["event"] == "commitment-refused"]
    assert len(said) == 1
    assert "--commit" in said[0]["remedy"]


def test_an_archive_that_does_not_accept_the_request_is_asked_again(outbox: Outbox) -> None:
    asked: list[int] = []

    def action(event: Any) -> tuple[int, None]:
        asked.append(1)
        return 0x0110 if len(asked) == 1 else 0, None

    handlers = [(evt.EVT_C_STORE, lambda event: 0), (evt.EVT_N_ACTION, action)]
    with scp(*handlers) as to:
        outbox.add([to], ["2.25.501"])
        with outbox.delivering([to], commit=True):
            assert wait_until(lambda: outbox.states() == [("committing", "not-committed")])
            assert outbox.files() == 1
    assert len(asked) == 2


@needs("openssl", "storescp")
def test_tls_needs_the_certificate_of_the_archive(outbox: Outbox, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    port = free_port()
    command = ["storescp", "+tls", made["server.key"], made["server.pem"]]
    command += ["+cf", made["authority.pem"], "-od", inbox, "-aet", "ARCHIVE", str(port)]
    ours = TlsFiles(made["client.pem"], made["client.key"], made["authority.pem"])
    to = DicomDestination("ARCHIVE", "127.0.0.1", port, tls=True)
    outbox.add([to], ["2.25.601"])
    with subprocess.Popen(command, env={"PATH": PATH}, stdout=-3, stderr=-3) as process:
        try:
            for wrong in (
                TlsFiles(made["other.pem"], made["other.key"], made["authority.pem"]),
                TlsFiles(made["client.pem"], made["client.key"], made["outsider.pem"]),
            ):
                with outbox.delivering([to], seconds=SECONDS, tls=wrong) as delivery:
                    assert wait_until(lambda: delivery.unavailable() == (1,))
                assert outbox.files() == 1
            with outbox.delivering([to], seconds=SECONDS, tls=ours):
                assert wait_until(lambda: complete(outbox))
        finally:
            process.kill()
    assert len(list(inbox.iterdir())) == 1
    assert "tls" in {one.get("status") for one in outbox.events()}


@needs("openssl")
def test_https_checks_the_server_and_shows_the_own_certificate(
    outbox: Outbox, tmp_path: Path
) -> None:
    made = certificates(tmp_path)
    context = server_context(
        TlsFiles(made["server.pem"], made["server.key"], made["authority.pem"])
    )
    ours = TlsFiles(made["client.pem"], made["client.key"], made["authority.pem"])
    secret = tmp_path / "credentials"
    secret.write_text("archive-user:archive-password")

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        answer(handler, 200, stow(["2.25.701"]))

    with web_server(respond, context) as (url, requests):
        to = WebDestination(url)
        outbox.add([to], ["2.25.701"])
        for wrong in (
            None,
            TlsFiles(made["client.pem"], made["client.key"], made["outsider.pem"]),
            TlsFiles(made["other.pem"], made["other.key"], made["authority.pem"]),
        ):
            settings = {"seconds": SECONDS, "tls": wrong, "credentials": secret}
            with outbox.delivering([to], **settings) as delivery:
                assert wait_until(lambda: delivery.unavailable() == (1,))
        assert not requests, "credentials went to a server that was not checked"
        with outbox.delivering([to], seconds=SECONDS, tls=ours, credentials=secret):
            assert wait_until(lambda: complete(outbox))
    assert [one["authorization"][:6] for one in requests] == ["Basic "]
    assert "client" in requests[0]["client"]
    ledger = b"".join(path.read_bytes() for path in outbox.folder.glob("ledger.db*"))
    for text in ("archive-user", "archive-password", requests[0]["authorization"], "SECRET"):
        assert text not in outbox.lines.getvalue()
        assert text.encode() not in ledger

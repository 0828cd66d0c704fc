"""The network process with real peers (dcmtk), and with hostile ones on the loopback."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_wire import (
    ABORT,
    ACCEPT,
    ASSOCIATE,
    COMMAND,
    CR,
    DATA,
    ECHO,
    IMAGE,
    IMPLICIT,
    LAST,
    REJECT,
    RELEASE,
    VERIFICATION,
    Wire,
    associate_request,
    command,
    echo,
    echo_command,
    echo_message,
    element,
    image,
    message,
    pdu,
    store,
    value,
)
from pacs_certificates import certificates
from pacs_files import SECONDARY_CAPTURE, chest, lossless, to_bytes
from pacs_peers import echoscu, needs, storescu

pytest.importorskip("pynetdicom")

from plainfilm.errors import UsageError
from plainfilm.inference.log import Log
from plainfilm.pacs.ledger import Ledger, ResultRow, uid_key
from plainfilm.pacs.receiver_process import ReceiverProcess
from plainfilm.pacs.settings import ListenSettings, NetworkLimits, Peer, TlsFiles
from plainfilm.pacs.state_folder import LEDGER, StateLock

MIB = 1 << 20
QUICK = NetworkLimits(
    pdu_seconds=1,
    handshake_seconds=1,
    idle_seconds=2,
    message_seconds=3,
    turn_seconds=1,
    stop_seconds=3,
    message=4 * MIB,
    all_messages=6 * MIB,
)
OTHER = "127.0.0.2"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
COMMITMENT = "1.2.840.10008.1.20.1"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass
class Running:
    """A network process and its state folder."""

    process: ReceiverProcess
    state: Path

    @property
    def port(self) -> int:
        return self.process.port

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.state / "spool").iterdir())

    def ledger(self) -> Ledger:
        return Ledger.open(self.state / LEDGER)

    def status(self, name: str) -> int:
        """Return a number of the process from /proc, such as VmRSS in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
        return int(found.split()[1]) * (1024 if found.endswith("kB") else 1)

    def quiet(self, seconds: float = 15) -> int:
        """Wait until no thread of a connection is left; return how many are."""
        end = time.monotonic() + seconds
        while (extra := self.status("Threads") - 3) > 0 and time.monotonic() < end:
            time.sleep(0.02)
        return extra

    def counted(self, name: str, least: int = 1, seconds: float = 10) -> int:
        end = time.monotonic() + seconds
        while (found := self.process.counts[name]) < least and time.monotonic() < end:
            time.sleep(0.02)
        return found


@contextlib.contextmanager
def running(state: Path, **options: Any) -> Iterator[Running]:
    values: dict[str, Any] = {"title": "PLAINFILM", "host": "127.0.0.1", "port": 0, "reserve": 0}
    settings = ListenSettings(**{**values, "limits": QUICK, "state": state, **options})
    with StateLock(state) as lock:
        inherited = [lock.descriptor]
        with ReceiverProcess(settings, lambda: None, Log(), inherited=inherited) as process:
            yield Running(process, state)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("receiver") / "state") as found:
        yield found


@contextlib.contextmanager
def associated(receiver: Running, **options: Any) -> Iterator[Wire]:
    with Wire(receiver.port) as wire:
        assert wire.associate(**options) == ACCEPT
        yield wire


def write(folder: Path, *datasets: Any) -> list[Path]:
    paths = []
    for number, made in enumerate(datasets):
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(made if isinstance(made, bytes) else to_bytes(made))
    return paths


@needs("storescu", "echoscu")
def test_an_image_is_stored_once(receiver: Running, tmp_path: Path) -> None:
    before = len(receiver.files())
    paths = write(tmp_path, chest("once"))
    assert echoscu(receiver.port)
    for _ in range(2):
        assert storescu(receiver.port, paths)[0] == 0
    assert receiver.counted("stored") and receiver.counted("duplicate")
    (name,) = receiver.files()[before:] or receiver.files()
    kept = receiver.state / "spool" / name
    assert kept.stat().st_mode & 0o777 == 0o600
    from pydicom import dcmread

    found = dcmread(kept)
    assert found.SOPInstanceUID == chest("once").SOPInstanceUID
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    with receiver.ledger() as ledger:
        assert ledger.has_image(name.removesuffix(".dcm"))


def decodable() -> set[str]:
    """Return the transfer syntaxes of still images that pydicom can decode here."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    found = set()
    for syntax in AllTransferSyntaxes:
        with contextlib.suppress(NotImplementedError):
            if not syntax.is_encapsulated or get_decoder(syntax).is_available:
                found.add(str(syntax))
    return found


def test_every_transfer_syntax_of_the_decoders_is_accepted() -> None:
    from plainfilm.pacs.requests import SYNTAXES

    unusual = {"1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.7.2", "1.2.840.10008.1.2.7.3"}  # video
    assert decodable() - unusual <= set(SYNTAXES)


@needs("storescu", "dcmcjpeg")
def test_compressed_images(receiver: Running, tmp_path: Path) -> None:
    paths = write(tmp_path, lossless(to_bytes(chest("compressed", size=(64, 48)))))
    assert storescu(receiver.port, paths, "-xs")[0] == 0


@needs("storescu")
def test_other_classes_are_refused(receiver: Running, tmp_path: Path) -> None:
    made = chest("other class", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    status, text = storescu(receiver.port, write(tmp_path, made))
    assert status != 0 and "No valid Presentation Context" in text


@needs("storescu")
def test_own_results_are_dropped(receiver: Running, tmp_path: Path) -> None:
    """By the model name, or by the UID; other objects of these classes are refused."""
    capture = {"SOPClassUID": SECONDARY_CAPTURE, "Modality": "OT", "ConversionType": "DI"}
    named = chest("own name", attributes=capture, ManufacturerModelName="plainfilm")
    foreign = chest("foreign", attributes=capture)
    before = receiver.files()
    assert storescu(receiver.port, write(tmp_path, named))[0] == 0
    status, text = storescu(receiver.port, write(tmp_path, foreign))
    assert status != 0 and "SOPClassNotSupported" in text
    known = chest("own UID")
    with receiver.ledger() as ledger:
        ledger.finish({}, [ResultRow("a" * 32, uid_key(known.SOPInstanceUID), "report")], [])
    assert storescu(receiver.port, write(tmp_path, known))[0] == 0
    assert receiver.counted("own", 2) == 2
    assert receiver.files() == before


def test_secondary_capture_on_request(tmp_path: Path) -> None:
    contexts = [(IMAGE, SECONDARY_CAPTURE, [IMPLICIT])]
    with (
        running(tmp_path / "state", secondary_capture=True) as receiver,
        associated(receiver, contexts=contexts) as wire,
    ):
        head = command(sop_class=SECONDARY_CAPTURE)
        data = image(sop_class=SECONDARY_CAPTURE)
        wire.send(message(value(IMAGE, COMMAND | LAST, head), value(IMAGE, LAST, data)))
        assert wire.status() == 0
        assert len(receiver.files()) == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (image("2.25.2"), 0xA900),
        (image("2.25.1", sop_class=SECONDARY_CAPTURE), 0xA900),
        (image("2.25.1", study="no-uid"), 0xA900),
        (image("2.25.1", study="../../../tmp/x"), 0xA900),
        (b"", 0xA900),
        (image()[:40], 0xC000),
        (b"\xff" * 60, 0xA900),
    ],
)
def test_data_sets_of_other_images(receiver: Running, data: bytes, status: int) -> None:
    before = receiver.files()
    with associated(receiver) as wire:
        wire.send(store(data=data))
        assert wire.status() == status
        wire.send(store("2.25.777"))  # the association goes on
        assert wire.status() == 0
    assert len(receiver.files()) <= len(before) + 1


@pytest.mark.parametrize("uid", ["../../x", "/tmp/x", "1.2\0.3", "1" * 70, "CON", "1.02"])
def test_uids_that_are_none(receiver: Running, uid: str) -> None:
    before = receiver.files()
    with associated(receiver) as wire:
        wire.send(store(uid))
        if len(uid) <= 64:
            assert wire.status() == 0xA900
            wire.send(store(data=image(uid)))
            assert wire.status() == 0xA900
        else:
            assert wire.receive()[0] in (0, ABORT)
    assert receiver.files() == before


def test_many_versions_of_an_image_are_ignored(receiver: Running) -> None:
    before = len(receiver.files())
    with associated(receiver) as wire:
        for size in range(2, 18, 2):
            wire.send(store("2.25.55", image("2.25.55", size=size)))
            assert wire.status() == 0
    assert receiver.counted("ignored", 3) == 3
    assert len(receiver.files()) == before + 5


def test_without_room_on_the_disk_the_peer_keeps_the_image(tmp_path: Path) -> None:
    with running(tmp_path / "state", reserve=1 << 60) as receiver, associated(receiver) as wire:
        wire.send(store())
        assert wire.status() == 0xA700
        assert receiver.files() == []
        assert receiver.counted("no_resources") == 1


def test_titles_and_addresses_are_checked_as_pairs(tmp_path: Path) -> None:
    peers = (Peer("NEAR", "127.0.0.1"), Peer("FAR", OTHER))
    with running(tmp_path / "state", peers=peers) as receiver:
        assert echo(receiver.port, calling="NEAR")
        assert echo(receiver.port, calling="FAR", source=OTHER)
        for options, reason in (
            ({"calling": "FAR"}, b"\0\1\1\3"),
            ({"calling": "OTHER"}, b"\0\1\1\3"),
            ({"calling": "NEAR", "called": "OTHER"}, b"\0\1\1\7"),
        ):
            with Wire(receiver.port) as wire:
                wire.send(associate_request(**options))
                assert wire.receive() == (REJECT, reason)
        assert not echo(receiver.port, calling="NEAR", source="127.0.0.3")
        assert receiver.counted("refused_title", 3) == 3
        assert receiver.counted("refused_address") == 1


def test_ipv6(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on the loopback")
    peers = (Peer("PEER", "::1"), Peer("PEER", "127.0.0.1"))
    with running(tmp_path / "state", host="::", peers=peers) as receiver:
        assert echo(receiver.port)
        assert echo(receiver.port, host="::1", source="::1")
        assert not echo(receiver.port, source=OTHER)


def test_each_address_has_few_connections(receiver: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(Wire(receiver.port))
        assert echo(receiver.port, source=OTHER)
        assert receiver.status("Threads") <= 3 + 3 * 5
        assert receiver.counted("refused_limit", 36) >= 36
    assert receiver.quiet() == 0


def garbage() -> dict[str, bytes]:
    """Return what a hostile peer sends after its association was accepted."""
    sop = value(IMAGE, COMMAND | LAST, command())
    return {
        "unknown command": message(value(IMAGE, COMMAND | LAST, command(0x7777))),
        "no UID": message(value(IMAGE, COMMAND | LAST, command(uid=""))),
        "data before command": message(value(IMAGE, LAST, b"abc")),
        "unknown context": message(value(99, COMMAND | LAST, command()), value(99, LAST, b"ab")),
        "empty value": message(struct.pack(">L", 0)),
        "no values": message(),
        "garbage": message(value(IMAGE, COMMAND | LAST, b"\xff" * 40)),
        "echo with data": message(
            value(ECHO, COMMAND | LAST, command(0x0030, VERIFICATION, "", data=True))
        ),
        "long command": message(value(IMAGE, COMMAND, bytes(5000))),
        "two requests": message(*[value(ECHO, COMMAND | LAST, echo_command())] * 2),
        "declared length": pdu(DATA, b"ab", 0x7FFFFFFF),
        "unknown PDU": pdu(9, b"abcd"),
        "second association": associate_request(),
        "long release": pdu(RELEASE, bytes(5000)),
        "unfinished PDU": pdu(DATA, b"ab", 5000),
        "unfinished message": message(sop, value(IMAGE, 0, b"ab")),
        "silence": b"",
        "endless message": message(sop) + message(value(IMAGE, 0, bytes(100_000))) * 60,
    }


@pytest.mark.parametrize("name", garbage())
def test_hostile_messages_end_their_association_alone(receiver: Running, name: str) -> None:
    with associated(receiver) as wire:
        with contextlib.suppress(OSError):
            wire.send(garbage()[name])
        began = time.monotonic()
        assert echo(receiver.port, source=OTHER)
        with contextlib.suppress(OSError):
            while wire.receive()[0]:
                pass
        assert time.monotonic() - began < 4
    assert receiver.quiet() == 0
    assert receiver.process.restarts == 0
    assert receiver.status("VmHWM") < 150 * MIB


def requests() -> dict[str, bytes]:
    """Return what a hostile peer sends instead of a request for an association."""
    contexts = [(n % 256, CR, [IMPLICIT]) for n in range(1000)]
    named = associate_request(calling="CALLING")
    return {
        "declared length": pdu(ASSOCIATE, b"x", 0x7FFFFFFF),
        "unfinished": pdu(ASSOCIATE, b"x" * 10, 5000),
        "empty": pdu(ASSOCIATE, bytes(68)),
        "data": pdu(DATA, bytes(8)),
        "cut off": associate_request()[:-5],
        "many contexts": associate_request(contexts=contexts),
        "no title": named.replace(b"CALLING", b"       "),
        "HTTP": b"GET / HTTP/1.1\r\n\r\n",
        "silence": b"",
    }


@pytest.mark.parametrize("name", requests())
def test_hostile_requests_for_an_association(receiver: Running, name: str) -> None:
    with Wire(receiver.port) as wire:
        wire.send(requests()[name])
        assert echo(receiver.port, source=OTHER)
        with contextlib.suppress(OSError):
            while wire.receive()[0]:
                pass
    assert receiver.quiet() == 0


def test_requests_that_cannot_be_read_hold_no_connection(tmp_path: Path) -> None:
    with running(tmp_path / "state", limits=NetworkLimits(pdu_seconds=60)) as receiver:
        for name in ("no title", "empty", "cut off"):
            with Wire(receiver.port) as wire:
                wire.send(requests()[name])
        assert receiver.quiet() == 0


def test_mutated_messages_leave_nothing(receiver: Running) -> None:
    random = np.random.default_rng(1)
    files = len(receiver.files())
    for number in range(80):
        raw = bytearray(associate_request() + (b"", store(), echo_message())[number % 3])
        for at in random.integers(0, len(raw), 1 + number % 6):
            raw[at] = random.integers(0, 256)
        with contextlib.suppress(OSError), Wire(receiver.port, seconds=1) as wire:
            wire.send(bytes(raw[: random.integers(1, len(raw) + 1)]))
    assert echo(receiver.port, source=OTHER)
    assert receiver.quiet() == 0
    assert receiver.process.restarts == 0
    assert len(receiver.files()) <= files + 1


def test_a_peer_that_sends_slowly_is_cut_off(receiver: Running) -> None:
    with Wire(receiver.port) as wire, pytest.raises(OSError):
        began = time.monotonic()
        for byte in associate_request():
            wire.send(bytes([byte]))
            time.sleep(0.1)
            assert time.monotonic() - began < 3
    assert receiver.quiet() == 0


def test_messages_of_one_address_leave_room_for_others(receiver: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            wire = stack.enter_context(associated(receiver))
            wire.send(message(value(IMAGE, COMMAND | LAST, command())))
            wire.send(message(value(IMAGE, 0, bytes(100_000))) * 9)
        with Wire(receiver.port, source=OTHER) as wire:
            assert wire.associate() == ACCEPT
            wire.send(store("2.25.88"))
            assert wire.status() == 0


def test_large_images_come_one_after_the_other(receiver: Running) -> None:
    """Four at once from one address are more than the memory has room for; none is cut off."""
    begin = message(value(IMAGE, COMMAND | LAST, command()))
    piece, end = message(value(IMAGE, 0, bytes(100_000))), message(value(IMAGE, LAST, b"ab"))
    statuses: list[int] = []

    def send() -> None:
        with associated(receiver) as wire:
            wire.send(begin + piece * 35 + end)
            statuses.append(wire.status())

    assert receiver.quiet() == 0
    before = receiver.process.counts["refused_memory"]
    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [0xC000] * 4  # zeros are no data set, but they all came
    assert receiver.process.counts["refused_memory"] == before


def test_a_peer_that_leaves_while_it_waits_for_memory_is_counted(receiver: Running) -> None:
    assert receiver.quiet() == 0
    before = receiver.process.counts["refused_memory"]
    # The second peer waits if the first one has the room by then, which depends on the scheduler.
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            for source in ("127.0.0.1", OTHER):
                wire = stack.enter_context(Wire(receiver.port, source=source))
                assert wire.associate() == ACCEPT
                wire.send(message(value(IMAGE, COMMAND | LAST, command())))
                with contextlib.suppress(TimeoutError):
                    wire.socket.settimeout(0.3)
                    wire.send(message(value(IMAGE, 0, bytes(100_000))) * 30)
            assert echo(receiver.port, source="127.0.0.3")
            wire.socket.close()
            if receiver.counted("refused_memory", before + 1, 1) > before:
                break
        assert receiver.quiet() == 0
    assert receiver.process.counts["refused_memory"] == before + 1


def test_messages_that_were_too_long_leave_no_memory(receiver: Running) -> None:
    start = message(value(IMAGE, COMMAND | LAST, command()))
    piece = message(value(IMAGE, 0, bytes(130_000)))
    receiver.quiet()
    before = receiver.status("VmRSS")
    for _ in range(12):
        with associated(receiver) as wire, contextlib.suppress(OSError):
            wire.send(start)
            for _ in range(33):
                wire.send(piece)
            wire.receive()
    assert receiver.quiet() == 0
    assert receiver.status("VmHWM") < before + 24 * MIB


def commitment(transaction: str, uid: str, more: bytes = b"") -> bytes:
    """Return an N-EVENT-REPORT: the archive stored an instance."""
    one = element(0x00081150, CR.encode()) + element(0x00081155, uid.encode())
    entry = struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one
    data = element(0x00081195, transaction.encode()) + element(0x00081199, entry)
    head = command(0x0100, COMMITMENT, "1.2.840.10008.1.20.1.1", more=element(0x1002, b"\1\0"))
    return message(value(IMAGE, COMMAND | LAST, head), value(IMAGE, LAST, data + more))


@pytest.fixture
def committing(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "state", commitments=True) as found:
        yield found


def test_storage_commitment_is_recorded(committing: Running, receiver: Running) -> None:
    uid = "2.25.4444"
    with committing.ledger() as ledger:
        ledger.finish({}, [ResultRow("b" * 32, uid_key(uid), "report")], ["archive"])
        (delivery,) = ledger.due_deliveries("archive", time.time() + 1, 9)
        ledger.committing(delivery.id, "2.25.9", due=time.time() + 60)
    with associated(committing, contexts=[(IMAGE, COMMITMENT, [IMPLICIT])]) as wire:
        wire.send(commitment("2.25.9", uid))
        assert wire.status() == 0
        wire.send(
            message(
                value(
                    IMAGE,
                    COMMAND | LAST,
                    command(0x0100, COMMITMENT, "1.2", more=element(0x1002, b"\1\0")),
                ),
                value(IMAGE, LAST, b"\xff" * 20),
            )
        )
        assert wire.status() == 0x0110
    with committing.ledger() as ledger:
        assert not ledger.due_deliveries("archive", time.time() + 100, 9)
    with associated(committing, contexts=[(IMAGE, COMMITMENT, [IMPLICIT])]) as wire:
        wire.send(commitment("2.25.9", uid, more=bytes(20_000)))
        assert wire.receive()[0] in (0, ABORT)
    with associated(committing, contexts=[(IMAGE, CR, [IMPLICIT])]) as wire:
        wire.send(commitment("2.25.9", uid))  # in the context of an image
        assert wire.status() == 0x0110
    for peer, syntax in ((committing, DEFLATED), (receiver, IMPLICIT)):
        with associated(peer, contexts=[(IMAGE, COMMITMENT, [syntax])]) as wire:
            wire.send(commitment("2.25.9", uid))
            assert wire.receive()[0] in (0, ABORT)


def test_it_is_started_again_and_ends_with_its_input(tmp_path: Path) -> None:
    with running(tmp_path / "state") as receiver:
        port, process = receiver.port, receiver.process
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        end = time.monotonic() + 5
        while not (process.restarts and process.pid) and time.monotonic() < end:
            time.sleep(0.02)
        assert receiver.port == port and process.error == "signal-9"
        pid = process.pid
        with associated(receiver) as wire:
            wire.send(store())
            assert wire.status() == 0
            began = time.monotonic()
            process.stop()
            assert time.monotonic() - began < 2  # an association that waits is not waited for
        assert pid is not None and not Path(f"/proc/{pid}").exists()


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with (
            pytest.raises(UsageError, match="another program"),
            running(tmp_path / "state", port=other.getsockname()[1]),
        ):
            pass
    with (
        pytest.raises(UsageError, match="does not have this address"),
        running(tmp_path / "state", host="192.0.2.1"),
    ):
        pass


def test_the_process_has_limits(receiver: Running) -> None:
    assert receiver.process.pid is not None
    assert resource.prlimit(receiver.process.pid, resource.RLIMIT_CORE) == (0, 0)
    assert resource.prlimit(receiver.process.pid, resource.RLIMIT_DATA)[1] == QUICK.memory
    environment = Path(f"/proc/{receiver.process.pid}/environ").read_bytes()
    assert b"PLAINFILM_TOKEN" not in environment


@needs("openssl", "echoscu", "storescu")
def test_tls(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    files = TlsFiles(made["server.pem"], made["server.key"], made["authority.pem"])

    def options(name: str) -> list[str]:
        paths = (made[f"{name}.key"], made[f"{name}.pem"])
        return ["+tls", *map(str, paths), "+cf", str(made["authority.pem"])]

    with running(tmp_path / "state", tls=files) as receiver:
        assert echoscu(receiver.port, *options("client"))
        assert not echoscu(receiver.port, *options("other"))
        assert not echoscu(receiver.port, "+tla", "-ic")
        assert not echoscu(receiver.port, "-ta", "2")
        with Wire(receiver.port):  # silent
            assert echoscu(receiver.port, *options("client"))
        assert storescu(receiver.port, write(tmp_path, chest("TLS")), *options("client"))[0] == 0
        assert receiver.counted("refused_tls", 3) >= 3
        assert receiver.quiet() == 0

    for wrong in (
        replace(files, key=made["client.key"]),
        replace(files, authority=tmp_path / "missing"),
        replace(files, certificate=made["server.key"]),
    ):
        with pytest.raises(UsageError), running(tmp_path / "state", tls=wrong):
            pass


def test_the_private_parts_of_pynetdicom_that_are_replaced() -> None:
    """A version without them would receive without limits."""
    import inspect

    from pynetdicom import AE, dul
    from pynetdicom.association import Association
    from pynetdicom.fsm import StateMachine
    from pynetdicom.transport import AssociationSocket, RequestHandler

    assert "AssociationSocket(assoc, client_socket=self.request)" in inspect.getsource(
        RequestHandler._create_association
    )
    source = inspect.getsource(dul.DULServiceProvider._read_pdu_data)
    assert [source.count(text) for text in ("socket.recv(6)", "socket.recv(pdu_length)")] == [1, 1]
    assert source.count("recv(") == 2
    assert "self.dul.receive_pdu(wait=True" in inspect.getsource(Association.run_reactor)
    assert StateMachine(None).current_state == "Sta1"  # type: ignore[arg-type]
    assoc = Association(AE("X"), "acceptor")
    assert assoc.dul.socket is None
    assoc.dul._idle_timer.restart()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assoc.set_socket(AssociationSocket(assoc, client_socket=ours))
        assert list(assoc.dul.event_queue.queue) == ["Evt5"]

"""Messages of the DICOM upper layer protocol, byte by byte, for honest and hostile peers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

VERIFICATION = "1.2.840.10008.1.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
ASSOCIATE, ACCEPT, REJECT, DATA, RELEASE, RELEASED, ABORT = range(1, 8)
IMAGE, ECHO = 1, 3
"""Presentation contexts that `associate_request` proposes: CR in implicit VR, and verification."""

LAST = 2
COMMAND = 1


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Return a PDU, with another length than its own if one is given."""
    return struct.pack(">BxL", kind, len(body) if length is None else length) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def associate_request(
    called: str = "PLAINFILM",
    calling: str = "PEER",
    contexts: Sequence[tuple[int, str, Sequence[str]]] = (
        (IMAGE, CR, [IMPLICIT]),
        (ECHO, VERIFICATION, [IMPLICIT]),
    ),
) -> bytes:
    """Return an A-ASSOCIATE-RQ."""
    proposed = b"".join(
        item(
            0x20,
            struct.pack("B3x", number)
            + item(0x30, abstract.encode())
            + b"".join(item(0x40, syntax.encode()) for syntax in syntaxes),
        )
        for number, abstract, syntaxes in contexts
    )
    user = item(0x50, item(0x51, struct.pack(">L", 0)) + item(0x52, b"1.2.3"))
    titles = called.encode().ljust(16)[:16] + calling.encode().ljust(16)[:16]
    head = struct.pack(">HH", 1, 0) + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    return pdu(ASSOCIATE, head + proposed + user)


def element(tag: int, value: bytes) -> bytes:
    """Return an element in implicit VR little endian."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def command(
    field: int = 1,
    sop_class: str = CR,
    uid: str = "2.25.1",
    *,
    data: bool = True,
    more: bytes = b"",
) -> bytes:
    """Return a command set."""
    body = element(0x0002, sop_class.encode())
    body += element(0x0100, struct.pack("<H", field)) + element(0x0110, struct.pack("<H", 1))
    if field == 1:
        body += element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 1 if data else 0x0101))
    if uid:
        body += element(0x1000, uid.encode())
    body += more
    return element(0x0000, struct.pack("<L", len(body))) + body


def echo_command() -> bytes:
    return command(0x0030, VERIFICATION, "", data=False)


def image(uid: str = "2.25.1", study: str = "2.25.2", sop_class: str = CR, size: int = 64) -> bytes:
    """Return a small data set in implicit VR little endian; its pixels are no image."""
    return (
        element(0x00080016, sop_class.encode())
        + element(0x00080018, uid.encode())
        + element(0x00100010, b"DOE^JANE")
        + element(0x0020000D, study.encode())
        + element(0x7FE00010, bytes(size))
    )


def value(context: int, control: int, data: bytes) -> bytes:
    """Return a presentation data value."""
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def message(*values: bytes) -> bytes:
    return pdu(DATA, b"".join(values))


def store(uid: str = "2.25.1", data: bytes | None = None) -> bytes:
    """Return the PDUs of a C-STORE of a small image."""
    data = image(uid) if data is None else data
    head = value(IMAGE, COMMAND | LAST, command(uid=uid))
    return message(head) + message(value(IMAGE, LAST, data))


def echo_message() -> bytes:
    """Return the PDU of a C-ECHO."""
    return message(value(ECHO, COMMAND | LAST, echo_command()))


class Wire:
    """A connection to a DICOM server."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        source: str = "127.0.0.1",
        seconds: float = 5.0,
    ) -> None:
        self.socket = socket.create_connection((host, port), seconds, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; the type 0 once the connection is closed."""
        try:
            head = self._exactly(6)
            kind, length = struct.unpack(">BxL", head)
            return kind, self._exactly(length)
        except (ConnectionError, struct.error):
            return 0, b""

    def associate(self, **options: object) -> int:
        """Request an association and return the type of the answer."""
        self.send(associate_request(**options))  # type: ignore[arg-type]
        return self.receive()[0]

    def status(self) -> int | None:
        """Return the status of the next response; None if another PDU came."""
        kind, body = self.receive()
        at = body.find(struct.pack("<HHL", 0, 0x0900, 2))
        return struct.unpack_from("<H", body, at + 8)[0] if kind == DATA and at >= 0 else None

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not (some := self.socket.recv(count - len(data))):
                raise ConnectionError
            data += some
        return data


def echo(
    port: int,
    *,
    host: str = "127.0.0.1",
    source: str = "127.0.0.1",
    calling: str = "PEER",
    seconds: float = 5,
) -> bool:
    """Return whether a C-ECHO succeeds."""
    try:
        with Wire(port, host=host, source=source, seconds=seconds) as wire:
            if wire.associate(calling=calling) != ACCEPT:
                return False
            wire.send(echo_message())
            status = wire.status()
            wire.send(pdu(RELEASE, bytes(4)))
            return status == 0 and wire.receive()[0] == RELEASED
    except OSError:
        return False

"""The socket of an association, which reads no more and waits no longer than the limits allow.

The state of pynetdicom's protocol machine is read from an attribute that is not public.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from struct import Struct

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from plainfilm.pacs.budget import Budget
from plainfilm.pacs.messages import MessageCheck, ProtocolError
from plainfilm.pacs.settings import NetworkLimits, plain_address
from plainfilm.pacs.sockets import acknowledge_at_once

_HEAD = Struct(">BxL")  # of a PDU: type, length
_ASSOCIATE, _P_DATA, _LAST_TYPE = 1, 4, 7
_SHORT_PDU = 64  # bytes; a release or abort has 4
_ESTABLISHED = "Sta6"
_CLOSED = getattr(select, "POLLRDHUP", 0)  # the peer has; other ends are always reported


class BoundSocket(AssociationSocket):  # type: ignore[misc]
    """The socket of an association. It reads no more and waits no longer than the limits allow."""

    def __init__(
        self,
        assoc: Association,
        client: socket.socket,
        limits: NetworkLimits,
        budget: Budget,
        count: Callable[[str], None],
    ) -> None:
        super().__init__(assoc, client_socket=client)
        self._limits, self._budget, self._count = limits, budget, count
        self._address = plain_address(assoc.requestor.address_info.address)
        self._check = MessageCheck(limits.message)
        self._kind: int | None = None  # of the PDU whose body is read next
        self._due = 0.0
        self._began: float | None = None  # when the current message began
        self._taken = 0  # its bytes
        client.settimeout(limits.pdu_seconds)

    @property
    def ready(self) -> bool:
        """Whether a PDU can be read: not before the last request has its response."""
        return not self._check.is_complete and bool(super().ready)

    @property
    def is_receiving(self) -> bool:
        """Whether a message has begun that has no response yet."""
        return self._began is not None

    @property
    def is_late(self) -> bool:
        """Whether a message has begun too long ago."""
        began = self._began
        return self._budget.is_blocking(self) or (
            began is not None and time.monotonic() - began > self._limits.message_seconds
        )

    def answered(self) -> None:
        """Forget the message, which is no longer in memory."""
        self._budget.give_back(self, self._address, self._taken)
        self._began, self._taken = None, 0
        self._check.reset()

    def recv(self, nr_bytes: int) -> bytearray:
        """Read the head or the body of a PDU within its deadline."""
        try:
            if self._kind is None:
                return self._read_head(nr_bytes)
            kind, self._kind = self._kind, None
            return self._read_body(kind, nr_bytes)
        except (OSError, ProtocolError):
            self.wake()
            raise

    def _read_head(self, count: int) -> bytearray:
        """Read type and length of a PDU, and check them."""
        self._due = time.monotonic() + self._limits.pdu_seconds
        head = self._exactly(count)
        if len(head) < _HEAD.size:
            self.wake()
            return head
        kind, length = _HEAD.unpack(head)
        if length > self._longest(kind):
            raise ProtocolError("a PDU that is too long")
        if 0 < kind <= _LAST_TYPE:
            self._kind = kind
        return head

    def _longest(self, kind: int) -> int:
        """Return how long a PDU of a type may be now."""
        established = self.assoc.dul.state_machine.current_state == _ESTABLISHED
        if kind == _P_DATA and established:
            return self._limits.pdu
        return self._limits.first_pdu if kind == _ASSOCIATE and not established else _SHORT_PDU

    def _read_body(self, kind: int, count: int) -> bytearray:
        """Read the body of a PDU; bytes of messages are counted before they are read."""
        if kind != _P_DATA:
            return self._exactly(count)
        if self._taken + count > self._limits.message:
            raise ProtocolError("a message that is too long")
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if not self._budget.take(self, self._address, self._taken, count, self._waits):
            self._count("refused_memory")
            raise TimeoutError
        self._due += time.monotonic() - now
        self._taken += count
        body = self._exactly(count)
        if len(body) == count:
            self._check.feed(body)
        return body

    def _waits(self) -> bool:
        """Return whether the peer still waits until there is memory; that is no idle time."""
        if self.socket is None:
            return False
        self.assoc.dul._idle_timer.restart()
        found = select.poll()
        found.register(self.socket, _CLOSED)
        return not found.poll(0)

    def _exactly(self, count: int) -> bytearray:
        """Read a number of bytes; fewer only if the peer has closed the connection."""
        if self.socket is None:
            raise ConnectionError
        data = bytearray(count)
        with memoryview(data) as view:
            at = 0
            while at < count and time.monotonic() < self._due:
                got = self.socket.recv_into(view[at:])
                if not got:
                    break
                at += got
            else:
                if at < count:
                    raise TimeoutError
        acknowledge_at_once(self.socket)
        return data if at == count else data[:at]

    def send(self, bytestream: bytes) -> None:
        """Send a PDU; a peer that does not read loses its connection."""
        try:
            if self.socket is None:
                raise ConnectionError
            self.socket.sendall(bytestream)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")

    def wake(self) -> None:
        """End the wait for an association request, which would otherwise reach its timeout."""
        if not self.assoc.is_established:
            self.assoc.dul.to_user_queue.put(None)

    def disconnect(self) -> None:
        """Close the connection; threads that wait for it return."""
        if (raw := self.socket) is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)

"""Associations with archives, with a time limit for each step and a limit on what is read.

pynetdicom waits without limit for a peer that sends half a PDU or reads nothing, and allocates
what a peer declares. ``AssociationSocket`` is public; ``AE._create_socket`` is not, so the version
of pynetdicom is pinned.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.fsm import AA_4
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket

from plainfilm.pacs.answers import Answers
from plainfilm.pacs.outcomes import DEFAULT_SECONDS, Outcome, StepSeconds, Unavailable
from plainfilm.pacs.settings import DicomDestination
from plainfilm.pacs.sockets import acknowledge_at_once


class ClientSocket(AssociationSocket):  # type: ignore[misc]
    """A socket with limits; it keeps why the connection failed."""

    step = 60.0
    most = 1 << 17  # bytes of an answer; pynetdicom decodes all
    target: tuple[str, int]
    failure: OSError | None = None
    socket: Any

    def connect(self, primitive: Any) -> None:
        """Connect, and negotiate TLS, within the time limit."""
        own: Any = self.socket
        try:
            own.close()
            # pynetdicom tries one address of a name only.
            own = socket.create_connection(self.target, self.assoc.connection_timeout)
            self.socket = own
            # Else each command waits 40 ms for the acknowledgement of the one before.
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls_args:
                context, name = self.tls_args
                own = self.socket = context.wrap_socket(own, server_hostname=name)
            own.settimeout(self.step)
            self._is_connected = True
            primitive.result = "Evt2"
        except OSError as error:
            self.failure = error
            self._shutdown_socket()
            self.socket = None
            primitive.result = "Evt17"
        finally:
            self.provider_queue.put(primitive)
            self._ready.set()

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes in one step; raise OSError if the peer declares too many."""
        self.most -= nr_bytes
        if self.most < 0:
            raise OSError("the peer sends too much")
        received, end = bytearray(), time.monotonic() + self.step
        while len(received) < nr_bytes and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            acknowledge_at_once(self.socket)
            if not (piece := self.socket.recv(min(nr_bytes - len(received), 1 << 16))):
                break
            received += piece
        self.socket.settimeout(self.step)
        return received

    def _shutdown_socket(self) -> None:
        """Close the socket, also where the peer has closed its end."""
        own = self.socket
        if own is not None:
            with contextlib.suppress(OSError):
                own.shutdown(socket.SHUT_RDWR)
            own.close()


def _contain(association: Association) -> None:
    """End the association where pynetdicom fails, which would only end its reader, unnoticed."""
    machine = association.dul.state_machine
    act = machine.do_action

    def do_action(event: str) -> None:
        try:
            act(event)
        except Exception:  # an archive may send anything
            AA_4(association.dul)  # as if it had closed the connection

    machine.do_action = do_action


class _ClientAE(AE):  # type: ignore[misc]
    """An application entity whose associations use ``ClientSocket``."""

    step = 60.0
    target: tuple[str, int]

    def _create_socket(self, assoc: Any, address: Any, tls_args: Any) -> ClientSocket:
        own = ClientSocket(assoc, address=address)
        own.tls_args, own.step, own.target = tls_args, self.step, self.target
        _contain(assoc)
        return own


class ArchiveConnection:
    """At most one association with an archive, opened when it is needed.

    Parameters
    ----------
    destination
        The archive.
    title
        The own AE title.
    contexts
        Presentation contexts to propose.
    tls
        Certificates, for a destination with TLS.
    seconds
        Time limits.
    handlers
        Handlers of events of the association.
    """

    def __init__(
        self,
        destination: DicomDestination,
        title: str,
        contexts: Sequence[PresentationContext],
        *,
        tls: ssl.SSLContext | None = None,
        seconds: StepSeconds = DEFAULT_SECONDS,
        handlers: Sequence[tuple[Any, ...]] = (),
    ) -> None:
        self._to, self._contexts, self._seconds = destination, list(contexts), seconds
        self._handlers = list(handlers)
        self._tls = (tls, destination.host) if destination.tls else None
        self._entity = _ClientAE(title)
        self._entity.connection_timeout = seconds.connect
        self._entity.acse_timeout = seconds.negotiate
        self._entity.dimse_timeout = self._entity.network_timeout = seconds.answer
        self._entity.step, self._entity.target = (
            seconds.answer,
            (destination.host, destination.port),
        )
        self._association: Association | None = None
        self.answers = Answers()

    def open(self) -> Association:
        """Return the association, established; raise Unavailable if there is none."""
        if self.answers.is_faulty:
            self.abort()
        if self._association is None or not self._association.is_established:
            self.close()
            self._association = self._associate()
        return self._association

    def _associate(self) -> Association:
        """Request an association."""
        self.answers = Answers()
        try:
            association = self._entity.associate(
                self._to.host,
                self._to.port,
                contexts=self._contexts,
                ae_title=self._to.title,
                tls_args=self._tls,
                evt_handlers=[*self._handlers, (evt.EVT_DIMSE_RECV, self.answers.receive)],
            )
        except OSError:
            raise Unavailable(Outcome("later", "no-connection")) from None
        if not association.is_established:
            raise Unavailable(_explain(association))
        return association

    def prepare(self, size: int) -> Association:
        """Return the association with the limits of the next message, which has ``size`` bytes."""
        association = self.open()
        association.dimse_timeout = self._seconds.exchange(size)
        association.dul.socket.most = ClientSocket.most
        return association

    def close(self) -> None:
        """Release the association."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            with contextlib.suppress(Exception):
                association.release()

    def abort(self) -> None:
        """Abort the association."""
        association, self._association = self._association, None
        if association is not None:
            with contextlib.suppress(Exception):
                association.abort()


def _explain(association: Association) -> Outcome:
    """Return why there is no association."""
    failure = getattr(association.dul.socket, "failure", None)
    if isinstance(failure, ssl.SSLError):
        return Outcome("misconfigured", "tls")
    if isinstance(failure, TimeoutError):
        return Outcome("later", "no-connection-in-time")
    if failure is not None:
        return Outcome("later", "no-connection")
    if association.is_rejected:
        answer = association.acceptor.primitive
        if answer is not None and answer.result == 1:  # permanent: usually an AE title
            return Outcome("misconfigured", "association-rejected")
        return Outcome("later", "association-rejected")
    if association.rejected_contexts and not association.accepted_contexts:
        return Outcome("misconfigured", "no-class-accepted")
    return Outcome("later", "no-association")

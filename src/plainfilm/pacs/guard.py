"""A DICOM server that limits what each connection may take: time, memory, threads.

pynetdicom decides on a peer in the thread of its connection, performs the TLS handshake in the
thread that accepts connections, and reads PDUs and messages of any length. These classes close
that through ``AE.make_server``. The socket of an association is replaced by a private method.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from socketserver import BaseServer
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from plainfilm.pacs.bound_socket import BoundSocket
from plainfilm.pacs.budget import Budget
from plainfilm.pacs.settings import NetworkLimits, Peer, plain_address

_TITLE_REJECTED, _CALLED_REJECTED = (1, 1, 3), (1, 1, 7)  # PS3.8, 9.3.4
_WATCH_SECONDS = 0.25
_ENDED = "Sta13"  # the peer has to close the connection


class GuardedHandler(RequestHandler):  # type: ignore[misc]
    """Runs one connection in its own thread, from the TLS handshake to the end of its threads."""

    server: GuardedServer
    request: Any

    def handle(self) -> None:
        """Serve one association."""
        server = self.server
        if server.tls is not None:
            self.request.settimeout(server.limits.handshake_seconds)
            try:
                self.request = server.tls.wrap_socket(self.request, server_side=True)
            except (OSError, ValueError):
                server.count("refused_tls")
                return
        assoc = self._create_association()
        bound: BoundSocket = assoc.dul.socket
        assoc.start()
        try:
            self._watch(assoc, bound)
        finally:
            # An unfinished message would stay in memory until cycles are collected.
            assoc.dimse.message = None
            assoc.dimse.msg_queue.queue.clear()
            bound.answered()

    def _watch(self, assoc: Association, bound: BoundSocket) -> None:
        """Wait until both threads of the association have ended, or end them."""
        while assoc.is_alive():
            assoc.join(_WATCH_SECONDS)
            if assoc.dul.state_machine.current_state == _ENDED:
                bound.wake()
            if bound.is_late or (self.server.is_stopping and not bound.is_receiving):
                bound.disconnect()
        assoc.dul.kill_dul()
        bound.disconnect()
        assoc.dul.join(2 * self.server.limits.pdu_seconds)

    def finish(self) -> None:
        """Close the socket, which TLS may have replaced."""
        self.server.shutdown_request(self.request)

    def _create_association(self) -> Association:
        """Create the association with a socket that has limits."""
        assoc = super()._create_association()
        assoc.dul.socket = None
        assoc.dul.event_queue.queue.clear()  # what the replaced socket put there
        server = self.server
        bound = BoundSocket(assoc, self.request, server.limits, server.budget, server.count)
        assoc.set_socket(bound)
        return assoc


class GuardedServer(ThreadedAssociationServer):  # type: ignore[misc]
    """Accepts connections of the peers only, and not more than the limits allow.

    ``configure`` must be called before ``serve_forever``.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    limits: NetworkLimits
    budget: Budget
    tls: ssl.SSLContext | None
    count: Callable[[str], None]
    is_stopping = False

    def configure(
        self,
        limits: NetworkLimits,
        peers: tuple[Peer, ...],
        tls: ssl.SSLContext | None,
        count: Callable[[str], None],
    ) -> None:
        """Set limits, peers and certificates; ``count`` is called with the name of each event."""
        self.limits, self.budget, self.tls, self.count = limits, Budget(limits), tls, count
        self._pairs = {(peer.address, peer.title) for peer in peers}
        self._addresses = {peer.address for peer in peers}
        self.bind(evt.EVT_REQUESTED, self._check_titles)
        self.bind(evt.EVT_DIMSE_SENT, _answered)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Decide on a connection by its address, before it has a thread."""
        address = plain_address(client_address[0])
        if not self._is_known(address):
            self.count("refused_address")
            return False
        if self.is_stopping or not self.budget.connect(address):
            self.count("refused_limit")
            return False
        return True

    def _is_known(self, address: str) -> bool:
        """Return whether an address may connect; without peers, those of the loopback may."""
        if not self._addresses:
            return ipaddress.ip_address(address).is_loopback
        return address in self._addresses

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a connection."""
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.budget.disconnect(plain_address(client_address[0]))
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its thread."""
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.count("failed_connections")
        finally:
            self.shutdown_request(request)
            self.budget.disconnect(plain_address(client_address[0]))

    def shutdown(self) -> None:
        """Accept no more connections; those that have begun go on."""
        self.is_stopping = True
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Count an error; its text may quote the peer."""
        self.count("failed_connections")

    def _check_titles(self, event: evt.Event) -> None:
        """Reject an association whose AE titles are not those of the peer at its address."""
        assoc, request = event.assoc, event.assoc.requestor.primitive
        address = plain_address(assoc.requestor.address_info.address)
        calling, called = (
            str(title).strip() for title in (request.calling_ae_title, request.called_ae_title)
        )
        if self._pairs and (address, calling) not in self._pairs:
            reason = _TITLE_REJECTED
        elif called != self.ae_title.strip():
            reason = _CALLED_REJECTED
        else:
            return
        self.count("refused_title")
        assoc.acse.send_reject(*reason)
        assoc.kill()


def _answered(event: evt.Event) -> None:
    """Let the socket read the next message."""
    bound = event.assoc.dul.socket
    if isinstance(bound, BoundSocket):
        bound.answered()

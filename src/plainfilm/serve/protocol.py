"""uvicorn's HTTP protocol, with the bounds that it has not.

Headers have a time and a size, connections a number, and a client that takes nothing of its answer
is cut off by the system.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import PROBLEM_TYPE, Problem

__all__ = ["bounded_protocol"]

_FAREWELL = 0.5  # seconds for a request that was sent before its client knew that we stop


def bounded_protocol(limits: ServiceLimits) -> type[HttpToolsProtocol]:
    """Return the protocol class with limits in it, as uvicorn wants a class."""

    class Bounded(HttpToolsProtocol):
        """One connection."""

        _patience: asyncio.TimerHandle | None = None
        _head = 0
        _in_head = True
        _refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._refuse(Problem("too-many-connections"))
                return
            _cut_off_who_takes_nothing(transport, limits.stall_seconds)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                if self._patience is None:
                    self._wait()
                self._head += len(data)
            super().data_received(data)
            # What came may have ended the headers and begun the body, which has limits of its own.
            if self._in_head and self._head > limits.head and not self.transport.is_closing():
                self._refuse(Problem("headers-too-large"))

        def on_headers_complete(self) -> None:
            self._in_head, self._head = False, 0
            self._stop_waiting()
            # They may have come in one piece with what follows them.
            size = len(self.url) + sum(len(name) + len(text) + 4 for name, text in self.headers)
            if size > limits.head:
                self._refused = True
                self._refuse(Problem("headers-too-large"))
                return
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if not self._refused:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if self._refused:
                return
            super().on_message_complete()
            self._in_head = True

        def shutdown(self) -> None:
            # A request may be on its way; its answer will close the connection.
            if self.cycle is None or self.cycle.response_complete:
                self.loop.call_later(_FAREWELL, super().shutdown)
            else:
                super().shutdown()

        def _wait(self) -> None:
            self._patience = self.loop.call_later(limits.head_seconds, self._give_up)

        def _stop_waiting(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _give_up(self) -> None:
            self._patience = None
            if not self.transport.is_closing():
                self.transport.abort()

        def _refuse(self, problem: Problem) -> None:
            body = problem.body()
            more = "".join(f"{name}: {text}\r\n" for name, text in problem.headers.items())
            head = (
                f"HTTP/1.1 {problem.status} \r\ncontent-type: {PROBLEM_TYPE}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

        def send_400_response(self, msg: str) -> None:
            self._refuse(Problem("bad-request"))

    return Bounded


def _cut_off_who_takes_nothing(transport: asyncio.Transport, seconds: int) -> None:
    """Let the system end a connection whose client leaves sent bytes unread for so long."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    connection: Any = transport.get_extra_info("socket")
    if option is not None and connection is not None and connection.family != _UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, option, seconds * 1000)


_UNIX = getattr(socket, "AF_UNIX", None)

"""Limits of connections, and a graceful stop, which uvicorn lacks.

uvicorn limits neither the time nor the size of headers. All use of its undocumented parts is in
this module; ``pyproject.toml`` pins the tested versions, and ``tests/unit/test_serve_protocol.py``
fails if one of these parts changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import AbstractContextManager

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import PROBLEM_TYPE, Problem

_CLOSE_DELAY = 0.5  # seconds for a request that was sent before its client noticed the stop
_AF_UNIX = getattr(socket, "AF_UNIX", None)


def limited_protocol(limits: ServiceLimits) -> type[HttpToolsProtocol]:
    """Return a protocol class with these limits; uvicorn takes a class and no arguments for it."""

    class LimitedProtocol(HttpToolsProtocol):
        """One connection."""

        _head_timer: asyncio.TimerHandle | None = None
        _head_size = 0
        _in_head = True
        _refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._refuse(Problem("too-many-connections"))
                return
            _limit_unread_time(transport, limits.stall_seconds)
            self._start_head_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                if self._head_timer is None:
                    self._start_head_timer()
                self._head_size += len(data)
            super().data_received(data)
            # The data may have ended the headers and begun the body, which has its own limits.
            if self._in_head and self._head_size > limits.head and not self.transport.is_closing():
                self._refuse(Problem("headers-too-large"))

        def on_headers_complete(self) -> None:
            self._in_head, self._head_size = False, 0
            self._stop_head_timer()
            # The headers may have arrived in one piece with what follows them.
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
            # An idle connection may have a request on its way, whose answer closes it.
            if self.cycle is None or self.cycle.response_complete:
                self.loop.call_later(_CLOSE_DELAY, super().shutdown)
            else:
                super().shutdown()

        def _start_head_timer(self) -> None:
            self._head_timer = self.loop.call_later(limits.head_seconds, self._abort)

        def _stop_head_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _abort(self) -> None:
            self._head_timer = None
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

    return LimitedProtocol


def _limit_unread_time(transport: asyncio.Transport, seconds: int) -> None:
    """Let the system close the connection if the client leaves sent bytes unread for so long."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    connection = transport.get_extra_info("socket")
    if option is not None and connection is not None and connection.family != _AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, option, seconds * 1000)


class GracefulServer(uvicorn.Server):
    """Server that leaves signals to its caller and answers every connection before it stops."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave the signal handlers unchanged."""
        return contextlib.nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections that wait in the system's queue, and stop."""
        # Closing the listener first would reset them.
        with self._listener.dup() as listener:
            for server in self.servers:
                server.close()
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    await asyncio.get_running_loop().connect_accepted_socket(
                        self._new_protocol, connection
                    )
        await super().shutdown(sockets)

    def _new_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )

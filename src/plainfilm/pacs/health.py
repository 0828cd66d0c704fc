"""Health and metrics over HTTP, for the loopback only.

``/healthz`` answers while the process runs, ``/readyz`` has the status 503 and a code while the
service should be looked at, ``/metrics`` is the text of Prometheus. A request for another host,
as from a web site whose name leads to this machine, is refused. A request has two seconds, and
16 connections are open at most: a slow client delays neither others nor the service.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable

from plainfilm.errors import UsageError
from plainfilm.inference.addresses import is_loopback

_SECONDS = 2.0  # for a request, and for its answer
_CONNECTIONS = 16
_HEAD_BYTES = 8192
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_HOST = re.compile(rb"\r\nhost:[ \t]*(.*?)(?::\d*)?[ \t]*(?=\r\n)", re.IGNORECASE)
_REASONS = {
    200: "OK",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    503: "Service Unavailable",
}

ReadyCode = Callable[[], Awaitable[str | None]]
"""Function that returns the code of the reason why the service is not ready, or None."""

Metrics = Callable[[], Awaitable[str]]
"""Function that returns the text of all metrics."""


def open_listener(port: int) -> socket.socket:
    """Return a socket that listens on the loopback; 0 selects a free port."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(
            f"the health page cannot listen on 127.0.0.1, port {port}",
            received=(error.strerror or str(error)).partition(" (while")[0],
            remedy="choose another --http-port, or --http-port off",
        ) from error
    listener.setblocking(False)
    return listener


class HealthServer:
    """Answers requests for health and metrics on a socket that listens."""

    def __init__(self, listener: socket.socket, ready: ReadyCode, metrics: Metrics) -> None:
        self._listener, self._ready, self._metrics = listener, ready, metrics
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Start to answer."""
        self._server = await asyncio.start_server(
            self._serve, sock=self._listener, limit=_HEAD_BYTES
        )

    async def close(self) -> None:
        """Stop listening; requests in progress end by themselves."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
                writer.write_eof()
                await reader.read(1)  # so that the client has the answer before a reset
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.transport.abort()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        status, kind, body = 405, "application/json", {"status": "method-not-allowed"}
        if not all(is_loopback(host.decode("latin-1").lower()) for host in _HOST.findall(head)):
            status, body = 421, {"status": "other-host"}
        elif method in (b"GET", b"HEAD"):
            path = rest.partition(b" ")[0].partition(b"?")[0]
            if path == b"/metrics":
                return _response(200, _TEXT, (await self._metrics()).encode(), method)
            status, body = await self._status(path)
        return _response(status, kind, json.dumps(body).encode(), method)

    async def _status(self, path: bytes) -> tuple[int, dict[str, str]]:
        if path == b"/healthz":
            return 200, {"status": "alive"}
        if path != b"/readyz":
            return 404, {"status": "not-found"}
        code = await self._ready()
        return (200, {"status": "ready"}) if code is None else (503, {"code": code})


def _response(status: int, kind: str, body: bytes, method: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == b"HEAD" else body)

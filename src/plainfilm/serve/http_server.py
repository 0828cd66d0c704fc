"""Accepts connections up to a limit, and stops without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from starlette.types import ASGIApp

from plainfilm.serve.connection import Connection
from plainfilm.serve.exchange import refusal
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem
from plainfilm.serve.request_head import Address
from plainfilm.serve.wire import READ, SocketWire

_TOGETHER = 64  # connections that are accepted between two turns of the open ones
_PAUSE = 0.1  # seconds, if the system has no file handle for another connection
_PATIENCE = 1.0  # seconds after which a connection without a request gives its place to another
_CLOSE_DELAY = 0.5  # seconds for a request that was sent before its client noticed the stop


class HttpServer:
    """Serves an application on a listening socket, which it closes."""

    def __init__(self, app: ASGIApp, listener: socket.socket, limits: ServiceLimits) -> None:
        self._app, self._listener, self._limits = app, listener, limits
        self._address: Address = listener.getsockname()
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to accept connections."""
        if self._listener.fileno() < 0:  # it was closed during a pause
            return
        self._listener.setblocking(False)
        try:
            self._loop.add_reader(self._listener, self._accept)
        except NotImplementedError:  # Windows; a connection may be lost at the stop
            self._accepting = self._loop.create_task(self._accept_each())

    async def _accept_each(self) -> None:
        while True:
            self._welcome(*await self._loop.sock_accept(self._listener))

    def _accept(self, most: int = _TOGETHER) -> None:
        """Accept the connections that wait in the system's queue."""
        for _ in range(most):
            try:
                connection, client = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # the system has no file handle left
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE, self.start)
                return
            self._welcome(connection, client)

    def _welcome(self, connection: socket.socket, client: Address) -> None:
        if len(self._open) >= self._limits.connections and not self._make_room():
            _refuse(connection)
            return
        wire = SocketWire(connection, self._limits.stall_seconds)
        one = Connection(self._app, wire, self._limits, client, self._address)
        task = self._loop.create_task(one.run())
        self._open[task] = one

        def close(task: asyncio.Task[None]) -> None:
            self._open.pop(task, None)
            connection.close()

        task.add_done_callback(close)

    def _make_room(self) -> bool:
        """Close the connection that has been without a request for longest, if for a second."""
        waiting = [
            (one.waiting_since, task)
            for task, one in self._open.items()
            if one.waiting_since is not None
        ]
        since, task = min(waiting, key=lambda pair: pair[0], default=(self._loop.time(), None))
        if task is None or self._loop.time() - since < _PATIENCE:
            return False
        self._open.pop(task)
        task.cancel()
        return True

    async def stop(self, seconds: float) -> None:
        """Accept what waits in the system's queue, and finish all requests in time."""
        if self._accepting is not None:
            self._accepting.cancel()
        else:
            self._loop.remove_reader(self._listener)
            self._accept(self._limits.connections)  # closing the listener would reset them
        self._listener.close()
        # An idle connection may have a request on its way, whose answer closes it.
        await asyncio.sleep(_CLOSE_DELAY)
        for task, one in self._open.items():
            if one.is_idle:
                task.cancel()
        if self._open:
            await asyncio.wait([*self._open], timeout=seconds)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


def _refuse(connection: socket.socket) -> None:
    """Answer a connection above the limit at once."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(refusal(Problem("too-many-connections")))
        connection.recv(READ)  # what is unread at the close would cost the client the answer

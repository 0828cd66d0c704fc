"""Reads from and writes to the socket of one connection, each within a time limit.

Nothing is read ahead: bytes that no one asked for wait in the system's buffer, which slows the
client down. Every read and write lets other connections take their turn first.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

READ = 1 << 16  # bytes of one read
_PIECE = 1 << 18  # bytes of an answer that the client must accept within the limit
_AF_UNIX = getattr(socket, "AF_UNIX", None)


class Wire(Protocol):
    """One connection, as the state machine of `Connection` sees it."""

    async def read(self, seconds: float) -> bytes:
        """Return up to 64 KiB, or nothing at the end; raise TimeoutError."""

    async def write(self, *pieces: bytes) -> None:
        """Send all pieces, or raise an OSError that is not a TimeoutError."""

    def end(self) -> None:
        """Announce that nothing more will be sent."""


class SocketWire:
    """A socket; the client must accept each 256 KiB within ``seconds``."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        connection.setblocking(False)
        if connection.family != _AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The system gives up as early on what a client does not read after the close.
            if option := getattr(socket, "TCP_USER_TIMEOUT", None):
                connection.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
        self._socket, self._seconds = connection, seconds
        self._is_cut = False  # whether only a part of an answer was sent

    async def read(self, seconds: float) -> bytes:
        """Return up to 64 KiB, or nothing at the end; raise TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            await asyncio.sleep(0)
            return await loop.sock_recv(self._socket, READ)

    async def write(self, *pieces: bytes) -> None:
        """Send all pieces, or raise an OSError that is not a TimeoutError."""
        if self._is_cut:
            raise ConnectionAbortedError("an earlier answer was sent incompletely")
        self._is_cut = True
        data = memoryview(b"".join(pieces))
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), _PIECE):
            try:
                async with asyncio.timeout(self._seconds):
                    await asyncio.sleep(0)
                    await loop.sock_sendall(self._socket, data[start : start + _PIECE])
            except TimeoutError as error:
                raise ConnectionAbortedError("the client accepts no data") from error
        self._is_cut = False

    def end(self) -> None:
        """Announce that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

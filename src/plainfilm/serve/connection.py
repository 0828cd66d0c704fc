"""The states of one connection, from top to bottom; each has a time limit and a limit of bytes.

=========  =================================  ==========================  ==========================
state      ends with                          seconds                     bytes
=========  =================================  ==========================  ==========================
opened     the first byte                     ``head_seconds``            none
idle       the first byte of another request  ``idle_seconds``            none
head       the empty line                     ``head_seconds``            ``head``, 128 lines
body       the last byte                      ``stall_seconds`` for each  ``body``; ``head`` for the
                                              byte, ``seconds`` in all    size of a chunk, trailers
work       the answer                         ``seconds``                 none are read
answer     the last byte                      ``stall_seconds`` for each  one piece is held
                                              256 KiB
rest       the last byte of a body that the   2                           64 KiB
           application did not read
farewell   the client's end                   2                           8 MiB, discarded
=========  =================================  ==========================  ==========================

What arrives in another state waits in the system's buffer. A connection has one request at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

import h11
from starlette.types import ASGIApp

from plainfilm.serve.exchange import Exchange, refusal
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem
from plainfilm.serve.request_head import END, Address, build_scope, parse_head
from plainfilm.serve.wire import Wire

_REST_SECONDS = 2
_FAREWELL_BYTES = 8 << 20
_FAREWELL_PAUSE = 0.005  # seconds between two reads, so that requests go first


class Connection:
    """One connection; ``client`` and ``server`` are its addresses."""

    def __init__(
        self, app: ASGIApp, wire: Wire, limits: ServiceLimits, client: Address, server: Address
    ) -> None:
        self._app, self._wire, self._limits = app, wire, limits
        self._client, self._server = client, server
        self._buffer = b""  # the beginning of the next request
        self._has_answered = False
        self._wait(limits.head_seconds)

    def _wait(self, seconds: float) -> None:
        """Begin to wait for the client."""
        self.waiting_since: float | None = asyncio.get_running_loop().time()
        self._until = self.waiting_since + seconds

    @property
    def is_idle(self) -> bool:
        """Whether no byte of a request has arrived."""
        return self.waiting_since is not None and not self._buffer

    async def run(self) -> None:
        """Answer one request after another, until one side ends the connection."""
        with contextlib.suppress(OSError):  # also a TimeoutError
            while await self._answer_one():
                pass

    async def _answer_one(self) -> bool:
        """Answer one request; return whether another one may follow."""
        limits = self._limits
        parser = h11.Connection(h11.SERVER, limits.head)
        try:
            head = await self._read_head()
            self.waiting_since = None
            request = parse_head(parser, head)
            scope = build_scope(request, self._client, self._server)
        except Problem as problem:
            await self._wire.write(refusal(problem))
            await self._say_farewell()
            return False
        if self._buffer:
            parser.receive_data(self._buffer)
        exchange = Exchange(self._wire, parser, request, limits)
        await self._app(scope, exchange.receive, exchange.send)
        rest = await exchange.finish(_REST_SECONDS)
        if rest is None:
            await self._say_farewell()
            return False
        self._buffer, self._has_answered = rest, True
        self._wait(limits.head_seconds if rest else limits.idle_seconds)
        return True

    async def _read_head(self) -> bytes:
        """Read the head of a request, and keep what follows it."""
        most, searched = self._limits.head, 0
        is_idle = self._has_answered and not self._buffer
        while True:
            self._buffer = self._buffer.lstrip(b"\r\n")  # some clients send them after a body
            end = self._buffer.find(END, searched) + len(END)
            if len(END) <= end <= most:
                head, self._buffer = self._buffer[:end], self._buffer[end:]
                return head
            if len(self._buffer) > most:
                raise Problem("headers-too-large", f"at most {most:,} bytes")
            line, newline, _ = self._buffer.partition(b"\n")
            if b"" < line[:1] < b"!" or (newline and line[-1:] != b"\r"):  # such as TLS
                raise Problem("bad-request")
            searched = max(0, len(self._buffer) - len(END) + 1)
            data = await self._wire.read(self._until - asyncio.get_running_loop().time())
            if not data:
                raise ConnectionResetError("the client has ended the connection")
            if is_idle:
                is_idle = False
                self._until = asyncio.get_running_loop().time() + self._limits.head_seconds
            self._buffer += data

    async def _say_farewell(self) -> None:
        """Discard what the client still sends: to close now would cost it the answer."""
        self.waiting_since = -math.inf  # the first to give its place to another connection
        self._wire.end()
        left = _FAREWELL_BYTES
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0 and (data := await self._wire.read(_REST_SECONDS)):
                left -= len(data)
                await asyncio.sleep(_FAREWELL_PAUSE)

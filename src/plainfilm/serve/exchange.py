"""One request and its answer: the ``receive`` and ``send`` of ASGI. h11 parses the body."""

from __future__ import annotations

import asyncio
import math
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import h11
from starlette.types import Message

from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem
from plainfilm.serve.wire import READ, Wire

_EVENTS = 64  # chunks of a body between two turns of other connections
_REASONS = {one.value: one.phrase.encode("ascii") for one in HTTPStatus}
_CLOSE = (b"connection", b"close")
_LAST_CHUNK = b"0\r\n\r\n"


class Exchange:
    """One request whose head was parsed, and its answer."""

    def __init__(
        self, wire: Wire, parser: h11.Connection, request: h11.Request, limits: ServiceLimits
    ) -> None:
        self._wire, self._parser, self._limits = wire, parser, limits
        self._unread = 0.0  # bytes of the body
        self._has_chunks = request.http_version == b"1.1"  # whether the client understands them
        self._closes = not self._has_chunks
        self._is_head = request.method == b"HEAD"
        for name, value in request.headers:
            if name == b"content-length":
                self._unread = float(value)
            elif name == b"transfer-encoding":
                self._unread = math.inf
            elif name == b"upgrade" or (name == b"connection" and b"close" in value.lower()):
                self._closes = True
        self._has_ended = False  # whether the application has the last piece of the body
        self._came = 0
        self._head = b""  # of the answer, until it is sent
        self._unsent: int | None = None  # bytes of the answer; None for chunks
        self._is_answered = False

    async def receive(self) -> Message:
        """Return the next piece of the body, and read it only now.

        Raises TimeoutError if no byte arrives within the limit, and the problems ``bad-request``,
        ``headers-too-large`` (of chunks and trailers) and ``body-too-large``.
        """
        if self._has_ended:
            return {"type": "http.disconnect"}
        if self._parser.they_are_waiting_for_100_continue:
            response = h11.InformationalResponse(status_code=100, headers=[])
            await self._wire.write(self._parser.send(response))
        pieces: list[bytes] = []
        for _ in range(_EVENTS):
            event = self._next_event()
            if isinstance(event, h11.Data):
                pieces.append(event.data)
                self._unread -= len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._has_ended, self._unread = True, 0
                break
            elif pieces:
                break
            elif not await self._read(self._limits.stall_seconds):
                return {"type": "http.disconnect"}
        else:
            await asyncio.sleep(0)
        body = b"".join(pieces)
        return {"type": "http.request", "body": body, "more_body": not self._has_ended}

    async def _read(self, seconds: float) -> bool:
        """Pass what arrives to the parser; return whether anything did."""
        data = await self._wire.read(seconds)
        self._came += len(data)
        if self._came > self._limits.body + self._limits.head:
            raise Problem("body-too-large", "the chunks of the body are too small")
        if data:
            self._parser.receive_data(data)
        return bool(data)

    def _next_event(self) -> object:
        try:
            return self._parser.next_event()
        except h11.RemoteProtocolError as error:
            too_large = error.error_status_hint == 431
            raise Problem("headers-too-large" if too_large else "bad-request") from error

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the head is sent with the first part of the body."""
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            length = next((value for name, value in headers if name == b"content-length"), None)
            self._unsent = None if length is None else int(length)
            if length is None and self._has_chunks:
                headers.append((b"transfer-encoding", b"chunked"))
            self._closes |= _CLOSE in headers or self._cannot_go_on()
            if self._closes and _CLOSE not in headers:
                headers.append(_CLOSE)
            self._head = _format_head(message["status"], headers)
            return
        body, ends = message.get("body", b""), not message.get("more_body", False)
        if self._is_head:
            body = b""
        elif self._unsent is not None:
            self._unsent -= len(body)
            if self._unsent < 0 or (ends and self._unsent):
                raise RuntimeError("the answer does not have the declared length")
        elif self._has_chunks:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + _LAST_CHUNK * ends
        head, self._head = self._head, b""
        await self._wire.write(head, body)
        self._is_answered = ends

    def _cannot_go_on(self) -> bool:
        """Return whether the rest of the body is too long to be read after the answer."""
        if self._parser.their_state is h11.ERROR:
            return True
        if not self._unread:
            return False
        return self._unread > READ or self._parser.they_are_waiting_for_100_continue

    async def finish(self, seconds: float) -> bytes | None:
        """Read the rest of a short body after the answer.

        Returns what arrived after it, the beginning of the next request, or None if the
        connection cannot be used again.
        """
        parser = self._parser
        if self._closes or not self._is_answered:
            return None
        try:
            async with asyncio.timeout(seconds):
                while parser.their_state is h11.SEND_BODY:
                    event = self._next_event()
                    if event is h11.NEED_DATA and not await self._read(seconds):
                        return None
        except (TimeoutError, Problem):
            return None
        return bytes(parser.trailing_data[0]) if parser.their_state is h11.DONE else None


def refusal(problem: Problem) -> bytes:
    """Return the bytes of an answer to something that is not a request."""
    start, end = problem.messages()
    head = _format_head(problem.status, [*start["headers"], _CLOSE])
    return head + bytes(end["body"])


def _format_head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    if lines.count(b"\n") != len(headers):
        raise RuntimeError("a header of the answer has a line break")
    reason, date = _REASONS.get(status, b""), _date(int(time.time()))
    return b"HTTP/1.1 %d %b\r\ndate: %b\r\n%b\r\n" % (status, reason, date, lines)


@lru_cache(1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")

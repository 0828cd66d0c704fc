"""One request and its answer: the ``receive`` and ``send`` of ASGI, with framing by h11."""

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


class Exchange:
    """One request whose head was parsed, and its answer."""

    def __init__(
        self, wire: Wire, parser: h11.Connection, request: h11.Request, limits: ServiceLimits
    ) -> None:
        self._wire, self._parser, self._limits = wire, parser, limits
        headers = dict(request.headers)
        self._unread = float(headers.get(b"content-length", 0))  # bytes of the body
        if b"transfer-encoding" in headers:
            self._unread = math.inf
        self._closes = b"upgrade" in headers
        self._has_ended = False  # whether the application has the last piece of the body
        self._came = 0
        self._head = b""

    async def receive(self) -> Message:
        """Return the next piece of the body, and read it only now.

        Raises TimeoutError if no byte arrives within the limit, and the problems ``bad-request``,
        ``headers-too-large`` (of chunks and trailers) and ``body-too-large``.
        """
        if self._has_ended:
            return {"type": "http.disconnect"}
        if self._parser.they_are_waiting_for_100_continue:
            await self._wire.write(
                self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
            )
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
            headers = [(b"date", _date(int(time.time()))), *message.get("headers", ())]
            if self._must_close() and _CLOSE not in headers:
                headers.append(_CLOSE)
            status = message["status"]
            response = h11.Response(
                status_code=status, headers=headers, reason=_REASONS.get(status, b"")
            )
            self._head = self._parser.send(response)
            return
        pieces, self._head = [self._head], b""
        if body := message.get("body", b""):
            pieces += self._parser.send_with_data_passthrough(h11.Data(data=body)) or ()
        if not message.get("more_body", False):
            pieces += self._parser.send_with_data_passthrough(h11.EndOfMessage()) or ()
        await self._wire.write(*pieces)

    def _must_close(self) -> bool:
        """Return whether the rest of the body is too long to be read after the answer."""
        if self._closes or self._parser.their_state is h11.ERROR:
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
        if parser.our_state is not h11.DONE:
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
    writer, headers = h11.Connection(h11.SERVER), [*start["headers"], _CLOSE]
    status, reason = problem.status, _REASONS[problem.status]
    response = h11.Response(status_code=status, headers=headers, reason=reason)
    pieces = (response, h11.Data(data=end["body"]), h11.EndOfMessage())
    return b"".join(writer.send(piece) for piece in pieces)


@lru_cache(1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")

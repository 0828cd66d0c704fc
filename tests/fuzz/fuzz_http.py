"""Feed the states of an HTTP connection with mutated requests, in pieces.

    python tests/fuzz/fuzz_http.py [SECONDS] [--runs N] [--seed N]

There are no sockets, and a small application takes the place of the routes. The first two bytes of
an input choose limits, the size of the pieces and how the connection ends. Invariants:

- nothing escapes, and no state holds more bytes than its limit;
- the answers are well-formed HTTP, one for each request, with expected statuses;
- requests and answers do not depend on the pieces in which the bytes arrive.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from typing import Any

from fuzzing import run

__all__ = ["CORPUS", "check", "main"]

_STATUSES = {100, 200, 400, 408, 413, 431}
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]*\r\n((?:[a-z-]+: [^\r\n]*\r\n)*)\r\n", re.I)
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.I)
_LOOP = asyncio.new_event_loop()

_GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
_POST = b"POST /read HTTP/1.1\r\nHost: a:1\r\nContent-Type: image/png\r\n"
_CHUNKS = b"3\r\nabc\r\n5;a=b\r\n12345\r\n0\r\nx: y\r\n\r\n"
CORPUS = {
    name: b"\0\3" + data
    for name, data in {
        "get": _GET * 2,
        "head": b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n" + _GET,
        "old": b"GET /a HTTP/1.0\r\n\r\n",
        "address": b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "all": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "length": _POST + b"Content-Length: 5\r\n\r\nabcde" + _GET,
        "chunks": _POST + b"Transfer-Encoding: chunked\r\n\r\n" + _CHUNKS + _GET,
        "continue": _POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde" + _GET,
        "upgrade": _POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 31\r\n\r\n"
        + _GET,
        "unused": b"POST /unused" + _POST[10:] + b"Content-Length: 5\r\n\r\nabcde" + _GET,
        "stream": b"POST /stream" + _POST[10:] + b"Content-Length: 5\r\n\r\nabcde" + _GET,
        "smuggled": _POST
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + _GET,
        "closed": b"\r\n" + _GET[:-2] + b"Connection: close\r\n\r\n" + _GET,
    }.items()
}


class _Wire:
    """Bytes that arrive in pieces; it notes what is sent."""

    def __init__(self, data: bytes, size: int, is_silent: bool) -> None:
        self._left, self._size, self._is_silent = data, size, is_silent
        self.sent = b""
        self.watch: Callable[[], None] = lambda: None

    async def read(self, seconds: float) -> bytes:
        self.watch()
        piece, self._left = self._left[: self._size], self._left[self._size :]
        if not piece and self._is_silent:
            raise TimeoutError
        return piece

    async def write(self, *pieces: bytes) -> None:
        self.sent += b"".join(pieces)

    def end(self) -> None: ...


class _Application:
    """Answers every request with what it has understood of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.requests: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from plainfilm.serve.problems import Problem

        body, is_complete, problem = b"", False, None
        try:
            while not is_complete and scope["path"] != "/unused":
                message = await receive()
                if message["type"] != "http.request":
                    return
                body += message["body"]
                is_complete = not message["more_body"]
                assert len(receive.__self__._parser.trailing_data[0]) <= self._most
        except TimeoutError:
            problem = Problem("body-timeout", headers={"connection": "close"})
        except Problem as error:
            problem = error
        seen = {name: scope[name] for name in ("method", "path", "query_string", "headers")}
        self.requests.append((seen, is_complete and body, problem and problem.code))
        if problem is not None:
            for one in problem.messages():
                await send(one)
            return
        is_stream = scope["path"] == "/stream"
        headers = [] if is_stream else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = body if scope["method"] != "HEAD" else b""
        for piece in (body[:2], body[2:]) if is_stream else ():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if is_stream else body})


def _talk(data: bytes, size: int, head: int, is_silent: bool) -> tuple[list[Any], list[int]]:
    """Return the requests that the application received, and the statuses of all answers."""
    from plainfilm.serve.connection import Connection
    from plainfilm.serve.limits import ServiceLimits

    limits = ServiceLimits(head=head, body=1 << 16)
    wire, app = _Wire(data, size, is_silent), _Application(head + size)

    async def go() -> None:
        one = Connection(app, wire, limits, ("127.0.0.1", 1), ("127.0.0.1", 2))

        def watch() -> None:
            assert len(one._buffer) <= head + size

        wire.watch = watch
        await one.run()

    _LOOP.run_until_complete(go())
    return app.requests, _statuses(wire.sent, [seen["method"] for seen, *_ in app.requests])


def _statuses(answers: bytes, methods: list[str]) -> list[int]:
    """Parse all answers completely, and return their statuses."""
    found: list[int] = []
    methods = methods[::-1]
    while answers:
        head = _HEAD.match(answers)
        assert head is not None, answers[:100]
        found.append(int(head[1]))
        assert found[-1] in _STATUSES, found
        answers = answers[head.end() :]
        if found[-1] == 100:
            continue
        method = methods.pop() if methods else ""
        if (length := _LENGTH.search(head[2])) is not None:
            size = 0 if method == "HEAD" else int(length[1])
            assert len(answers) >= size
            answers = answers[size:]
        elif b"chunked" in head[2]:
            if method != "HEAD":
                chunks = re.match(rb"(?:[1-9a-f][0-9a-f]*\r\n.+?\r\n)*?0\r\n\r\n", answers, re.S)
                assert chunks is not None, answers[:100]
                answers = answers[chunks.end() :]
        else:
            assert b"close" in head[2]
            break
    return found


def check(data: bytes) -> str:
    """Send the bytes to a connection, whole and in pieces, and return the statuses."""
    control, data = data[:2].ljust(2, b"\0"), data[2:]
    is_silent, is_small = bool(control[0] & 1), bool(control[0] & 2)
    head, size = (256, 32 * 1024)[not is_small], 1 + control[1] % 61
    whole = _talk(data, 1 << 16, head, is_silent)
    pieces = _talk(data, size, head, is_silent)
    if not is_small:  # small limits depend on the pieces in which a chunk or a head arrives
        assert whole == pieces, (whole, pieces)
    for requests, statuses in (whole, pieces):
        final = [status for status in statuses if status != 100]
        assert len(requests) <= len(final) <= len(requests) + 1 or not final
    return repr(whole[1])


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for some seconds; return 0 where nothing was found."""
    packages = ("plainfilm.serve", "h11")
    modules = ("h11", "plainfilm.serve.connection")
    return run(check, CORPUS, packages, arguments, modules=modules)


if __name__ == "__main__":
    sys.exit(main())

"""Every state of a connection ends in time and takes a bounded number of bytes, and the framing
of requests and answers is strict. A socket is used, and the application of the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

pytest.importorskip("starlette")
pytest.importorskip("h11")

from plainfilm.bundle import Bundle
from plainfilm.inference.registry import BundleSource
from plainfilm.serve import ServiceLimits, Settings, connection, http_server
from plainfilm.serve.app import build_app
from plainfilm.serve.http_server import HttpServer
from plainfilm.serve.wire import SocketWire

MakeBundle = Callable[..., Bundle]
KIB, MIB = 1 << 10, 1 << 20
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
TOKEN = "a-token-for-tests-only"


def png() -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(np.tile(np.arange(16, dtype=np.uint8) * 9, (16, 1))).save(out, "PNG")
    return out.getvalue()


def with_length(data: bytes, length: int | None = None) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % (len(data) if length is None else length) + data


def statuses(answers: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


class CountingWire(SocketWire):
    """Counts the bytes that the service reads from its connections."""

    taken = 0

    async def read(self, seconds: float) -> bytes:
        data = await super().read(seconds)
        CountingWire.taken += len(data)
        return data


@pytest.fixture
def serve_socket(
    make_bundle: MakeBundle, inline_service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return a function that runs a coroutine function against a service on a socket.

    The function is given the server and the engine.
    """
    monkeypatch.setattr(http_server, "SocketWire", CountingWire)
    monkeypatch.setattr(connection, "_REST_SECONDS", 0.4)
    CountingWire.taken = 0
    folder = make_bundle().folder

    def run(
        talk: Callable[[HttpServer, Any], Awaitable[Any]], token: str | None = None, **limits: Any
    ) -> Any:
        async def go() -> Any:
            settings = Settings(threads=1, token=token, limits=ServiceLimits(**limits))
            engine = inline_service([BundleSource("bright", folder)], settings)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                server = HttpServer(build_app(engine, settings), listener, settings.limits)
                server.start()
                try:
                    return await talk(server, engine)
                finally:
                    await server.stop(1)
                    assert engine.active == engine.budget.held == 0
                    await engine.close()

        return asyncio.run(go())

    return run


class Client:
    """A connection; a context manager that resets it."""

    def __init__(self, server: HttpServer) -> None:
        self._loop = asyncio.get_running_loop()
        self.socket = socket.create_connection(server._address)
        self.socket.setblocking(False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *details: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def read(self, end: bytes | None = None, seconds: float = 5) -> bytes:
        """Return what arrives until the end of the connection, or of a text, or of the time."""
        data = b""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(seconds):
                while end is None or end not in data:
                    piece = await self._loop.sock_recv(self.socket, MIB)
                    if not piece:
                        break
                    data += piece
        return data


async def ask(server: HttpServer, *pieces: bytes) -> bytes:
    """Send the pieces with pauses, end the connection, and return all answers."""
    with Client(server) as client:
        with contextlib.suppress(OSError):
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0.02)
            client.socket.shutdown(socket.SHUT_WR)
        return await client.read()


async def ended(server: HttpServer) -> float:
    """Wait until no connection is open, and return the seconds."""
    began = asyncio.get_running_loop().time()
    while server._open:
        await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - began


LIMITS = {
    "head_seconds": 0.3,
    "idle_seconds": 0.6,
    "stall_seconds": 0.5,
    "seconds": 1,
    "body": MIB // 4,
    "held": 4 * MIB,
}
# State: what brings a connection there, the seconds of silence until it ends, and the answers.
SILENT: dict[str, tuple[bytes, float, list[int]]] = {
    "opened": (b"", 0.3, []),
    "idle": (GET, 0.6, [200]),
    "head": (b"GET / HT", 0.3, []),
    "head after an answer": (GET + b"GET / HT", 0.3, [200]),
    "body": (POST + with_length(b"abc", 9000), 0.9, [408]),
    "size of a chunk": (CHUNKED + b"3;", 0.9, [408]),
    "chunk": (CHUNKED + b"ff\r\nabc", 0.9, [408]),
    "end of a chunk": (CHUNKED + b"3\r\nabc", 0.9, [408]),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\na: b\r\n", 0.9, [408]),
    "continue": (POST + b"Expect: 100-continue\r\n" + with_length(b"", 9000), 0.9, [100, 408]),
    "work": (POST + with_length(png()), 1 + 0.6, [504]),
    "rest": (GET[:-2] + with_length(b"abc", 9000), 0.4, [200]),
    "farewell": (GET[:-2] + with_length(b"abc", 9_000_000), 0.4, [200]),
}
# State: what brings a connection there, what follows without end, the bytes that the service takes
# at most, and the first answers.
FLOODS: dict[str, tuple[bytes, bytes, int, list[int]]] = {
    "opened": (b"", b"\r\n", 1 << 62, []),
    "head": (b"GET / HTTP/1.1\r\nx: ", b"a", 8 * MIB + 256 * KIB, [431]),
    "headers": (b"GET / HTTP/1.1\r\n", b"a:b\r\n", 8 * MIB + 256 * KIB, [431]),
    "body": (POST + with_length(b"", 1 << 40), b"a", 8 * MIB + 256 * KIB, [413]),
    "chunks": (CHUNKED, b"1000\r\n" + b"a" * 4096 + b"\r\n", 10 * MIB, [413]),
    "small chunks": (CHUNKED, b"1\r\na\r\n", 10 * MIB, [413]),
    "size of a chunk": (CHUNKED + b"3;", b"a", 8 * MIB + 256 * KIB, [431]),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\n", b"a:b\r\n", 8 * MIB + 256 * KIB, [431]),
    "work": (POST + with_length(png()), b"\r\n" + GET, 128 * KIB, []),
    "rest": (GET[:-2] + with_length(b"", 9000), b"a", 8 * MIB + 256 * KIB, [200, 431]),
    "farewell": (GET[:-2] + with_length(b"", 1 << 40), b"a", 8 * MIB + 256 * KIB, [200]),
}


@pytest.mark.parametrize("state", SILENT)
def test_silence_ends_every_state(state: str, serve_socket: Callable[..., Any]) -> None:
    opening, seconds, expected = SILENT[state]

    async def talk(server: HttpServer, engine: Any) -> tuple[float, bytes]:
        if state == "work":
            engine.pool.gate = asyncio.Event()
        with Client(server) as client:
            await client.send(opening)
            await asyncio.sleep(0.05)
            reading = asyncio.create_task(client.read())
            return await ended(server) + 0.05, await reading

    took, answers = serve_socket(talk, **LIMITS)
    assert statuses(answers) == expected
    assert seconds - 0.1 < took < seconds + 0.7


@pytest.mark.parametrize("state", FLOODS)
def test_a_flood_takes_bounded_memory_in_every_state(
    state: str, serve_socket: Callable[..., Any]
) -> None:
    opening, unit, most, expected = FLOODS[state]

    async def talk(server: HttpServer, engine: Any) -> tuple[int, list[int], bytes]:
        held: list[int] = []
        if state == "work":
            engine.pool.gate = asyncio.Event()
        with Client(server) as client:
            await client.send(opening)

            async def pour() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        await client.send(unit * (MIB // 4 // len(unit)))
                        held.extend(len(one._buffer) for one in server._open.values())

            pouring = asyncio.create_task(pour())
            answers = await client.read(seconds=0.8 if state == "work" else 8)
            taken = CountingWire.taken
            pouring.cancel()
            await asyncio.wait([pouring])
            return taken, held, answers

    seconds = 1 if state == "work" else 10  # one-byte chunks take long on a busy machine
    taken, held, answers = serve_socket(talk, **{**LIMITS, "seconds": seconds})
    assert taken <= most
    assert max(held, default=0) <= 128 * KIB
    assert statuses(answers)[: len(expected)] == expected


def test_a_client_that_reads_no_answer_is_disconnected(serve_socket: Callable[..., Any]) -> None:
    async def talk(server: HttpServer, engine: Any) -> float:
        with socket.create_connection(server._address) as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(BlockingIOError):
                for _ in range(1000):
                    client.send(LARGE * 100)
            await asyncio.sleep(0.05)
            return await ended(server)

    assert serve_socket(talk, **LIMITS) < 5


HOST = b"GET /v1/model HTTP/1.1\r\nHost: "
REQUESTS: dict[str, tuple[bytes, list[int]]] = {
    "two requests at once": (POST + with_length(png()) + GET, [200, 200]),
    "a body that is not used": (GET[:-2] + with_length(b"abc") + GET, [200, 200]),
    "lines before a request": (b"\r\n\r\n" + GET, [200]),
    "an answer without a body": (b"HEAD" + GET[3:] + GET, [200, 200]),
    "an address with a host": (b"GET http://LOCALHOST/healthz" + GET[12:], [200]),
    "an address without a path": (b"GET http://localhost" + GET[12:], [200]),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", [404]),
    "HTTP/1.0": (GET.replace(b"1.1", b"1.0") + GET, [200]),
    "a continued upload": (
        POST + b"Expect: 100-continue\r\n" + with_length(png()) + GET,
        [200, 200],
    ),
    "an upgrade": (
        POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + with_length(png()),
        [200],
    ),
    "an upgrade whose body is a request": (
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + with_length(GET) + GET,
        [422],
    ),
    "an upgrade to a web socket": (
        GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + GET,
        [200],
    ),
    "chunks": (CHUNKED + b"3;a=b\r\nabc\r\n0\r\na: b\r\n\r\n" + GET, [422, 200]),
    "gzip, chunked": (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", [400]),
    "identity": (CHUNKED.replace(b"chunked", b"identity") + b"0\r\n\r\n", [400]),
    "two codings": (
        CHUNKED.replace(b"Tr", b"Transfer-Encoding: chunked\r\nTr", 1) + b"0\r\n\r\n",
        [400],
    ),
    "chunks with a length": (
        CHUNKED.replace(b"Tr", b"Content-Length: 5\r\nTr") + b"0\r\n\r\n",
        [400],
    ),
    "chunks in HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", [400]),
    "two equal lengths": (POST + b"Content-Length: 3\r\n" + with_length(b"abc"), [400]),
    "a list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc", [400]),
    "a length of 5,000 digits": (POST + b"Content-Length: " + b"0" * 5000 + b"3\r\n\r\nabc", [400]),
    "two types": (POST + b"Content-Type: image/png\r\n" + with_length(png()), [400]),
    "two hosts": (HOST + b"localhost\r\nHost: evil.example\r\n\r\n", [400]),
    "two equal hosts": (HOST + b"localhost\r\nHost: localhost\r\n\r\n", [400]),
    "no host": (b"GET /v1/model HTTP/1.1\r\n\r\n", [400]),
    "text after an address": (HOST + b"[::1]evil.example\r\n\r\n", [400]),
    "a host after a name": (HOST + b"localhost:x@evil.example\r\n\r\n", [400]),
    "a name before a host": (HOST + b"evil@localhost\r\n\r\n", [400]),
    "another host in the address": (b"GET http://evil.example/v1/model" + GET[12:], [400]),
    "two tokens": (GET[:-2] + b"Authorization: a\r\nAuthorization: b\r\n\r\n", [400]),
    "a line feed in the path": (POST.replace(b" HTTP", b"%0A HTTP") + with_length(png()), [400]),
    "a path with NUL": (GET.replace(b"z ", b"z%00 "), [400]),
    "a folded header": (HOST + b"localhost\r\nx: a\r\n b\r\n\r\n", [400]),
    "line feeds only": (GET.replace(b"\r", b""), [400]),
    "many headers": (GET[:-2] + b"a: b\r\n" * 130 + b"\r\n", [431]),
    "long headers": (GET[:-2] + b"a: " + b"b" * 40_000 + b"\r\n\r\n", [431]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    "CONNECT": (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n", [400]),
    "a bad chunk": (CHUNKED + b"3\r\nabcXX0\r\n\r\n", [400]),
}


@pytest.mark.parametrize("how", ["whole", "in pieces"])
def test_requests_have_one_meaning(how: str, serve_socket: Callable[..., Any]) -> None:
    async def one(server: HttpServer, data: bytes) -> tuple[bytes, bool]:
        cut = len(data) // 3
        pieces = [data] if how == "whole" else [data[:cut], data[cut : 2 * cut], data[2 * cut :]]
        answers = await ask(server, *pieces)
        return answers, all(b"400 " not in one or b"problem+json" in one for one in [answers])

    async def talk(server: HttpServer, engine: Any) -> list[tuple[bytes, bool]]:
        return await asyncio.gather(*(one(server, data) for data, _ in REQUESTS.values()))

    found = serve_socket(talk)
    for (name, (_, expected)), (answers, is_problem) in zip(REQUESTS.items(), found, strict=True):
        final = [status for status in statuses(answers) if status != 100]
        assert (name, final, is_problem) == (name, expected, True)


def test_an_upload_is_requested_when_it_is_needed(serve_socket: Callable[..., Any]) -> None:
    head = POST + b"Expect: 100-continue\r\n" + with_length(b"", len(png()))

    async def talk(server: HttpServer, engine: Any) -> tuple[bytes, bytes]:
        with Client(server) as client:
            await client.send(head)
            asked = await client.read(b"\r\n\r\n")
            await client.send(png())
            answer = await client.read(b"\r\n\r\n")
        refused = await ask(server, head.replace(b"localhost", b"evil.example"))
        assert statuses(refused) == [403] and b"connection: close" in refused.lower()
        return asked, answer

    asked, answer = serve_socket(talk)
    assert asked.startswith(b"HTTP/1.1 100 ") and answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_waiting_connection_gives_its_place_to_another(serve_socket: Callable[..., Any]) -> None:
    async def talk(server: HttpServer, engine: Any) -> list[list[int]]:
        silent = [Client(server) for _ in range(5)]
        await asyncio.sleep(0.05)
        found = [statuses(await ask(server, GET))]
        await asyncio.sleep(1)
        found += [statuses(await ask(server, GET)) for _ in range(3)]
        for client in silent:
            client.socket.close()
        return found

    assert serve_socket(talk, connections=5) == [[503], [200], [200], [200]]


def test_nothing_is_parsed_before_the_token_is_checked(serve_socket: Callable[..., Any]) -> None:
    slow = GET.replace(b"healthz", b"v1/model")[:-2] + b"Content-Type: a" + b";" * 31_000
    public = GET[:-2] + b"Content-Type: a" + b";" * 31_000

    async def talk(server: HttpServer, engine: Any) -> tuple[list[int], float]:
        began = asyncio.get_running_loop().time()
        found = [statuses(await ask(server, one + b"\r\n\r\n"))[0] for one in (slow, public) * 5]
        post = POST.replace(b"image/png", b"a" + b";" * 31_000)
        post = post[:-2] + b"\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
        found += statuses(await ask(server, post + with_length(png())))
        return found, asyncio.get_running_loop().time() - began

    found, seconds = serve_socket(talk, token=TOKEN)
    assert found == [401, 200] * 5 + [415] and seconds < 1


def test_declared_bytes_reserve_no_memory(serve_socket: Callable[..., Any]) -> None:
    async def talk(server: HttpServer, engine: Any) -> tuple[list[int], int]:
        large = [Client(server) for _ in range(8)]
        for client in large:
            await client.send(POST + with_length(b"abc", 400))
        await asyncio.sleep(0.05)
        held = engine.budget.held
        answers = await ask(server, POST + with_length(png()))
        for client in large:
            client.socket.close()
        return statuses(answers), held

    assert serve_socket(talk, held=1200) == ([200], 24)


def test_large_uploads_leave_memory_to_small_ones(serve_socket: Callable[..., Any]) -> None:
    async def talk(server: HttpServer, engine: Any) -> list[list[int]]:
        large = [Client(server) for _ in range(3)]
        for client in large:
            await client.send(POST + with_length(b"x" * 15_000, 16_000))
            await asyncio.sleep(0.05)
        found = [
            statuses(await ask(server, POST + with_length(data)))
            for data in (b"x" * 15_000, png(), png())
        ]
        for client in large:
            client.socket.close()
        return found

    assert serve_socket(talk, held=64_000) == [[429], [200], [200]]

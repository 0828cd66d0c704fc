"""Health and metrics over HTTP: slow and hostile clients delay no other client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from plainfilm.errors import UsageError
from plainfilm.pacs import health
from plainfilm.pacs.monitoring import Monitoring

Talk = Callable[[int], Awaitable[Any]]


def serve(talk: Talk, code: str | None = None, text: str = "plainfilm_x 1\n") -> Any:
    """Return what ``talk`` returns; it gets the port of a server that is not ready for ``code``."""

    async def ready() -> str | None:
        return code

    async def metrics() -> str:
        return text

    async def run() -> Any:
        listener = health.open_listener(0)
        server = health.HealthServer(listener, ready, metrics)
        await server.start()
        try:
            return await asyncio.wait_for(talk(listener.getsockname()[1]), 20)
        finally:
            await server.close()

    return asyncio.run(run())


async def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read(1 << 20)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0], body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("code", "path", "status", "body"),
    [
        (None, "/healthz", 200, {"status": "alive"}),
        (None, "/readyz", 200, {"status": "ready"}),
        ("disk-full", "/readyz?a=b", 503, {"code": "disk-full"}),
        ("disk-full", "/healthz", 200, {"status": "alive"}),
        (None, "/", 404, {"status": "not-found"}),
    ],
)
def test_the_pages_say_whether_the_service_is_ready(
    code: str | None, path: str, status: int, body: dict[str, str]
) -> None:
    line, found = serve(lambda port: ask(port, get(path)), code)
    assert line.startswith(b"HTTP/1.1 %d " % status) and json.loads(found) == body


def test_metrics_are_text_and_other_methods_are_refused() -> None:
    assert serve(lambda port: ask(port, get("/metrics")))[1] == b"plainfilm_x 1\n"
    request = get("/metrics").replace(b"GET", b"HEAD")
    assert serve(lambda port: ask(port, request)) == (b"HTTP/1.1 200 OK", b"")
    request = get("/metrics").replace(b"GET", b"POST")
    assert serve(lambda port: ask(port, request))[0] == b"HTTP/1.1 405 Method Not Allowed"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9104", 200),
        ("[::1]:9104", 200),
        ("LOCALHOST", 200),
        ("localhost.evil.example", 421),
        ("evil.example:9104", 421),
        ("", 421),
        ("localhost\r\nHOST:evil.example", 421),
    ],
)
def test_a_web_site_whose_name_leads_to_this_machine_reads_nothing(host: str, status: int) -> None:
    request = get("/metrics").replace(b"localhost", host.encode())
    line, body = serve(lambda port: ask(port, request))
    assert line.startswith(b"HTTP/1.1 %d " % status) and (b"plainfilm_x" in body) == (status == 200)


def test_slow_and_hostile_clients_are_closed_and_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_SECONDS", 0.3)

    async def talk(port: int) -> tuple[list[bytes], float, bytes]:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        for number, (_, writer) in enumerate(slow):
            writer.write((b"", b"GET / HTTP/1.1\r\n", b"\0" * 100)[number % 3])
        endless = await ask(port, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000)
        began = time.monotonic()
        await ask(port, get("/healthz"))
        seconds = time.monotonic() - began
        closed = [await reader.read(10) for reader, _ in slow]
        for _, writer in slow:
            writer.close()
        flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
        await asyncio.sleep(0.5)
        after = await ask(port, get("/healthz"))
        for _, writer in flood:
            writer.close()
        return [endless[0], *closed], seconds, after[0]

    closed, seconds, after = serve(talk)
    assert not any(closed) and seconds < 0.25 and after == b"HTTP/1.1 200 OK"


def test_a_ledger_that_hangs_takes_one_thread() -> None:
    calls, end = [], threading.Event()

    def has_room() -> bool:
        calls.append(1)
        return end.wait(5)

    ready = SimpleNamespace(not_ready=None)
    monitoring = Monitoring.__new__(Monitoring)
    monitoring._engine = monitoring._source = ready  # type: ignore[assignment]
    monitoring._ledger = SimpleNamespace(begin=lambda keys: None)  # type: ignore[assignment]
    monitoring._spool = SimpleNamespace(has_room=has_room)  # type: ignore[assignment]
    monitoring._calls = {}

    async def run() -> list[str | None]:
        codes = await asyncio.gather(*(monitoring.not_ready() for _ in range(5)))
        codes.append(await monitoring.not_ready())
        end.set()
        return [*codes, await monitoring.not_ready()]

    with mock.patch("plainfilm.pacs.monitoring._SECONDS", 0.1):
        assert asyncio.run(run()) == ["disk-slow"] * 6 + [None]
    assert len(calls) == 1


def test_a_port_in_use_is_an_error_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError) as caught:
        health.open_listener(taken.getsockname()[1])
    assert "--http-port" in str(caught.value.remedy)

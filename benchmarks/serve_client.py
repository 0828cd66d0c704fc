"""Sends prepared requests over persistent connections, from a separate process.

Used by ``serve.py``. Each connection sends a request, waits for the complete response, and sends
the next request, so the concurrency is the number of connections.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import queue
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Load", "measure", "multipart_request", "raw_request"]


@dataclass
class Load:
    """Measurements of a client.

    Attributes
    ----------
    seconds
        Duration.
    latencies
        Seconds of each request, from its first byte to the last byte of the response.
    statuses
        Number of responses by status; 0 for a broken connection.
    cores
        CPU use of the client, in cores.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    cores: float = 0.0

    @property
    def rate(self) -> float:
        """Responses of status 200 per second."""
        return self.statuses[200] / self.seconds

    def percentile(self, share: float) -> float:
        """Return a latency in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def raw_request(path: str, data: bytes, kind: str = "image/jpeg") -> bytes:
    """Return the bytes of a request with one file as body."""
    return _request(path, data, kind)


def multipart_request(
    path: str, files: Sequence[bytes], field_name: str = "file", kind: str = "image/jpeg"
) -> bytes:
    """Return the bytes of a request with several files."""
    mark = secrets.token_hex(16)
    parts = [
        f'--{mark}\r\ncontent-disposition: form-data; name="{field_name}"; filename="a"\r\n'
        f"content-type: {kind}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for data in files
    ]
    body = b"".join([*parts, f"--{mark}--\r\n".encode()])
    return _request(path, body, f"multipart/form-data; boundary={mark}")


def _request(path: str, body: bytes, kind: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """A persistent connection that sends one request after another."""

    def __init__(self, requests: Sequence[bytes], first: int, load: Load, until: float) -> None:
        self._requests, self._next, self._load, self._until = requests, first, load, until
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._until:
            self.done.set_result(None)
            self._transport.close()
            return
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        at = head.lower().find(b"content-length:")
        if len(body) < int(head[at + 15 :].split(b"\r\n", 1)[0]):
            return
        self._load.latencies.append(time.perf_counter() - self._began)
        self._load.statuses[int(head[9:12])] += 1
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._load.statuses[0] += 1
            self.done.set_result(None)


async def _run(port: int, requests: Sequence[bytes], concurrency: int, seconds: float) -> Load:
    load = Load()
    began, spent = time.perf_counter(), time.process_time()
    loop = asyncio.get_running_loop()
    step = max(1, len(requests) // concurrency)
    connections = []
    for n in range(concurrency):
        _, one = await loop.create_connection(
            lambda n=n: _Connection(requests, n * step, load, began + seconds), "127.0.0.1", port
        )
        connections.append(one.done)
    await asyncio.wait_for(asyncio.gather(*connections), seconds + 90)
    load.seconds = time.perf_counter() - began
    load.cores = (time.process_time() - spent) / load.seconds
    return load


def _child(
    port: int, requests: Sequence[bytes], concurrency: int, seconds: float, results: object
) -> None:
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        results.put(runner.run(_run(port, requests, concurrency, seconds)))  # type: ignore[attr-defined]


def measure(port: int, requests: Sequence[bytes], concurrency: int, seconds: float) -> Load:
    """Send requests for some seconds over several connections, from another process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (port, requests, concurrency, seconds, results)
    child = context.Process(target=_child, args=arguments)
    child.start()
    try:
        load: Load = results.get(timeout=seconds + 120)
    except queue.Empty:
        raise SystemExit("the client had no response for two minutes") from None
    finally:
        child.kill()
        child.join()
    return load

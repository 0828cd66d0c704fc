"""Attacks the prediction service on the loopback, and measures memory and a good client's latency.

    python benchmarks/serve_attack.py RUN [--seconds 10] [--connections 64]

RUN is a run or bundle. Each attack keeps its connections busy and opens a new one for each that the
service closes. A good client sends one image after another at the same time,
each over a new connection.
Results are in docs/explanation/serving.md.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import multiprocessing
import os
import selectors
import socket
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from serve import free_port, running, service

from plainfilm.cli.terminal import table

MIB = 1 << 20
HEAD = b" HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/predictions" + HEAD + b"Content-Type: image/png\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"Content-Length: 268435456\r\n\r\n"
ATTACKS: dict[str, tuple[bytes, bytes]] = {
    "none": (b"", b""),
    "silence": (b"", b""),
    "endless headers": (b"GET /" + HEAD, b"a:b\r\n"),
    "many headers": (b"", b"GET /healthz" + HEAD + b"a:b\r\n" * 120 + b"\r\n"),
    "pipelined requests": (b"", b"GET /healthz" + HEAD + b"\r\n"),
    "long content types": (
        b"",
        b"GET /healthz" + HEAD + b"Content-Type: " + b";" * 31_000 + b"\r\n\r\n",
    ),
    "chunk trailers": (CHUNKED + b"3\r\nabc\r\n0\r\n", b"a:b\r\n"),
    "chunk extensions": (CHUNKED + b"3;", b"a"),
    "chunks of one byte": (CHUNKED, b"1\r\na\r\n"),
    "unused bodies": (b"GET /healthz" + HEAD + LONG, b"a"),
    "declared bodies": (POST + LONG + b"abc", b""),
    "endless bodies": (POST + LONG, b"a"),
}
"""What opens a connection, and what follows without end."""


def draw() -> bytes:
    """Return a small image."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def memory(pid: int) -> int:
    """Return the resident bytes of the service itself."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def attack(port: int, kind: str, connections: int) -> None:
    """Keep connections busy until the process is terminated."""
    opening, unit = ATTACKS[kind]
    flood = unit * (65_536 // len(unit)) if unit else b""
    selector = selectors.DefaultSelector()
    sockets: set[socket.socket] = set()
    while True:
        while len(sockets) < connections:
            with contextlib.suppress(OSError):
                one = socket.create_connection(("127.0.0.1", port), timeout=5)
                one.sendall(opening)
                one.setblocking(False)
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if flood else 0)
                selector.register(one, events)
                sockets.add(one)
        for key, ready in selector.select(0.1):
            one = key.fileobj  # type: ignore[assignment]
            try:
                if ready & selectors.EVENT_READ and not one.recv(65_536):
                    raise ConnectionError
                if ready & selectors.EVENT_WRITE:
                    one.send(flood)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(one)
                one.close()
                sockets.discard(one)


def ask(port: int, image: bytes) -> tuple[int, float]:
    """Return status and seconds of a prediction; status 0 without an answer."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    status = 0
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        headers = {"Content-Type": "image/png", "Host": "localhost"}
        connection.request("POST", "/v1/predictions", image, headers)
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    return status, time.perf_counter() - began


def measure(port: int, pid: int, kind: str, connections: int, seconds: float) -> tuple[str, ...]:
    """Run one attack, and return a row of the table."""
    image = draw()
    before, statuses, times, peak = memory(pid), Counter[int](), [], 0
    count = 0 if kind == "none" else connections
    context = multiprocessing.get_context("spawn")
    attacking = context.Process(target=attack, args=(port, kind, count))
    attacking.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status, took = ask(port, image)
        statuses[status] += 1
        times.append(took)
        peak = max(peak, memory(pid))
        time.sleep(0.05)
    attacking.terminate()
    attacking.join()
    time.sleep(3)
    times.sort()
    grown, left = (f"{(now - before) / MIB:+.0f}" for now in (peak, memory(pid)))
    median, worst = (f"{1000 * value:.0f}" for value in (times[len(times) // 2], times[-1]))
    answers = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
    return (kind, median, worst, answers, grown, left)


def main() -> None:
    """Run all attacks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="RUN")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    port = free_port()
    with running(service(args.model, port), port, "/readyz") as process:
        for _ in range(50):
            ask(port, draw())
        rows = [
            measure(port, process.pid, kind, args.connections, args.seconds) for kind in ATTACKS
        ]
    head = ("attack", "median ms", "worst ms", "answers", "peak MiB", "left MiB")
    print(table([head, *rows], right=(1, 2, 4, 5)))


if __name__ == "__main__":
    main()

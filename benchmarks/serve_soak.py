"""Sends valid and invalid requests for a long time, to find lost requests and growing memory.

Used by ``python benchmarks/serve.py RUN --soak MINUTES``. Eight clients send random kinds of
requests without pause. Once a minute a decoding process is killed, and the service reloads the
bundle (SIGHUP). The expected status of each request is known. Prints a line every ten seconds and a
summary; the exit status is 1 if a request was lost or had a wrong response.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from serve import DATA, free_port, images, running, service
from serve_client import multipart_request

from plainfilm.cli.terminal import table
from plainfilm.errors import ImageError
from plainfilm.pixels import Limits, read_image
from plainfilm.records import PixelSpec

CLIENTS = 8
MIB = 1 << 20


class Traffic:
    """All clients and the results of their requests."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.stop = port, threading.Event()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self.seed = seed
        self.good = images()
        self.others = [
            *sorted((DATA / "broken").rglob("*.*")),
            *sorted((DATA / "dicom").rglob("*.dcm")),
            *sorted((DATA / "kermany_originals").rglob("*.jpeg")),
        ]
        limits = Limits(bytes=64 * MIB, pixels=50_000_000, frames=1_000)
        self.known: list[tuple[bytes, int]] = []
        for path in self.others:
            if path.is_file() and path.suffix != ".csv":
                data = path.read_bytes()
                with contextlib.suppress(ImageError):
                    read_image(data, PixelSpec(64), limits=limits)
                    self.known.append((data, 200))
                    continue
                self.known.append((data, 422))

    def count(self, kind: str, expected: int, found: int, note: str = "") -> None:
        """Count a response; 429 asks the client to wait."""
        with self.lock:
            self.counts[kind, str(found)] += 1
            if found not in (expected, 429) or note:
                self.wrong.append(f"{kind}: {found} instead of {expected} {note}")
        if found == 429:
            time.sleep(1)

    def run(self, number: int) -> None:
        """Send requests without pause until the end."""
        draw = random.Random(self.seed * 1000 + number)
        kinds: list[tuple[Callable[[random.Random], None], int]] = [
            (self.one, 60),
            (self.several, 8),
            (self.stream, 5),
            (self.pictures, 5),
            (self.other, 12),
            (self.slow, 2),
            (self.cut, 3),
            (self.large, 2),
            (self.not_found, 3),
        ]
        calls, weights = zip(*kinds, strict=True)
        while not self.stop.is_set():
            [call] = draw.choices(calls, weights)
            try:
                call(draw)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                with self.lock:
                    self.counts[call.__name__, "lost"] += 1
                    self.wrong.append(f"{call.__name__}: lost, {type(error).__name__}: {error}")

    def send(self, raw: bytes, pause: float = 0.0) -> tuple[int, bytes]:
        """Send a prepared request over a new connection, and return the response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=90) as one:
            half = len(raw) // 2
            one.sendall(raw[:half])
            time.sleep(pause)
            one.sendall(raw[half:])
            response = http.client.HTTPResponse(one, method="POST")
            response.begin()
            return response.status, response.read()

    def post(self, path: str, data: bytes, kind: str) -> tuple[int, bytes]:
        """Send one body."""
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
        return self.send(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)

    def one(self, draw: random.Random) -> None:
        """Send one valid image."""
        status, body = self.post("/v1/predictions", draw.choice(self.good), "image/jpeg")
        fits = status != 200 or "probabilities" in json.loads(body)["predictions"][0]
        self.count("one", 200, status, "" if fits else "no probability")

    def mixed(self, draw: random.Random, count: int) -> tuple[list[bytes], list[bool]]:
        """Return random files, and which of them are valid images."""
        drawn = [
            (draw.choice(self.good), 200) if draw.random() < 0.8 else draw.choice(self.known)
            for _ in range(count)
        ]
        return [data for data, _ in drawn], [status == 200 for _, status in drawn]

    def several(self, draw: random.Random) -> None:
        """Send several files at once."""
        files, good = self.mixed(draw, 8)
        status, body = self.send(multipart_request("/v1/predictions", files))
        note = ""
        if status == 200:
            found = ["probabilities" in item for item in json.loads(body)["predictions"]]
            note = "" if found == good else "other items"
        self.count("several", 200, status, note)

    def stream(self, draw: random.Random) -> None:
        """Send several files and read a stream of results."""
        files, good = self.mixed(draw, 16)
        status, body = self.send(multipart_request("/v1/predictions/stream", files))
        note = ""
        if status == 200:
            lines = [json.loads(line) for line in body.splitlines()]
            found = {line["index"]: "probabilities" in line for line in lines}
            note = "" if found == dict(enumerate(good)) else "other lines"
        self.count("stream", 200, status, note)

    def pictures(self, draw: random.Random) -> None:
        """Request images in the response."""
        path = "/v1/predictions?include=seen,original,heatmap"
        data, expected = draw.choice(self.known)
        self.count("pictures", expected, self.post(path, data, "application/octet-stream")[0])

    def other(self, draw: random.Random) -> None:
        """Send a damaged, unusual, large or DICOM file."""
        data, expected = draw.choice(self.known)
        found, _ = self.post("/v1/predictions", data, "application/octet-stream")
        self.count("other", expected, found)

    def slow(self, draw: random.Random) -> None:
        """Send a valid image with a pause in the middle."""
        data = draw.choice(self.good)
        head = "POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n"
        raw = f"{head}content-length: {len(data)}\r\n\r\n".encode() + data
        self.count("slow", 200, self.send(raw, pause=draw.uniform(0, 2))[0])

    def cut(self, draw: random.Random) -> None:
        """Close the connection during or right after a request, without a response."""
        raw = multipart_request("/v1/predictions", [draw.choice(self.good)] * 4)
        with socket.create_connection(("127.0.0.1", self.port), timeout=90) as one:
            one.sendall(raw[: draw.randrange(len(raw) + 1)])
        with self.lock:
            self.counts["cut", "no response"] += 1

    def large(self, draw: random.Random) -> None:
        """Announce a body above the limit."""
        head = "POST /v1/predictions HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=90) as one:
            one.sendall(f"{head}content-length: {1 << 33}\r\n\r\nxyz".encode())
            response = http.client.HTTPResponse(one, method="POST")
            response.begin()
            self.count("large", 413, response.status)

    def not_found(self, draw: random.Random) -> None:
        """Request a path or bundle that does not exist."""
        path = draw.choice(["/v1/other", "/predictions", "/v1/predictions?bundle=other"])
        self.count("not found", 404, self.post(path, b"x", "image/jpeg")[0])


def resident(pid: int) -> int:
    """Return the resident bytes of a process, or 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    return 0


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # each thread has its own
    return [int(one) for some in lists for one in some.read_text().split()]


def soak(model: Path, minutes: float, seed: int = 0) -> None:
    """Run all clients, and print the results."""
    port = free_port()
    rows = [("minute", "requests", "service MiB", "decoders MiB", "open files", "wrong")]
    print("  ".join(rows[0]))
    with running(service(model, port), port, "/readyz") as process:
        traffic = Traffic(port, seed)
        threads = [threading.Thread(target=traffic.run, args=(n,)) for n in range(CLIENTS)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        step = 0
        while time.monotonic() - began < 60 * minutes:
            time.sleep(max(0.0, began + 10 * (step + 1) - time.monotonic()))
            step += 1
            pids = children(process.pid)
            row = (
                f"{step / 6:.1f}",
                str(sum(traffic.counts.values())),
                str(resident(process.pid) // MIB),
                str(sum(map(resident, pids)) // MIB),
                str(len(os.listdir(f"/proc/{process.pid}/fd"))),  # noqa: PTH208
                str(len(traffic.wrong)),
            )
            rows.append(row)
            print("  ".join(row), flush=True)
            if step % 6 == 3 and pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[0], signal.SIGKILL)
            if step % 6 == 0:
                process.send_signal(signal.SIGHUP)
        traffic.stop.set()
        for thread in threads:
            thread.join(120)
    summarise(traffic, rows)


def summarise(traffic: Traffic, rows: list[tuple[str, ...]]) -> None:
    """Print the tables; exit with status 1 if a response was wrong."""
    every = max(1, (len(rows) - 1) // 10)
    print()
    print(table([rows[0], *rows[1::every]], right=(0, 1, 2, 3, 4, 5)))
    print()
    counts = [(kind, status, str(n)) for (kind, status), n in sorted(traffic.counts.items())]
    print(table([("kind", "status", "requests"), *counts], right=(2,)))
    print()
    for line in traffic.wrong[:20]:
        print(line)
    print(f"{len(traffic.wrong)} requests lost or with a wrong response")
    sys.exit(1 if traffic.wrong else 0)

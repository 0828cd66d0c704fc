"""Attacks a service, and measures its memory and the latency of a good client during it.

    python benchmarks/attack.py RUN                          # all attacks, 30 seconds each
    python benchmarks/attack.py RUN --only slow-requests --seconds 60

RUN is a run or bundle. A service is started for each attack, on the loopback interface. A good
client sends one small image four times a second, each over a new connection: for 5 seconds alone,
then during the attack. The attacker uses the same address as the good client, as behind a proxy;
with ``--apart`` it uses 127.0.0.2 (Linux only).

The table has the good client's seconds, how many of its requests did not get status 200, and MiB of
memory: of the service and of its decoding processes before the attack, at most, and 70 seconds
after it (a request may take a minute).
"""

from __future__ import annotations

import argparse
import http.client
import io
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from _measure import machine, table
from PIL import Image
from serve import free_port, running, service
from serve_client import multipart_request, raw_request
from serve_soak import MIB, children, resident

FILES = 64  # of the attacks with slow files
ALONE, AFTER, PAUSE = 5.0, 70.0, 0.25  # seconds; AFTER lasts longer than a request may


class Attack:
    """The target of an attack; ``stop`` is set at its end, and all its connections are closed."""

    def __init__(self, port: int, address: str) -> None:
        self.port, self.address = port, address
        self.stop = threading.Event()
        self.statuses: Counter[int] = Counter()
        self._open: set[socket.socket] = set()

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """Open a connection, and ignore that it breaks."""
        with (
            suppress(OSError, http.client.HTTPException),
            socket.create_connection(
                ("127.0.0.1", self.port), timeout=90, source_address=(self.address, 0)
            ) as one,
        ):
            self._open.add(one)
            try:
                yield one
            finally:
                self._open.discard(one)

    def send(self, request: bytes) -> None:
        """Send a request and read its answer."""
        with self.connection() as one:
            one.sendall(request)
            answer = http.client.HTTPResponse(one, method="POST")
            answer.begin()
            self.statuses[answer.status] += 1
            answer.read()

    def repeat(self, request: bytes, count: int) -> None:
        """Send a request again and again over several connections."""

        def send() -> None:
            while not self.stop.is_set():
                self.send(request)
                self.stop.wait(0.1)

        threads = [threading.Thread(target=send, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def end(self) -> None:
        """Close all connections."""
        self.stop.set()
        for one in [*self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def slow_file(side: int) -> bytes:
    """Return a square DICOM file of JPEG 2000: a second for 6 million pixels, on a free core."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless

    noise = np.random.default_rng(0).integers(0, 8, (side, side), dtype=np.uint8)
    stream, out = io.BytesIO(), io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Modality, data.PhotometricInterpretation = "DX", "MONOCHROME2"
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = encapsulate([stream.getvalue()])
    pydicom.dcmwrite(out, data, enforce_file_format=True)
    return out.getvalue()


def slow_files(attack: Attack) -> None:
    """Send 64 slow files in one request, again and again."""
    files, path = [slow_file(3000)] * FILES, "/v1/predictions/stream"
    attack.repeat(multipart_request(path, files, kind="application/dicom"), 1)


def slow_requests(attack: Attack) -> None:
    """Send one slow file in each of 64 requests at a time, again and again."""
    attack.repeat(raw_request("/v1/predictions", slow_file(4000), "application/dicom"), FILES)


def heat_maps(attack: Attack) -> None:
    """Request heat maps over 64 connections."""
    attack.repeat(raw_request("/v1/predictions?include=heatmap", good_image(), "image/png"), FILES)


ATTACKS: dict[str, Callable[[Attack], None]] = {
    "slow-files": slow_files,
    "slow-requests": slow_requests,
    "heat-maps": heat_maps,
}
"""Each runs until ``attack.stop`` is set."""


def good_image() -> bytes:
    """Return a small PNG that the good client sends."""
    out = io.BytesIO()
    ramp = np.add.outer(np.arange(256), np.arange(256)) // 2
    Image.fromarray(ramp.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


class GoodClient:
    """Sends one image at regular times, without waiting for the answers of earlier ones."""

    def __init__(self, port: int) -> None:
        self._port, self._image = port, good_image()
        self._threads: list[threading.Thread] = []
        self.found: list[tuple[float, float, object]] = []  # (when sent, seconds, status)

    def run(self, seconds: float) -> None:
        """Send images for some seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._threads.append(threading.Thread(target=self._send, daemon=True))
            self._threads[-1].start()
            time.sleep(PAUSE)

    def _send(self) -> None:
        began, status = time.monotonic(), "none"
        with suppress(OSError, http.client.HTTPException):
            one = http.client.HTTPConnection("127.0.0.1", self._port, timeout=70)
            headers = {"Content-Type": "image/png", "Connection": "close"}
            one.request("POST", "/v1/predictions", self._image, headers)
            answer = one.getresponse()
            answer.read()
            status = str(answer.status)
            one.close()
        self.found.append((began, time.monotonic() - began, status))

    def results(self, since: float, until: float) -> list[str]:
        """Return the percentiles of the requests sent in an interval, and how many failed."""
        for thread in self._threads:
            thread.join()
        chosen = [
            (seconds, status) for began, seconds, status in self.found if since <= began < until
        ]
        seconds = [one for one, status in chosen if status == "200"] or [float("nan")]
        middle, high = np.percentile(seconds, [50, 99])
        failed = sum(status != "200" for _, status in chosen)
        return [f"{middle:.3f}", f"{high:.2f}", f"{max(seconds):.2f}", f"{failed} of {len(chosen)}"]


class Memory:
    """The memory of a service and of its decoding processes, read all the time."""

    def __init__(self, pid: int) -> None:
        self._pid, self._stop = pid, threading.Event()
        self.service, self.decoders = self.now()
        self.most = [self.service, self.decoders]
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> tuple[int, int]:
        """Return MiB of the service and of all its decoding processes."""
        with suppress(OSError):
            both = resident(self._pid), sum(map(resident, children(self._pid)))
            return both[0] // MIB, both[1] // MIB
        return 0, 0

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.most = [max(pair) for pair in zip(self.most, self.now(), strict=True)]

    def results(self) -> list[str]:
        """Return what there was before the attack, at most, and is now."""
        self._stop.set()
        before, after = (self.service, self.decoders), self.now()
        return [
            f"{one} / {most} / {now}"
            for one, most, now in zip(before, self.most, after, strict=True)
        ]


def measure(model: Path, name: str, seconds: float, address: str) -> list[list[str]]:
    """Run one attack on a new service; return the rows without and with it."""
    port = free_port()
    with running(service(model, port), port, "/readyz") as process:
        client = GoodClient(port)
        client.run(1)  # warm-up
        start = time.monotonic()
        client.run(ALONE)
        memory, attack = Memory(process.pid), Attack(port, address)
        attacker = threading.Thread(target=ATTACKS[name], args=(attack,), daemon=True)
        begin = time.monotonic()
        attacker.start()
        client.run(seconds)
        end = time.monotonic()
        attack.end()
        attacker.join(30)
        time.sleep(AFTER)
        mib = memory.results()
        print(f"{name}: answers to the attacker by status: {dict(attack.statuses)}", flush=True)
        return [
            ["before", *client.results(start, begin), "", ""],
            [name, *client.results(begin, end), *mib],
        ]


def main() -> int:
    """Run the attacks and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--apart", action="store_true", help="attack from another address")
    args = parser.parse_args()
    print(machine(), flush=True)
    address = "127.0.0.2" if args.apart else "127.0.0.1"
    rows: list[list[str]] = []
    for name in args.only:
        rows += measure(args.model, name, args.seconds, address)
    heads = ["attack", "median s", "p99 s", "worst s", "failed", "service MiB", "decoders MiB"]
    print(table(heads, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures throughput and latency of the prediction service.

    python benchmarks/serve.py RUN                    # four minutes; needs the extras serve, train
    python benchmarks/serve.py RUN --soak 30          # half an hour of valid and invalid requests

RUN is a run or bundle (``plainfilm train $PLAINFILM_DATA/kermany224 --recipe swift --out RUN``).
Needs the real images (``PLAINFILM_DATA``): the 624 official test images, JPEG of 224 x 224.

Without ``--soak``: requests with one image over 1 to 64 persistent connections, and requests with
32 images; before and after, the throughput of the predictor on the same bytes in memory; and the
simple server of ``serve_plain.py``. The client runs on the same machine and uses some of its cores,
so the table has the cores of the client and the rate relative to the predictor on the other cores.
All connections are local.

Results are in docs/explanation/serving.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from serve_client import Load, measure, multipart_request, raw_request

from plainfilm.cli.terminal import table
from plainfilm.runtime import Predictor

DATA = Path(os.environ.get("PLAINFILM_DATA", "../shared/data"))
LEVELS = (1, 2, 4, 8, 16, 32, 64)
TOGETHER = 32


def images() -> list[bytes]:
    """Return the official test images, in memory."""
    paths = sorted((DATA / "kermany224" / "test").rglob("*.jpeg"))
    return [path.read_bytes() for path in paths]


@contextlib.contextmanager
def running(command: list[str], port: int, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it responds, and stop it at the end."""
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(command, stdout=null, stderr=null)
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"the server does not start: {' '.join(command)}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).close()
                break
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """Return a free port."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def service(model: Path, port: int, *more: str) -> list[str]:
    """Return the command of the service."""
    return [sys.executable, "-m", "plainfilm", "serve", str(model), "--port", str(port), *more]


def own_rate(model: Path, files: list[bytes], seconds: float) -> float:
    """Return the images per second of the predictor with its defaults."""
    predictor = Predictor(model)
    for _ in predictor.predict(files[:64]):
        pass
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        count += sum(not one.is_unreadable for one in predictor.predict(files))
    return count / (time.perf_counter() - began)


def row(name: str, load: Load, images_each: int, own: float) -> tuple[str, ...]:
    """Return a row of the table."""
    rate = load.rate * images_each
    bad = sum(count for status, count in load.statuses.items() if status != 200)
    cores = os.cpu_count() or 1
    left = own * (cores - load.cores) / cores  # speed of the predictor on the other cores
    cells = (f"{rate:.0f}", f"{rate / own:.2f}", f"{load.cores:.2f}", f"{rate / left:.2f}")
    return (name, *cells, f"{load.percentile(0.5):.1f}", f"{load.percentile(0.99):.1f}", str(bad))


def compare(model: Path, seconds: float, plain: bool) -> None:
    """Print all tables."""
    files = images()
    before = own_rate(model, files, seconds)
    port = free_port()
    loads: list[tuple[str, Load, int]] = []
    with running(service(model, port), port, "/readyz"):
        single = [raw_request("/v1/predictions", data) for data in files]
        parts = [files[n : n + TOGETHER] for n in range(0, len(files) - TOGETHER + 1, TOGETHER)]
        several = [multipart_request("/v1/predictions", part) for part in parts]
        measure(port, single, 8, min(2.0, seconds))
        loads += [
            (f"1 image, {level}", measure(port, single, level, seconds), 1) for level in LEVELS
        ]
        for level in (1, 4, 8):
            load = measure(port, several, level, seconds)
            loads.append((f"{TOGETHER} images, {level}", load, TOGETHER))
    after = own_rate(model, files, seconds)
    own = (before + after) / 2
    print(f"predictor: {before:.0f} and {after:.0f} images/s, before and after\n")
    head = (
        "request, connections",
        "images/s",
        "/ predictor",
        "client cores",
        "/ predictor on rest",
    )
    head += ("p50 ms", "p99 ms", "errors")
    print(table([head, *(row(*load, own) for load in loads)], right=(1, 2, 3, 4, 5, 6, 7)))
    best = max(load.rate * each for _, load, each in loads if each == 1)
    print(
        f"\nbest rate, one image per request: {best:.0f} images/s, "
        f"{best / own:.2f} of the predictor"
    )
    if plain:
        compare_plain(model, files, seconds, best)


def compare_plain(model: Path, files: list[bytes], seconds: float, best: float) -> None:
    """Print the table of the simple server."""
    port = free_port()
    script = str(Path(__file__).with_name("serve_plain.py"))
    requests = [multipart_request("/predict", [data]) for data in files]
    rows, rates = [], []
    with running([sys.executable, script, str(model), str(port)], port, "/openapi.json"):
        measure(port, requests, 1, min(2.0, seconds))
        for level in (1, 8, 64):
            load = measure(port, requests, level, seconds)
            rates.append(load.rate)
            rows.append(row(f"1 image, {level}", load, 1, load.rate))
    head = ("simple server, connections", "images/s", "p50 ms", "p99 ms", "errors")
    print()
    print(
        table(
            [head, *((name, rate, *rest) for name, rate, _, _, _, *rest in rows)], right=(1, 2, 3)
        )
    )
    print(f"\nthe service handles {best / max(rates):.1f} times as many requests")


def main() -> None:
    """Run the requested measurement."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="RUN")
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="duration of each measurement (default: 8)"
    )
    parser.add_argument("--no-plain", action="store_true", help="do not measure the simple server")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="send mixed requests instead")
    args = parser.parse_args()
    if args.soak:
        from serve_soak import soak

        soak(args.model, args.soak)
    else:
        compare(args.model, args.seconds, not args.no_plain)


if __name__ == "__main__":
    main()

"""Measures `plainfilm score` next to `plainfilm predict`, on the same files and in turn.

    python benchmarks/score.py RUN                      # a run of `plainfilm train`
    python benchmarks/score.py RUN --files 20000 --rounds 5

- throughput: whole commands on distinct JPEG files of 224x224 (copies of `kermany224`, each with a
  comment of its own): seconds, CPU seconds of all processes, and their ratios to `predict` in the
  same round. Listing, starting and the copy of the model are included.
- loopback: the same with fewer files in an S3 server on this machine (moto, a stand-in that is
  slow itself), as archive and output.
- driver: the schedule with workers that answer at once: CPU time for each chunk, and memory.
- death: a worker is killed in the middle; the number of attempts beyond one for each chunk.

Needs the images of PLAINFILM_DATA and the extras ``cluster``, ``object-store`` and ``test``
(without one, its rows are left out). CPU time is counted by a control group: Linux, as root.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from _measure import machine, need, spread, table

from plainfilm._machine import resident_bytes
from plainfilm.cluster.drive import drive
from plainfilm.cluster.job import Event, Outcome
from plainfilm.cluster.local import LocalEngine
from plainfilm.cluster.plan import Chunk
from plainfilm.cluster.score import prepare

PLAINFILM = Path(sys.executable).parent / "plainfilm"
CHUNKS = 24_415  # of 10^8 images
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def main() -> int:
    """Make the files, run all measurements and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_files(folder / "archive", args.files)
        throughput(args, folder)
        if has("obstore", "moto", "flask"):
            loopback(args, folder)
        death(args.run, folder)
    driver()
    return 0


def has(*modules: str) -> bool:
    """Return whether modules are installed."""
    return all(importlib.util.find_spec(name) for name in modules)


def write_files(folder: Path, count: int) -> None:
    """Write distinct files in folders of a thousand."""
    originals = sorted(need("kermany224").rglob("*.jp*g"))
    for n in range(count):
        below = folder / f"{n // 1000:03d}"
        below.mkdir(parents=True, exist_ok=True)
        data = originals[n % len(originals)].read_bytes()
        comment = b"\xff\xfe\x00\x12" + f"copy {n:011d}".encode()
        (below / f"{n:08d}.jpeg").write_bytes(data[:2] + comment + data[2:])


def command(arguments: Sequence[object]) -> tuple[float, float]:
    """Run plainfilm; return its seconds and the CPU seconds of all its processes."""
    group = control_group()

    def join() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    began = time.perf_counter()
    done = subprocess.run(
        [str(PLAINFILM), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=join,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{arguments}\n{done.stdout}\n{done.stderr}")
    if group is None:
        return seconds, math.nan
    while (group / "cgroup.procs").read_text():  # processes that end after the command
        time.sleep(0.05)
    used = cpu_of(group)
    group.rmdir()
    return seconds, used


def control_group() -> Path | None:
    """Create a control group that counts CPU time; None where that is not permitted."""
    tops = [Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")]  # of version 1 and 2
    for top in tops:
        group = top / f"plainfilm-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            if (group / "cgroup.procs").exists():
                return group
            group.rmdir()
    return None


def cpu_of(group: Path) -> float:
    """Return the CPU seconds of a control group."""
    if (group / "cpuacct.usage").exists():
        return int((group / "cpuacct.usage").read_text()) / 1e9
    words = (group / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 1e6


def throughput(args: argparse.Namespace, folder: Path) -> None:
    """Run the commands in turn and print their times."""
    archive, out = folder / "archive", folder / "out"
    score = ["score", archive, "--bundle", args.run, "--out", out]
    commands: dict[str, list[object]] = {
        "plainfilm predict": ["predict", args.run, archive, "--format", "csv"],
        "plainfilm score": [*score],
    }
    if has("ray"):
        commands["plainfilm score --on ray"] = [*score, "--on", "ray"]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    command(commands["plainfilm predict"])  # the files are in the disk cache afterwards
    for _ in range(args.rounds):
        for name, words in commands.items():
            measured[name].append(command(words))
            shutil.rmtree(out, ignore_errors=True)
    print_times(f"{args.files:,} files, {plural_rounds(args.rounds)}", measured, args.files)


def print_times(title: str, measured: dict[str, list[tuple[float, float]]], files: int) -> None:
    """Print seconds and CPU time of commands, and their ratios to the first one."""
    first = next(iter(measured.values()))
    rows = []
    for name, own in measured.items():
        pairs = list(zip(own, first, strict=True))
        rows.append(
            [
                name,
                spread([one[0] for one in own], " s", 1),
                spread([b[0] / a[0] for a, b in pairs]),
                spread([1000 * one[1] / files for one in own], " ms"),
                spread([a[1] / b[1] for a, b in pairs]),
            ]
        )
    heads = [title, "whole command", "throughput / first", "CPU for each file", "CPU / first"]
    print("\n" + table(heads, rows), flush=True)


def plural_rounds(count: int) -> str:
    """Return the number of rounds in words."""
    return "1 round" if count == 1 else f"{count} rounds"


# --- an S3 server on this machine


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Run a server in a process of its own; yield the environment with its address."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        port = int(server.stdout.readline())
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "of-the-benchmark")
        yield {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        server.stdin.close()


def loopback(args: argparse.Namespace, folder: Path) -> None:
    """Compare an archive in a folder with the same in an object store."""
    import obstore
    from obstore.store import S3Store

    files = sorted((folder / "archive").rglob("*.jpeg"))[: args.objects]
    for file in files:
        (folder / "some").mkdir(exist_ok=True)
        shutil.copy(file, folder / "some")
    with s3_server() as environment:
        os.environ.update(environment)
        create_bucket(environment["AWS_ENDPOINT_URL"])
        store = S3Store("archive", client_options={"allow_http": True})
        for file in files:
            obstore.put(store, f"in/{file.name}", file.read_bytes())
        seconds: dict[str, list[float]] = {"folder": [], "S3 on loopback": []}
        for number in range(args.rounds):
            places = (
                (folder / "some", folder / "o"),
                ("s3://archive/in", f"s3://archive/{number}"),
            )
            for own, (source, out) in zip(seconds.values(), places, strict=True):
                words = ["score", source, "--bundle", args.run, "--out", out]
                own.append(command(words)[0])
            shutil.rmtree(folder / "o")
    ours = seconds["folder"]
    rows = [
        [name, spread(own, " s", 1), spread([a / b for a, b in zip(own, ours, strict=True)])]
        for name, own in seconds.items()
    ]
    print("\n" + table([f"{len(files):,} files", "whole command", "/ folder"], rows), flush=True)


def create_bucket(endpoint: str) -> None:
    """Create the bucket ``archive`` on a server that checks no signature."""
    import urllib.request

    request = urllib.request.Request(f"{endpoint}/archive", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()


# --- the driver and its workers


class Instant:
    """An engine with workers that answer at once."""

    capacity = 1024

    def __init__(self) -> None:
        self._events: list[Event] = []

    def submit(self, chunk: Chunk, attempt: int) -> None:
        """End the attempt."""
        self._events.append(Event(chunk, attempt, Outcome(chunk.rows, {"truncated": 1})))

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return all attempts."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Do nothing."""


def driver() -> None:
    """Print what the schedule needs for the chunks of 10^8 images."""
    before = resident_bytes() or 0
    chunks = [Chunk(n // 256, n % 256, 4096) for n in range(CHUNKS)]
    began = time.process_time()
    drive(Instant(), chunks, stage="predicting")
    spent = time.process_time() - began
    grown = ((resident_bytes() or 0) - before) / 2**20
    heads = [f"schedule of {CHUNKS:,} chunks", "CPU for each chunk", "memory beyond the start"]
    print(
        "\n"
        + table(heads, [["1,024 workers", f"{1000 * spent / CHUNKS:.3f} ms", f"{grown:.0f} MiB"]])
    )


class Counting:
    """An engine that counts the attempts of another one."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine, self.attempts = engine, 0
        self.wait, self.close = engine.wait, engine.close

    @property
    def capacity(self) -> int:
        """Number of workers."""
        return self.engine.capacity

    def submit(self, chunk: Chunk, attempt: int) -> None:
        """Count and pass on."""
        self.attempts += 1
        self.engine.submit(chunk, attempt)


def death(run: Path, folder: Path) -> None:
    """Kill a worker in the middle, and print how many chunks were begun again."""
    job, ledger = prepare([folder / "archive"], run, folder / "death")
    chunks = ledger.to_do()
    with closing(Counting(LocalEngine(job, ledger.store.uri, 2, len(chunks)))) as engine:
        half = threading.Event()

        def kill() -> None:
            half.wait()
            os.kill(engine.engine.pids[0], signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()

        def progress(stage: str, done: int, total: int, note: str = "") -> None:
            if done > total / 2:
                half.set()

        driven = drive(engine, chunks, stage="predicting", progress=progress)
    lost, rows = engine.attempts - len(chunks), len(ledger.plan) - driven.rows
    heads = ["worker killed", "chunks", "begun again", "rows missing", "finished"]
    print("\n" + table(heads, [["once", len(chunks), lost, rows, ledger.finish() is not None]]))


if __name__ == "__main__":
    sys.exit(main())

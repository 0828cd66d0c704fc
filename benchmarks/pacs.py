"""Measures the network process of the hospital network service, next to other DICOM servers.

    python benchmarks/pacs.py receive [--images 60] [--runs 3]   # images per second and CPU
    python benchmarks/pacs.py attack [--seconds 6]               # memory and an honest peer's wait
    python benchmarks/pacs.py answer|kill|check                  # with Orthanc, see pacs_answer.py,
                                                                 # pacs_kill.py and pacs_check.py

``receive`` sends drawn radiographs of 2 megapixels with dcmtk's storescu to our process, to a
server written with pynetdicom as its documentation shows (with and without fsync), and to dcmtk's
``storescp --fork``. ``attack`` connects hostile peers from two addresses, and measures how long a
C-ECHO from 127.0.0.2 takes. Everything is on the loopback and bounded in count and time.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from _measure import ROOT, machine, spread, table

sys.path.insert(0, str(ROOT / "tests"))
import dicom_wire as wire
from pacs_files import chest, lossless, to_bytes
from pacs_peers import free_port
from plainfilm.inference.log import Log
from plainfilm.pacs.receiver_process import ReceiverProcess
from plainfilm.pacs.settings import ListenSettings, NetworkLimits
from plainfilm.pacs.state_folder import StateLock

MIB = 1 << 20
SIZE = (1600, 1312)
OTHER = "127.0.0.2"
HOSTILE = ("127.0.0.1", "127.0.0.3")
TICK = os.sysconf("SC_CLK_TCK")

PLAIN = """
import hashlib, os, sys, threading, time
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
_config.LOG_HANDLER_LEVEL = "none"
port, folder, sync = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "fsync"
def store(event):
    name = hashlib.sha256(event.request.AffectedSOPInstanceUID.encode()).hexdigest()[:32]
    part = f"{folder}/.{name}.{threading.get_ident()}"
    with open(part, "wb") as file:
        file.write(event.encoded_dataset())
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(part, f"{folder}/{name}.dcm")
    return 0
ae = AE("PLAINFILM")
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
ae.add_supported_context("1.2.840.10008.1.1")
ae.maximum_pdu_size, ae.maximum_associations = 131072, 100
handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_ECHO, lambda event: 0)]
ae.start_server(("127.0.0.1", port), block=True, evt_handlers=handlers)
"""


@dataclass
class Server:
    """A running server: its port, its process, and the folder of the files that it stores."""

    port: int
    pid: int
    stored: Path

    def cpu(self) -> float:
        """Return the CPU seconds of the process and of its children that have ended."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICK

    def memory(self, name: str = "VmRSS") -> float:
        """Return a number of /proc in MiB; VmHWM is the peak."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
        return int(found.split()[1]) / 1024

    def files(self) -> int:
        return sum(path.suffix != ".part" for path in self.stored.iterdir())

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))


@contextlib.contextmanager
def ours(folder: Path, limits: NetworkLimits | None = None) -> Iterator[Server]:
    """Start our network process."""
    settings = ListenSettings(
        title="PLAINFILM",
        host="127.0.0.1",
        port=0,
        state=folder,
        reserve=0,
        limits=limits or NetworkLimits(connections_per_address=8),
    )
    with (
        StateLock(folder) as lock,
        ReceiverProcess(settings, lambda: None, Log(), inherited=[lock.descriptor]) as process,
    ):
        assert process.pid is not None
        yield Server(process.port, process.pid, folder / "spool")


@contextlib.contextmanager
def command(folder: Path, *words: str) -> Iterator[Server]:
    """Start another server; PORT and FOLDER in its command are replaced."""
    port = free_port()
    folder.mkdir()
    words = tuple(x.replace("PORT", str(port)).replace("FOLDER", str(folder)) for x in words)
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=quiet, stderr=quiet) as process:
        try:
            while not wire.echo(port, seconds=1):
                time.sleep(0.1)
            yield Server(port, process.pid, folder)
        finally:
            process.kill()


SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Server]]] = {
    "plainfilm": ours,
    "pynetdicom": lambda at: command(at, sys.executable, "-c", PLAIN, "PORT", "FOLDER", "none"),
    "pynetdicom, fsync": lambda at: command(
        at, sys.executable, "-c", PLAIN, "PORT", "FOLDER", "fsync"
    ),
    "storescp --fork": lambda at: command(
        at, "storescp", "--fork", "-pdu", "131072", "+xa", "-od", "FOLDER", "PORT"
    ),
}


def make_images(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write copies of a drawn radiograph with UIDs of their own, raw and JPEG lossless."""
    import io

    from pydicom import dcmread

    raw = to_bytes(chest("benchmark", size=SIZE))
    found: dict[str, list[Path]] = {}
    for kind, data in (("raw", raw), ("JPEG lossless", lossless(raw))):
        made, found[kind] = dcmread(io.BytesIO(data)), []
        for number in range(count):
            made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = (
                f"2.25.{1000 + number}"
            )
            found[kind].append(folder / f"{kind[:3]}{number}.dcm")
            made.save_as(found[kind][-1])
        size = found[kind][0].stat().st_size / 1e6
        print(f"{kind}: {count} images of {SIZE[0]} x {SIZE[1]} pixels, {size:.1f} MB each")
    return found


def send(server: Server, paths: Sequence[Path], senders: int, kind: str) -> tuple[float, float]:
    """Send the images in parallel; return wall and CPU seconds of the server."""
    option = ["-xs"] if kind == "JPEG lossless" else []
    words = ["storescu", "-pdu", "131072", "-aec", "PLAINFILM", *option, "127.0.0.1"]
    cpu, began = server.cpu(), time.perf_counter()
    running = [
        subprocess.Popen([*words, str(server.port), *map(str, paths[number::senders])])
        for number in range(senders)
    ]
    if any(process.wait(300) for process in running):
        sys.exit("storescu failed")
    seconds = time.perf_counter() - began
    end = time.monotonic() + 5
    while server.files() < len(paths) and time.monotonic() < end:
        time.sleep(0.01)
    if server.files() != len(paths):
        sys.exit(f"{server.files()} of {len(paths)} images were stored")
    return seconds, server.cpu() - cpu


def receive(arguments: Sequence[str]) -> None:
    """Measure images per second of each server, in turn."""
    parser = argparse.ArgumentParser(description="images per second of DICOM servers")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--senders", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args(arguments)
    rates: dict[tuple[str, int, str], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = make_images(folder, args.images)
        for _ in range(args.runs):
            for kind, paths in images.items():
                for senders in args.senders:
                    for server, start in SERVERS.items():
                        at = folder / "state"
                        with start(at) as running:
                            seconds, cpu = send(running, paths, senders, kind)
                            peak = running.memory("VmHWM")
                        shutil.rmtree(at)
                        count = len(paths)
                        row = (count / seconds, 1000 * cpu / count, peak)
                        rates.setdefault((kind, senders, server), []).append(row)
    rows = []
    for (kind, senders, server), values in rates.items():
        each, cpu, peak = ([row[n] for row in values] for n in range(3))
        plain = [row[0] for row in rates[kind, senders, "pynetdicom"]]
        ratio = [own / other for own, other in zip(each, plain, strict=True)]
        words = (spread(each, digits=1), spread(ratio), spread(cpu, digits=1), f"{max(peak):.0f}")
        rows.append((kind, senders, server, *words))
    heads = ("images", "senders", "server", "images/s", "of pynetdicom", "CPU ms/image", "peak MiB")
    print(machine(), table(heads, rows), sep="\n\n")


def _hold(port: int, source: str, first: bytes, count: int = 40) -> Callable[[], None]:
    """Return an attack with connections that send something and then nothing."""

    def attack() -> None:
        with contextlib.ExitStack() as stack:
            while count:
                with contextlib.suppress(OSError):
                    peer = stack.enter_context(wire.Wire(port, source=source))
                    if first and first[0] != wire.ASSOCIATE:
                        peer.associate()
                    peer.send(first)
                time.sleep(0.02)

    return attack


def _repeat(port: int, source: str, first: bytes, again: bytes) -> Callable[[], None]:
    """Return an attack with connections that send without end, and connect again when closed."""

    def attack() -> None:
        while True:
            with contextlib.suppress(OSError), wire.Wire(port, source=source) as peer:
                if not first or first[0] != wire.ASSOCIATE:
                    peer.associate()
                peer.send(first)
                while again:
                    peer.send(again)
                peer.receive()

    return attack


def _mutate(port: int, source: str) -> Callable[[], None]:
    """Return an attack with messages in which random bytes are wrong."""

    def attack() -> None:
        rng = np.random.default_rng()
        whole = wire.associate_request() + wire.store() + wire.echo_message()
        while True:
            raw = bytearray(whole)
            for at in rng.integers(0, len(raw), rng.integers(1, 9)):
                raw[at] = rng.integers(0, 256)
            with contextlib.suppress(OSError), wire.Wire(port, source=source, seconds=0.2) as peer:
                peer.send(bytes(raw[: rng.integers(1, len(raw) + 1)]))
                peer.receive()

    return attack


def attacks(port: int, source: str) -> dict[str, Callable[[], None]]:
    """Return what hostile peers do, by name."""
    start = wire.message(wire.value(wire.IMAGE, 3, wire.command()))
    part = wire.message(wire.value(wire.IMAGE, 0, bytes(128_000)))
    request, noise = wire.associate_request(), bytes(1 << 16)
    many = wire.associate_request(
        contexts=[(2 * n % 256 | 1, wire.CR, [wire.IMPLICIT]) for n in range(900)]
    )
    unknown = wire.message(wire.value(wire.IMAGE, 3, wire.command(0x7777)))
    small = wire.message(*[wire.value(wire.IMAGE, 0, b"ab")] * 15_000)
    return {
        "none": lambda: time.sleep(1),
        "silent connections": _hold(port, source, b""),
        "silent associations": _hold(port, source, wire.pdu(wire.DATA, b"ab", 5000)),
        "unfinished requests": _hold(port, source, wire.pdu(wire.ASSOCIATE, b"x" * 10, 5000)),
        "declared 2 GB request": _repeat(
            port, source, wire.pdu(wire.ASSOCIATE, b"", 0x7FFFFFFF), noise
        ),
        "declared 2 GB PDU": _repeat(port, source, wire.pdu(wire.DATA, b"", 0x7FFFFFFF), noise),
        "endless message": _repeat(port, source, start, part),
        "unfinished 90 MiB messages": _hold(port, source, start + part * 720),
        "many small values": _repeat(port, source, start, small),
        "unknown commands": _repeat(port, source, unknown, b""),
        "many contexts": _repeat(port, source, many, b""),
        "connections that close": _repeat(port, source, request, b""),
        "mutated messages": _mutate(port, source),
        "noise": _repeat(port, source, b"", noise),
        "honest images": _repeat(
            port, source, b"".join(wire.store(f"2.25.{n}") for n in range(1, 9)), b""
        ),
    }


def attack(arguments: Sequence[str]) -> None:
    """Measure memory, threads and an honest peer's wait under each attack."""
    parser = argparse.ArgumentParser(description="hostile peers on the loopback")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each attack")
    parser.add_argument("--peers", type=int, default=8, help="hostile peers at the same time")
    args = parser.parse_args(arguments)
    rows = []
    for name in attacks(0, ""):
        with (
            tempfile.TemporaryDirectory() as folder,
            ours(Path(folder, "s"), NetworkLimits()) as to,
        ):
            rows.append((name, *_under_attack(to, name, args.seconds, args.peers)))
    heads = (
        "attack",
        "honest peer, worst s",
        "median ms",
        "failed",
        "peak MiB",
        "after",
        "threads",
    )
    print(machine(), table(heads, rows), sep="\n\n")


def _under_attack(server: Server, name: str, seconds: float, peers: int) -> tuple[str, ...]:
    """Run hostile peers in a process of their own; return the cells of a row."""
    before = server.threads()
    words = [sys.executable, __file__, "_peers", str(server.port), str(peers), name]
    waits, failed, threads = [], 0, 0
    with subprocess.Popen(words) as hostile:
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                began = time.monotonic()
                failed += not wire.echo(server.port, source=OTHER, seconds=5)
                waits.append(time.monotonic() - began)
                threads = max(threads, server.threads())
                time.sleep(0.05)
        finally:
            hostile.kill()
    end = time.monotonic() + 30
    while server.threads() > before and time.monotonic() < end:
        time.sleep(0.1)
    return (
        f"{max(waits):.2f}",
        f"{1000 * median(waits):.0f}",
        str(failed),
        f"{server.memory('VmHWM'):.0f}",
        f"{server.memory():.0f}",
        f"{threads}, then {server.threads()}",
    )


def _peers(arguments: Sequence[str]) -> None:
    """Be hostile until killed, at most for two minutes."""
    port, peers, name = arguments
    for number in range(int(peers)):
        attack = attacks(int(port), HOSTILE[number % len(HOSTILE)])[name]
        threading.Thread(target=attack, daemon=True).start()
    time.sleep(120)


def _with_archive(_: Sequence[str]) -> None:
    """Run a benchmark of the whole service, which has a module of its own."""
    sys.argv = sys.argv[1:]
    sys.exit(importlib.import_module(f"pacs_{sys.argv[0]}").main())


COMMANDS = {
    "receive": receive,
    "attack": attack,
    "_peers": _peers,
    **dict.fromkeys(("answer", "kill", "check"), _with_archive),
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](sys.argv[2:])

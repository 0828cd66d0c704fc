"""Shared functions of the benchmarks of the hospital network: the service, files and senders.

Orthanc and the service run in a network of their own, with only a loopback.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _measure import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from pacs_files import chest, lossless, to_bytes, uid, write_bundle_of_brightness
from pacs_peers import Orthanc, free_port, own_network

__all__ = ["Hospital", "Service", "hospital", "lossless_films", "sources", "write_json"]

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Service:
    """``plainfilm listen`` in its own process."""

    bundle: Path
    state: Path
    destination: str
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def log(self) -> Path:
        return self.state.with_suffix(".log")

    def start(self, *, wait: bool = True) -> None:
        """Start it; ``wait`` until it is ready."""
        command = [sys.executable, "-m", "plainfilm", "listen", self.bundle, "--state", self.state]
        command += ["--to", self.destination, "--port", str(self.port), "--reserve-mb", "100"]
        command += ["--http-port", str(self.http_port), *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log)
        self.starts += 1
        end = time.monotonic() + 60
        while wait and not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the service does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            self.get("readyz")
            return True
        return False

    def get(self, path: str) -> str:
        """Return what its health page answers."""
        with _DIRECT.open(f"http://127.0.0.1:{self.http_port}/{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def stop(self, sent: int = signal.SIGTERM) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.send_signal(sent)
            self.process.wait(60)
            self.process = None

    def keep_up(self) -> bool:
        """Start it again if it has ended by itself, as systemd does; return whether it had."""
        ended = self.process is not None and self.process.poll() is not None
        if ended:
            self.start(wait=False)
        return ended

    def processes(self) -> dict[str, list[int]]:
        """Return its processes by part."""
        if self.process is None:
            return {}
        found: dict[str, list[int]] = {"main process": [self.process.pid]}
        for child in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                part = "network process" if b"receiver" in command else "decoding"
                found.setdefault(part, []).append(child)
        return found

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of its processes by part."""
        return {part: sum(map(cpu_of, pids)) for part, pids in self.processes().items()}


def descendants(pid: int) -> list[int]:
    """Return the processes that a process and its children started."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, listed.read_text().split()):
                found += [child, *descendants(child)]
    return found


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that ended."""
    with contextlib.suppress(OSError):
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, parts[11:15])) / TICK
    return 0.0


@dataclass
class Hospital:
    """An archive and the service, with the folder of both."""

    folder: Path
    archive: Orthanc
    service: Service


@contextlib.contextmanager
def hospital(bundle: Path | None, *options: str) -> Iterator[Hospital]:
    """Start Orthanc and the service in a network of their own.

    Without a bundle, one that predicts bright images as positive.
    """
    with tempfile.TemporaryDirectory() as made, own_network() as isolated:
        folder = Path(made)
        if bundle is None:
            bundle = write_bundle_of_brightness(folder / "bundle").folder
        known = {"PLAINFILM": free_port()}
        with Orthanc(folder / "orthanc", known, isolated=isolated) as archive:
            service = Service(bundle, folder / "state", archive.destination, options)
            try:
                service.start()
                yield Hospital(folder, archive, service)
            finally:
                service.stop()


def lossless_films(folder: Path, count: int, *, size: tuple[int, int] = (1600, 1312)) -> list[Path]:
    """Write drawn radiographs as JPEG lossless, each of its own study; 8 drawings are repeated."""
    import pydicom

    folder.mkdir(parents=True, exist_ok=True)
    drawn = [lossless(to_bytes(chest(seed, seed=seed, size=size))) for seed in range(min(count, 8))]
    paths = []
    for number in range(count):
        made = pydicom.dcmread(io.BytesIO(drawn[number % len(drawn)]))
        name = f"{folder.name}-{number}"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid("image", name)
        made.StudyInstanceUID, made.SeriesInstanceUID = uid("study", name), uid("series", name)
        made.PatientID = name
        paths.append(folder / f"{number:05d}.dcm")
        paths[-1].write_bytes(to_bytes(made))
    return paths


def sources(archive: Orthanc) -> dict[str, list[str]]:
    """Return the reports in the archive: SOP Instance UID to those of its images."""
    found = {}
    for tags in archive.instances("SR").values():
        found[tags["SOPInstanceUID"]] = [
            image["ReferencedSOPInstanceUID"]
            for study in tags.get("CurrentRequestedProcedureEvidenceSequence", [])
            for series in study["ReferencedSeriesSequence"]
            for image in series["ReferencedSOPSequence"]
        ]
    return found


def write_json(path: Path | None, document: dict[str, Any]) -> None:
    """Write the results, if a path is given."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

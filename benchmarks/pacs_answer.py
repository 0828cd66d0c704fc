"""Measures the hospital network from the image to the report in the archive.

    python benchmarks/pacs_answer.py BUNDLE [--images 200] [--latency 60]

Needs the extras pacs, dicom and test, and Orthanc, dcmtk. Drawn images of 2 megapixels as JPEG
lossless, each of its own study, go from dcmtk's storescu to ``plainfilm listen``, and the results
by C-STORE to an Orthanc on the same machine, with and without captures. The throughput counts from
the first image sent to the last result stored. The latency is that of single images on an idle
service, without the quiet time. CPU seconds are those of all processes of a part.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from _measure import machine, table
from _pacs import Hospital, Orthanc, cpu_of, hospital, lossless_films, sources, write_json

SENDERS = 4
PATIENCE = 300.0


def main() -> int:
    """Run the measurements and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--latency", type=int, default=60, help="single images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(machine(), flush=True)
    found: dict[str, Any] = {"machine": machine(), "throughput": [], "latency": []}
    for options in ((), ("--no-capture",)):
        for number in range(args.rounds):
            found["throughput"].append(throughput(args.bundle, args.images, number, options))
    found["latency"] = latency(args.bundle, args.latency)
    show(found)
    write_json(args.json, found)
    return 0


def throughput(
    bundle: Path | None, images: int, number: int, options: tuple[str, ...]
) -> dict[str, Any]:
    """Send images from several senders at once; wait until every result is stored."""
    with hospital(bundle, "--quiet-seconds", "0", *options) as own:
        warm = lossless_films(own.folder / f"warm{number}", 8)
        files = lossless_films(own.folder / f"films{number}", images)
        each = 1 if options else 2
        send(own, warm, 1)
        wait(own.archive, each * len(warm))
        before = {**own.service.cpu(), "archive": archive_cpu(own)}
        began = time.perf_counter()
        send(own, files, SENDERS)
        received = time.perf_counter() - began
        wait(own.archive, each * (len(warm) + images))
        seconds = time.perf_counter() - began
        after = {**own.service.cpu(), "archive": archive_cpu(own)}
        return {
            "captures": not options,
            "images": images,
            "results": own.archive.count(),
            "received per s": images / received,
            "answered per s": images / seconds,
            "CPU ms per image": {
                part: 1000 * (after[part] - before.get(part, 0.0)) / images for part in after
            },
        }


def send(own: Hospital, files: list[Path], senders: int) -> None:
    """Send files with storescu, in as many associations."""
    head = ["storescu", "-xs", "-pdu", "131072", "-aec", "PLAINFILM", "127.0.0.1"]
    running = [
        subprocess.Popen(
            [*head, str(own.service.port), *map(str, files[start::senders])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for start in range(senders)
    ]
    if any(one.wait(PATIENCE) for one in running):
        sys.exit("storescu failed")


def wait(archive: Orthanc, count: int) -> None:
    """Wait for so many results in the archive."""
    if (found := archive.wait(count, PATIENCE)) < count:
        sys.exit(f"only {found} of {count} results arrived in {PATIENCE:.0f} s")


def archive_cpu(own: Hospital) -> float:
    """Return the CPU seconds of Orthanc."""
    return 0.0 if own.archive.process is None else cpu_of(own.archive.process.pid)


class Arrivals(threading.Thread):
    """Notes when each instance appears in the archive, with a resolution of 5 ms."""

    def __init__(self, archive: Orthanc) -> None:
        super().__init__(daemon=True)
        self.archive, self.seen, self.ended = archive, dict[str, float](), threading.Event()

    def run(self) -> None:
        last = 0
        while not self.ended.wait(0.005):
            answer = self.archive.get(f"changes?since={last}&limit=100")
            now, last = time.perf_counter(), answer["Last"]
            for change in answer["Changes"]:
                if change["ChangeType"] == "NewInstance":
                    self.seen.setdefault(change["ID"], now)


def latency(bundle: Path | None, images: int, quiet: float = 1.0) -> dict[str, Any]:
    """Send single images, each after the report of the one before; return seconds."""
    with hospital(bundle, "--quiet-seconds", str(quiet)) as own:
        files = lossless_films(own.folder / "single", images + 3)
        arrivals = Arrivals(own.archive)
        arrivals.start()
        sent: list[float] = []
        for number, path in enumerate(files):
            sent.append(time.perf_counter())
            send(own, [path], 1)
            wait(own.archive, 2 * (number + 1))
        time.sleep(0.1)
        arrivals.ended.set()
        arrivals.join()
        reports = own.archive.instances("SR")
        when = {tags["SOPInstanceUID"]: arrivals.seen[one] for one, tags in reports.items()}
        import pydicom

        image = {
            str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID): n
            for n, p in enumerate(files)
        }
        took = sorted(
            when[report] - sent[image[uids[0]]] - quiet
            for report, uids in sources(own.archive).items()
            if image[uids[0]] >= 3
        )
        return {
            "images": len(took),
            "median s": statistics.median(took),
            "99th percentile s": took[min(len(took) - 1, int(0.99 * len(took)))],
            "largest s": took[-1],
        }


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    rows = []
    for one in found["throughput"]:
        cpu = ", ".join(f"{part} {ms:.0f}" for part, ms in one["CPU ms per image"].items())
        rates = (f"{one[name]:.1f}" for name in ("received per s", "answered per s"))
        rows.append(["yes" if one["captures"] else "no", one["images"], *rates, cpu])
    print(table(["captures", "images", "received/s", "answered/s", "CPU ms per image"], rows))
    print()
    values = found["latency"]
    print(table([*values], [[f"{value:.3g}" for value in values.values()]]))


if __name__ == "__main__":
    sys.exit(main())

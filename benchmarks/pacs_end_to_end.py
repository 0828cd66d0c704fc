"""Measures `plainfilm listen` from end to end: storescu sends, and Orthanc gets the results.

    python benchmarks/pacs_end_to_end.py [--images 60] [--runs 3] [--no-capture]

The images are drawn radiographs of 2 megapixels, JPEG lossless, each a study of its own.
``throughput`` is the time from the first image to the last result in the archive, the quiet time
excluded, while four senders send as fast as they can. ``delay`` is the time of single images from
the commit after receiving to the archive's answer to the report, the quiet time excluded.
"""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from _measure import ROOT, machine, spread, table
from pydicom import dcmread

sys.path.insert(0, str(ROOT / "tests"))
from pacs import SIZE

from pacs_files import chest, lossless, to_bytes, write_bundle_of_brightness
from pacs_peers import Orthanc, free_port, own_network, storescu
from pacs_service import Listener

QUIET = 0.2
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, its threads and its children that live."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = {
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    }
    return sum(map(int, fields[11:13])) / TICK + sum(map(cpu_seconds, children))


def make_images(folder: Path, count: int) -> list[Path]:
    """Write copies of a drawn radiograph, each with its own UIDs and study."""
    made = dcmread(io.BytesIO(lossless(to_bytes(chest("benchmark", size=SIZE)))))
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        made.StudyInstanceUID, made.SeriesInstanceUID = f"2.25.{number + 1}", f"2.25.1{number}"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"2.25.2{number:05d}"
        made.PatientID = str(number)
        made.save_as(path)
    size = paths[0].stat().st_size / 1e6
    print(f"{count} images of {SIZE[0]} x {SIZE[1]} pixels, JPEG lossless, {size:.1f} MB each")
    return paths


def wait(service: Listener, archive: Orthanc, count: int) -> None:
    """Wait until the archive has so many objects."""
    end = time.monotonic() + 120
    while archive.count() < count:
        if time.monotonic() > end:
            sys.exit(f"{archive.count()} of {count} results came: {service.lines[-3:]}")
        time.sleep(0.02)


def throughput(
    service: Listener, archive: Orthanc, paths: Sequence[Path], results: int
) -> tuple[float, float]:
    """Send all images with four senders; return images per second and CPU ms per image."""
    before = archive.count()
    assert service.process is not None
    cpu, began = cpu_seconds(service.process.pid), time.perf_counter()
    words = ["storescu", "-pdu", "131072", "-aec", "PLAINFILM", "-xs", "127.0.0.1"]
    running = [
        subprocess.Popen([*words, str(service.port), *map(str, paths[number::4])])
        for number in range(4)
    ]
    if any(process.wait(300) for process in running):
        sys.exit("storescu failed")
    wait(service, archive, before + results * len(paths))
    seconds = time.perf_counter() - began - QUIET
    cpu = cpu_seconds(service.process.pid) - cpu
    return len(paths) / seconds, 1000 * cpu / len(paths)


def delays(service: Listener, archive: Orthanc, paths: Sequence[Path], results: int) -> list[float]:
    """Send images one after another; return the seconds of each until its report is stored."""
    began = time.time()
    for path in paths:
        before = archive.count()
        if storescu(service.port, [path], "-xs")[0]:
            sys.exit("storescu failed")
        wait(service, archive, before + results)
    query = (
        "SELECT since - received FROM images JOIN results ON results.batch = images.batch "
        "JOIN deliveries ON deliveries.result = results.key "
        "WHERE kind = 'report' AND received > ? AND deliveries.state = 'delivered'"
    )
    time.sleep(0.5)
    with sqlite3.connect(f"file:{service.state}/ledger.db?mode=ro", uri=True) as ledger:
        return [row[0] - QUIET for row in ledger.execute(query, (began,))]


def main() -> None:
    """Run the measurements, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-capture", action="store_true")
    args = parser.parse_args()
    options = ("--no-capture",) if args.no_capture else ()
    results = 1 if args.no_capture else 2
    rates, cpus, waits = [], [], []
    with tempfile.TemporaryDirectory() as name, own_network() as isolated:
        folder = Path(name)
        images = make_images(folder, args.images + 20)
        bundle = write_bundle_of_brightness(folder / "bundle").folder
        for run in range(args.runs):
            port = free_port()
            with Orthanc(folder / f"orthanc{run}", {"PLAINFILM": port}, isolated=isolated) as one:
                state = folder / f"state{run}"
                quiet = ("--quiet-seconds", str(QUIET), "--workers", "0")
                service = Listener(bundle, state, one.destination, port, (*quiet, *options))
                try:
                    service.start()
                    storescu(port, images[-1:], "-xs")
                    wait(service, one, results)
                    rate, cpu = throughput(service, one, images[: args.images], results)
                    rates.append(rate)
                    cpus.append(cpu)
                    waits += delays(service, one, images[args.images : -1], results)
                finally:
                    service.kill()
    heads = ("results", "images/s", "CPU ms/image", "delay, median s", "delay, 99th percentile s")
    what = "report" if args.no_capture else "report and capture"
    last = quantiles(waits, n=100)[98]
    row = (
        what,
        spread(rates, digits=1),
        spread(cpus, digits=0),
        f"{median(waits):.2f}",
        f"{last:.2f}",
    )
    print(machine(), table(heads, [row]), sep="\n\n")


if __name__ == "__main__":
    main()

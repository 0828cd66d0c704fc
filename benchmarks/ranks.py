"""Measures training on several processes of one machine, next to one process.

    python benchmarks/ranks.py                     # swift, three rounds
    python benchmarks/ranks.py --rounds 5 --epochs 6

All programs are ``plainfilm train --backend jax`` on 2,048 images of `kermany224`, without
evaluation, in turn in each round: one process with one thread, one process with all cores, and one
rank for each core. The speed is that of the epochs after the first, with validation and saving; the
CPU seconds are those of the whole command, with all its processes. Measure on a machine that does
nothing else: two processes get a larger share of a busy one.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import machine, need, spread, table

from plainfilm._machine import cores

IMAGES = 2048


def main() -> int:
    """Run every program in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recipe", default="swift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    programs = {
        "1 process, 1 thread": (1, "1"),
        f"1 process, {cores()} threads": (1, str(cores())),
        f"{cores()} ranks, 1 thread each": (cores(), "1"),
    }
    print(f"{machine()}; {args.recipe}, {IMAGES} images, {args.epochs} epochs\n")
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        measure(args, 1, str(cores()), Path(folder))  # decodes the images
        for _ in range(args.rounds):
            for name, (ranks, threads) in programs.items():
                found[name].append(measure(args, ranks, threads, Path(folder)))
    first = [speed for speed, _, _ in next(iter(found.values()))]
    rows = []
    for name, own in found.items():
        speeds, walls, cpus = zip(*own, strict=True)
        ratios = [a / b for a, b in zip(speeds, first, strict=True)]
        rows.append([name, spread(speeds, digits=0), spread(ratios), spread(walls, " s", 0)])
        rows[-1].append(spread(cpus, " s", 0))
    print(table(["program", "images/s", "ratio", "command", "CPU"], rows))
    return 0


def measure(
    args: argparse.Namespace, ranks: int, threads: str, folder: Path
) -> tuple[float, float, float]:
    """Return images per second, and seconds and CPU seconds of the command."""
    settings = f"limit={IMAGES}", f"epochs={args.epochs}", "minimum_steps=0"
    with tempfile.TemporaryDirectory(dir=folder) as run:
        command = [
            *(sys.executable, "-m", "plainfilm", "train", str(need("kermany224"))),
            *("--recipe", args.recipe, "--out", run, "--cache", str(folder / "cache")),
            *("--backend", "jax", "--ranks", str(ranks), "--no-evaluation"),
            *(word for setting in settings for word in ("--set", setting)),
        ]
        began, before = time.monotonic(), cpu_seconds()
        environment = {**os.environ, "PJRT_NPROC": threads}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        wall, cpu = time.monotonic() - began, cpu_seconds() - before
        text = (Path(run) / "history.csv").read_text(encoding="utf-8")
    seconds = [float(row["seconds"]) for row in csv.DictReader(text.splitlines())]
    return IMAGES * (args.epochs - 1) / (seconds[-1] - seconds[0]), wall, cpu


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())

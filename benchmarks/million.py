"""Measures time and memory of the evaluation of a million predictions with ten labels.

    python benchmarks/million.py [--images 1000000] [--labels 10]

Draws labels (5 % unknown), probabilities, 300,000 patients, and columns of sex, view and age; then
computes all metrics with their intervals (`summarise`) and the subgroups (`describe_subgroups`).
Prints seconds of each, seconds of all processors, and the peak memory of the process in MiB, which
includes the arrays.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import Any

import numpy as np


def draw(images: int, labels: int) -> Any:
    """Return the predictions of a multi-label model."""
    from plainfilm.evaluation.predictions import Predictions
    from plainfilm.records import Task

    rng = np.random.default_rng(0)
    names = tuple(f"label {number}" for number in range(labels))
    patients = rng.integers(0, max(1, 3 * images // 10), images)
    y_true = np.empty((images, labels), np.float32)
    chances = np.empty((images, labels), np.float32)
    for column in range(labels):
        own = rng.random(images) < 0.03 * (1 + column)
        logits = rng.normal(1.5 * own - 3 + 0.3 * column, 1.2)
        chances[:, column] = 1 / (1 + np.exp(-logits))
        y_true[:, column] = np.where(rng.random(images) < 0.05, np.nan, own)
    return Predictions(
        task=Task("multilabel", names, names),
        ids=np.char.add("i", np.arange(images).astype(str)),
        patients=np.char.add("p", patients.astype(str)),
        labels=y_true,
        probabilities=chances,
        columns={
            "sex": np.array(["F", "M"])[rng.integers(0, 2, images)],
            "view": np.array(["AP", "PA", "lateral"])[rng.integers(0, 3, images)],
            "age": rng.integers(1, 95, images).astype(float),
        },
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    args = parser.parse_args()
    from plainfilm.evaluation.subgroups import describe_subgroups
    from plainfilm.evaluation.summary import summarise
    from plainfilm.records import OperatingPoint

    drawn = draw(args.images, args.labels)
    points = [
        OperatingPoint(name, name, label, threshold, "given")  # type: ignore[arg-type]
        for label in drawn.task.labels
        for name, threshold in (("balanced", 0.1), ("rule-out", 0.03), ("rule-in", 0.3))
    ]

    def run() -> None:
        for name, call in (
            ("drawing", lambda: None),
            (
                "summarise",
                lambda: summarise(
                    drawn.labels, drawn.probabilities, drawn.task, drawn.patients, points
                ),
            ),
            ("describe_subgroups", lambda: describe_subgroups(drawn, points)),
        ):
            start, used = time.perf_counter(), time.process_time()
            call()
            seconds, used = time.perf_counter() - start, time.process_time() - used
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{name:20}{seconds:>8.1f} s{used:>8.1f} s of processors{peak:>8.0f} MiB",
                flush=True,
            )

    if args.profile:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(run)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    else:
        run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures the coverage of the 95 % intervals of an adaptation, and the level of its test.

    python benchmarks/coverage_adapt.py [--rounds 2000] [--workers 2] [--out FILE.csv]

Draws images of patients with one image each, or one to six correlated images of the same class.
Scores are normal in each class, so that the true slope, intercepts and shares of the classes are
known exactly. It counts the intervals that contain them, and how often the test of label shift
rejects at 5 % although only the share of the classes differs (target: at most 5 %).

Results are in docs/explanation/intervals.md.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (200, 500, 1000)
QUANTITIES = (
    *("slope", "intercept", "slope, 3 classes", "intercept, 3 classes"),
    *("share of 5 %", "share of 20 %", "share of 50 %", "share of 3 classes"),
    *("false rejection at 5 %", "false rejection at 50 %"),
)
SLOPE, INTERCEPT, GAP = 0.7, 0.5, 1.8
MEANS = GAP * np.eye(3)


def draw(n: int, shares: Any, clustered: bool, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Draw classes (n,), points (n, classes) and patients (n,)."""
    sizes = rng.integers(1, 7, n) if clustered else np.ones(n, int)
    patients = np.repeat(np.arange(n), sizes)[:n]
    classes = rng.choice(len(shares), n, p=shares)[patients]
    noise = math.sqrt(0.5) * (
        rng.normal(size=(n, len(shares)))[patients] + rng.normal(size=(n, len(shares)))
    )
    return classes, MEANS[classes, : len(shares)] + noise, patients.astype(str)


def log_odds(points: Any, shares: Any) -> Any:
    """Return the true log posterior of the classes, but for a constant."""
    means = MEANS[: len(shares), : len(shares)]
    return points @ means.T - (means**2).sum(axis=1) / 2 + np.log(shares)


def one_round(task: tuple[int, bool, int]) -> dict[str, list[bool]]:
    """Draw once; return which intervals contain the true value, and which tests reject."""
    from scipy.special import softmax

    from plainfilm import metrics

    n, clustered, seed = task
    rng = np.random.default_rng([n, clustered, seed])
    found: dict[str, list[bool]] = {}

    def inside(name: str, interval: Any, true: float) -> None:
        found.setdefault(name, []).append(interval.low <= true <= interval.high)

    shares = np.array([0.7, 0.3])
    classes, points, patients = draw(n, shares, clustered, rng)
    odds = log_odds(points, shares)
    given = (odds[:, 1] - odds[:, 0] - INTERCEPT) / SLOPE
    [fit] = metrics.fit_recalibration(
        given[:, None], classes[:, None], kind="binary", patients=patients
    )
    inside("slope", fit.slope, SLOPE)
    inside("intercept", fit.intercept, INTERCEPT)

    shares = np.array([0.5, 0.3, 0.2])
    classes, points, patients = draw(n, shares, clustered, rng)
    change = np.array([INTERCEPT, -INTERCEPT, 0.0])
    fits = metrics.fit_recalibration(
        (log_odds(points, shares) - change) / SLOPE,
        np.eye(3)[classes],
        kind="multiclass",
        patients=patients,
    )
    inside("slope, 3 classes", fits[0].slope, SLOPE)
    for one, true in zip(fits, change, strict=True):
        inside("intercept, 3 classes", one.intercept, true)
    assumed = np.array([0.2, 0.2, 0.6])
    three = metrics.estimate_class_shares(
        softmax(log_odds(points, assumed), axis=1), assumed, patients=patients
    )
    for interval, true in zip(three.shares, shares, strict=True):
        inside("share of 3 classes", interval, true)

    even = np.array([0.5, 0.5])
    for share in (0.05, 0.2, 0.5):
        _, points, patients = draw(n, [1 - share, share], clustered, rng)
        chances = softmax(log_odds(points, even), axis=1)
        estimate = metrics.estimate_class_shares(chances, even, patients=patients)
        inside(f"share of {share:.0%}".replace("%", " %"), estimate.shares[1], share)
        if share == 0.2:
            continue
        held, own, keys = draw(500, even, clustered, rng)
        reference = metrics.count_scores(
            held, softmax(log_odds(own, even), axis=1)[:, 1], 2, patients=keys
        )
        test = metrics.label_shift_test(chances[:, 1], reference, patients=patients)
        found[f"false rejection at {share:.0%}".replace("%", " %")] = [test.p < 0.05]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="number of draws for each cell")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="CSV file to write")
    args = parser.parse_args()
    start = time.perf_counter()
    cells = [(n, clustered) for clustered in (False, True) for n in SIZES]
    columns = []
    with ProcessPoolExecutor(args.workers) as pool:
        for n, clustered in cells:
            tasks = [(n, clustered, seed) for seed in range(args.rounds)]
            rounds = [*pool.map(one_round, tasks, chunksize=20)]
            columns.append(
                {
                    name: 100 * float(np.mean([hit for one in rounds for hit in one.get(name, [])]))
                    for name in QUANTITIES
                }
            )
            print(
                f"n = {n}, clustered: {clustered}, {time.perf_counter() - start:.0f} s",
                file=sys.stderr,
            )
    head = ["quantity"] + [
        f"{n} images, {'1 to 6' if clustered else '1'} per patient" for n, clustered in cells
    ]
    table = [head, *([name, *(f"{one[name]:.1f}" for one in columns)] for name in QUANTITIES)]
    for row in table:
        print(", ".join(row))
    if args.out:
        with args.out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

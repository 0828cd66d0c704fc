"""Measures how often 95 % intervals of a difference contain the true difference of 0.

    python benchmarks/coverage_of_differences.py [--rounds 200] [--workers 2]

Paired: two equally good models on the same images, with correlated errors; the interval of
`plainfilm compare` should contain 0. Subgroup: a small subgroup that does not differ from the other
images; the interval of `plainfilm evaluate` should contain 0. Populations are binormal. Intervals
without limits are ignored.

Results are in docs/explanation/intervals.md.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import NormalDist
from typing import Any

import numpy as np

PAIRED = (
    *("auroc", "average_precision", "partial_auroc", "brier", "log_loss"),
    *("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc"),
)
SIZES = (50, 200, 624)
CELLS = (12, 20, 50, 150)
RATES = ("auroc", "sensitivity", "specificity")
N_BOOTSTRAP = 500


def paired(task: tuple[int, float, bool, int]) -> dict[str, bool | None]:
    """Draw a test set; return which intervals of a paired difference contain 0."""
    from plainfilm import metrics

    n, prevalence, clustered, seed = task
    rng = np.random.default_rng([n, seed])
    patients = np.repeat(np.arange(n), rng.integers(1, 7, n) if clustered else 1)[:n]
    labels = (rng.random(n) < prevalence)[patients].astype(float)
    if not 0 < labels.mean() < 1:
        return {}
    shared = 0.6 * rng.normal(size=n)[patients] + 0.5 * rng.normal(size=n)
    odds = [2 * labels - 1 + shared + 0.6 * rng.normal(size=n) for _ in range(2)]
    chances = [1 / (1 + np.exp(-1.5 * one)) for one in odds]
    keys = patients.astype(str) if clustered else None
    covered: dict[str, bool | None] = {}
    for name in PAIRED:
        found = metrics.clustered_difference(
            name, labels, *chances, keys, thresholds=(0.5, 0.5), n_bootstrap=N_BOOTSTRAP, seed=seed
        )
        if name == "auroc":
            # The method of plainfilm.evaluation.compare.
            found = metrics.delong_test(labels, *chances, keys).difference
        known = math.isfinite(found.low) and math.isfinite(found.high)
        covered[name] = found.low <= 0 <= found.high if known else None
    return covered


def subgroup(task: tuple[int, float, bool, int]) -> dict[str, bool | None]:
    """Draw a test set with a small subgroup; return which intervals contain 0."""
    from plainfilm.evaluation.predictions import Predictions
    from plainfilm.evaluation.subgroups import describe_subgroups
    from plainfilm.records import OperatingPoint, Task

    size, sensitivity, clustered, seed = task
    rng = np.random.default_rng([size, seed])
    small = 2 * size * (2 if clustered else 1)
    n = small + 600
    labels = (np.arange(n) % 2).astype(float)
    # The two images of a patient are of one class and one subgroup.
    patients = (np.arange(n) // 4 * 2 + np.arange(n) % 2) if clustered else np.arange(n)
    own = 0.7 * rng.normal(size=n)[patients] + 0.714 * rng.normal(size=n)
    hit = NormalDist().inv_cdf(sensitivity)
    chances = 1 / (1 + np.exp(-(own + np.where(labels == 1, hit, -0.9))))
    point = OperatingPoint("balanced", "balanced", "P", 0.5, "given")
    predictions = Predictions(
        Task("binary", ("P",), ("N", "P")),
        [*map(str, range(n))],
        [*map(str, patients)],
        labels[:, None],
        chances[:, None],
        {"cell": ["small" if row < small else "large" for row in range(n)]},
    )
    found = describe_subgroups(predictions, [point], n_bootstrap=N_BOOTSTRAP)
    [column] = found.labels["P"]
    [small] = [one for one in column.subgroups if one.value == "small"]
    covered: dict[str, bool | None] = {}
    for name in RATES:
        gap = small.difference.get(name)
        known = gap is not None and math.isfinite(gap.high - gap.low)
        covered[name] = gap.low <= 0 <= gap.high if known else None
    return covered


def table(
    title: str,
    head: str,
    sizes: Sequence[int],
    names: Sequence[str],
    one: Callable[[Any], dict[str, bool | None]],
    rest: tuple[float, bool],
    rounds: int,
    pool: Any,
) -> None:
    print(f"\n{title}")
    print(f"{head:21}" + "".join(f"{size:>10}" for size in sizes))
    columns = []
    for size in sizes:
        tasks = [(size, *rest, seed) for seed in range(rounds)]
        columns.append([*pool.map(one, tasks, chunksize=10)])
    for name in names:
        cells = ""
        for rows in columns:
            known = [row[name] for row in rows if row.get(name) is not None]
            cells += f"{np.mean(known):>10.1%}" if known else f"{'–':>10}"
        print(f"{name:21}{cells}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, help="number of test sets for each cell")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    start = time.perf_counter()
    error = math.sqrt(0.95 * 0.05 / args.rounds)
    print(
        f"{args.rounds} draws for each cell; Monte Carlo error of a coverage of 95 %: {error:.1%}"
    )
    with ProcessPoolExecutor(args.workers) as pool:
        for clustered in (False, True):
            kind = "several images per patient" if clustered else "one image per patient"
            table(
                f"paired, {kind}", "images", SIZES, PAIRED,
                paired, (0.5, clustered), args.rounds, pool,
            )  # fmt: skip
            table(
                f"subgroup and 600 other images, {kind}", "patients per class", CELLS, RATES,
                subgroup, (0.95, clustered), args.rounds, pool,
            )  # fmt: skip
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

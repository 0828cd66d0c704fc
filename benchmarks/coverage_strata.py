"""Measures the coverage of 95 % intervals of the AUROC within strata.

    nice python benchmarks/coverage_strata.py [--rounds 2000] [--workers 2] [--out FILE.csv]

Draws test sets from populations of three strata (50, 30 and 20 % of the images) that differ in
prevalence (20, 50 and 80 %), in the level of the scores and in the AUROC, and counts the intervals
that contain the true value: of `stratified_auroc`, and of the difference from the AUROC over all
pairs. Of several images of a patient, most have one stratum and label.

The Monte Carlo error of a coverage of 95 % is 0.5 % in 2,000 draws. Draws without a value are
ignored; intervals without limits count as misses. Results are in docs/explanation/intervals.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (50, 100, 200, 800)
GAPS = {"moderate": (0.8, 1.2, 1.6), "high": (2.0, 2.4, 2.8)}
SHARES = np.array([0.5, 0.3, 0.2])
PREVALENCES = np.array([0.2, 0.5, 0.8])
METRICS = ("within", "difference")
MANY = 2_000_000


def draw(gaps: tuple[float, ...], n: int, clustered: bool, rng: Any) -> tuple[Any, Any, Any, Any]:
    """Return labels, scores, strata and patients (n,)."""
    patients = np.repeat(np.arange(n), rng.integers(1, 7, n) if clustered else 1)[:n]
    strata = rng.choice(3, n, p=SHARES)
    labels = (rng.random(n) < PREVALENCES[strata]).astype(float)
    noise = rng.normal(size=n)
    if clustered:
        main = rng.random(n) < 0.8
        own = strata[patients], labels[patients]
        strata, labels = np.where(main, own[0], strata), np.where(main, own[1], labels)
        noise = np.sqrt(0.6) * rng.normal(size=n)[patients] + np.sqrt(0.4) * noise
    return labels, np.array(gaps)[strata] * labels - strata + noise, strata, patients


@cache
def truth(name: str) -> dict[str, float]:
    """Return the true values, from two million images."""
    from plainfilm.metrics import stratified_difference

    labels, scores, strata, _ = draw(GAPS[name], MANY, False, np.random.default_rng(99))
    from plainfilm.metrics import roc_auc_score

    difference = stratified_difference(labels, scores, strata).difference.value
    pooled = roc_auc_score(labels, scores)
    return {"pooled": pooled, "within": pooled + difference, "difference": difference}


def one(task: tuple[str, int, bool, int]) -> dict[str, bool | None]:
    """Draw a test set; return which intervals contain the true value (None: undefined)."""
    from plainfilm.metrics import stratified_auroc, stratified_difference

    name, n, clustered, seed = task
    labels, scores, strata, patients = draw(
        GAPS[name], n, clustered, np.random.default_rng([n, seed])
    )
    keys = patients if clustered else None
    found = {
        "within": stratified_auroc(labels, scores, strata, patients=keys),
        "difference": stratified_difference(labels, scores, strata, patients=keys).difference,
    }
    true = truth(name)
    return {
        key: None if np.isnan(own.value) else bool(own.low <= true[key] <= own.high)
        for key, own in found.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="number of test sets of each cell")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="table of the results")
    args = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(args.workers) as pool:
        for name in GAPS:
            print(name, {key: round(value, 3) for key, value in truth(name).items()}, flush=True)
            for clustered in (False, True):
                found = []
                for n in SIZES:
                    tasks = [(name, n, clustered, seed) for seed in range(args.rounds)]
                    found.append([*pool.map(one, tasks, chunksize=50)])
                for metric in METRICS:
                    cells = [
                        np.mean([row[metric] for row in size if row[metric] is not None])
                        for size in found
                    ]
                    kind = "one to six images" if clustered else "one image"
                    rows.append((name, kind, metric, *(f"{100 * cell:.1f}" for cell in cells)))
                    print(*rows[-1], flush=True)
    if args.out:
        with args.out.open("w", newline="") as file:
            head = ("AUROC", "per patient", "interval", *(f"{n} images" for n in SIZES))
            csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())

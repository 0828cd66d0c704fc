"""Measures how often 95 % intervals contain the true value.

    python benchmarks/coverage.py [--rounds 400] [--workers 2]

Draws test sets from populations with known metrics, evaluates each with
`plainfilm.evaluation.summarise`, and counts the intervals that contain the true value. There are
three populations: a balanced one with AUROC 0.85, a balanced one with AUROC 0.97, and one with
AUROC 0.85 and 10 % positives; each with one image per patient, and with one to six correlated
images per patient. "counted by image" treats the correlated images as independent. The output
includes the Monte Carlo error (one standard deviation) of a true coverage of 95 %. Draws with an
undefined metric are ignored; intervals without limits count as misses.

Results are in docs/explanation/intervals.md.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

METRICS = (
    *("auroc", "partial_auroc", "average_precision", "accuracy", "balanced_accuracy"),
    *("sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "brier", "log_loss"),
    *("calibration_error", "slope", "in_the_large"),
)
SIZES = (20, 50, 200, 624)
NORMAL = NormalDist()


@dataclass(frozen=True)
class Population:
    """A binormal population: scores with standard deviation 1 and means ``gap`` apart."""

    auroc: float
    prevalence: float
    clustered: bool

    @property
    def gap(self) -> float:
        return math.sqrt(2) * NORMAL.inv_cdf(self.auroc)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """Draw labels (n, 1), true probabilities (n, 1) and patients."""
        if self.clustered:
            sizes = rng.integers(1, 7, n)
            patients = np.repeat(np.arange(n), sizes)[:n]
        else:
            patients = np.arange(n)
        ill = rng.random(n) < self.prevalence
        labels = ill[patients].astype(float)
        own = rng.normal(size=n)[patients]
        noise = rng.normal(size=n)
        spread = math.sqrt(0.6) * own + math.sqrt(0.4) * noise if self.clustered else noise
        odds = self.gap * (self.gap * labels + spread) - self.gap**2 / 2
        odds += math.log(self.prevalence / (1 - self.prevalence))
        return labels[:, None], 1 / (1 + np.exp(-odds))[:, None], patients.astype(str)

    @property
    def threshold(self) -> float:
        """Return the threshold at which sensitivity equals specificity."""
        return self.prevalence


@cache
def true_values(population: Population) -> dict[str, float]:
    """Return the metrics of the population, by formula or from three million images."""
    gap, share = population.gap, population.prevalence
    hit = NORMAL.cdf(gap / 2)
    tp, fn, fp, tn = share * hit, share * (1 - hit), (1 - share) * (1 - hit), (1 - share) * hit
    product = (tp + fp) * (tn + fn) * share * (1 - share)
    from plainfilm import metrics

    alone = Population(population.auroc, share, clustered=False)
    labels, chances, _ = alone.draw(3_000_000, np.random.default_rng(99))
    y, p = labels[:, 0], chances[:, 0]
    return {
        "auroc": population.auroc,
        "partial_auroc": metrics.partial_auc_score(y, p, max_fpr=0.1),
        "average_precision": metrics.average_precision_score(y, p),
        "accuracy": tp + tn,
        "balanced_accuracy": hit,
        "sensitivity": hit,
        "specificity": hit,
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / math.sqrt(product),
        "brier": metrics.brier_score_loss(y, p),
        "log_loss": metrics.log_loss(y, p),
        "calibration_error": 0.0,
        "slope": 1.0,
        "in_the_large": 0.0,
    }


def one(task: tuple[Population, int, int, bool]) -> dict[str, bool | None]:
    """Draw a test set; return which intervals contain the true value (None: undefined)."""
    from plainfilm.evaluation import summarise
    from plainfilm.records import OperatingPoint, Task

    population, n, seed, by_image = task
    labels, chances, patients = population.draw(n, np.random.default_rng([n, seed]))
    keys = [str(k) for k in range(n)] if by_image else [*patients]
    point = OperatingPoint("balanced", "balanced", "P", population.threshold, "given")
    summary = summarise(
        labels, chances, Task("binary", ("P",), ("N", "P")), keys, [point], n_bootstrap=500
    )
    line = summary.labels["P"].curves.calibration
    found = {**summary.metrics, "calibration_error": line.error}
    found |= {"slope": line.slope, "in_the_large": line.in_the_large}
    covered: dict[str, bool | None] = {}
    for name in METRICS:
        metric, target = found[name], true_values(population)[name]
        if math.isnan(metric.value):
            covered[name] = None
        elif not (math.isfinite(metric.low) or math.isfinite(metric.high)):
            covered[name] = False
        else:
            low = -math.inf if math.isnan(metric.low) else metric.low
            high = math.inf if math.isnan(metric.high) else metric.high
            covered[name] = low - 1e-9 <= target <= high + 1e-9
    return covered


def table(title: str, population: Population, rounds: int, pool: Any, by_image: bool) -> None:
    print(f"\n{title}")
    print(f"{'metric':20}" + "".join(f"{f'n = {n}':>10}" for n in SIZES) + "   undefined")
    columns = []
    for n in SIZES:
        tasks = [(population, n, seed, by_image) for seed in range(rounds)]
        columns.append([*pool.map(one, tasks, chunksize=20)])
    for name in METRICS:
        cells, missing = "", ""
        for rows in columns:
            known = [row[name] for row in rows if row[name] is not None]
            cells += f"{np.mean(known):>10.1%}" if known else f"{'–':>10}"
            share = 1 - len(known) / len(rows)
            missing += f" {share:.0%}" if share else " ."
        print(f"{name:20}{cells}  {missing}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=400, help="number of test sets for each cell")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    start = time.perf_counter()
    error = math.sqrt(0.95 * 0.05 / args.rounds)
    print(
        f"{args.rounds} draws for each cell; Monte Carlo error of a coverage of 95 %: {error:.1%}"
    )
    with ProcessPoolExecutor(args.workers) as pool:
        for auroc, prevalence in ((0.85, 0.5), (0.97, 0.5), (0.85, 0.1)):
            about = f"AUROC {auroc}, {prevalence:.0%} positive"
            for clustered, by_image in ((False, False), (True, False), (True, True)):
                if by_image and (auroc, prevalence) != (0.85, 0.5):
                    continue
                kind = "one to six images per patient" if clustered else "one image per patient"
                kind += ", counted by image" if by_image else ""
                table(
                    f"{about}, {kind}", Population(auroc, prevalence, clustered), args.rounds,
                    pool, by_image,
                )  # fmt: skip
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures how often 95 % intervals about human readers contain the true value.

    python benchmarks/coverage_readers.py [--rounds 2000] [--workers 2] [--csv FOLDER]

Draws reader studies from the model of Roe and Metz: ratings are normal, with effects of the reader,
of the image, of both, and of the reading mode; the images of a patient share part of their effect.
Counted are the intervals for the population of readers and images (means of readers, differences of
modes, model less readers), those of agreement of four given readers, and that of the sensitivity of
the model at the specificity of one reader.

Results are in docs/explanation/intervals.md.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

NORMAL = NormalDist()
# Variances of reader, reader and mode, image, image and mode, image and reader, and the rest; the
# last four sum to 1, as usual for this model.
READER, READER_MODE = 0.02, 0.01
IMAGE, IMAGE_MODE, IMAGE_READER, REST = 0.4, 0.1, 0.2, 0.3
WITHIN_PATIENT = 0.5  # share of the effects of an image that belongs to its patient
GAPS = (1.4, 1.7)  # means of positive images, by mode
CUT = 0.7
MODEL_GAP, MODEL_IMAGE = 1.6, 0.6
REPLICATES = 500
MEDIAN = True  # False measures the published method


@dataclass(frozen=True)
class Study:
    """The size of a study: readers, patients, and the largest number of images of a patient."""

    readers: int
    patients: int
    most: int

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw labels (n,), ratings (2, readers, n), scores of a model (n,) and patients (n,)."""
        sizes = rng.integers(1, self.most + 1, self.patients)
        patients = np.repeat(np.arange(self.patients), sizes)
        n, ill = len(patients), np.arange(self.patients) < self.patients // 2
        labels = ill[patients].astype(int)

        def effect(variance: float, *shape: int) -> Any:
            own = math.sqrt(1 - WITHIN_PATIENT) * rng.normal(size=(*shape, n))
            shared = rng.normal(size=(*shape, self.patients))[..., patients]
            return math.sqrt(variance) * (own + math.sqrt(WITHIN_PATIENT) * shared)

        image = effect(IMAGE)
        ratings = np.multiply.outer(np.array(GAPS), np.ones(self.readers))[..., None] * labels
        ratings = ratings + image + effect(IMAGE_MODE, 2, 1) + effect(IMAGE_READER, 1, self.readers)
        ratings += effect(REST, 2, self.readers)
        for variance, shape in (
            (READER, (1, self.readers, 2)),
            (READER_MODE, (2, self.readers, 2)),
        ):
            ratings += math.sqrt(variance) * rng.normal(size=shape)[:, :, labels]
        score = MODEL_GAP * labels + math.sqrt(MODEL_IMAGE / IMAGE) * image
        score += effect(1 - MODEL_IMAGE)
        return {"y": labels, "ratings": ratings, "score": score, "patients": patients.astype(str)}


def population(name: str, gap: float, spread: float) -> float:
    """Return a metric of a normal rating with this mean of positives and total variance."""
    if name == "auroc":
        return NORMAL.cdf(gap / math.sqrt(2 * spread))
    at = (gap - CUT) if name == "sensitivity" else CUT
    return NORMAL.cdf(at / math.sqrt(spread))


def of_population(task: tuple[Study, int]) -> dict[str, bool]:
    """Draw a study; return which intervals for readers and images contain the true value."""
    from plainfilm import metrics

    study, seed = task
    drawn = study.draw(np.random.default_rng([study.readers, study.patients, study.most, seed]))
    keys = drawn["patients"] if study.most > 1 else None
    r, found = study.readers, {}
    spread = 1 + READER + READER_MODE
    for name in ("auroc", "sensitivity", "specificity"):
        ratings, score = drawn["ratings"].reshape(2 * r, -1), drawn["score"]
        if name != "auroc":
            ratings, score = (ratings > CUT).astype(float), (score > CUT).astype(float)
        values, matrix = metrics.reader_covariance(
            name, drawn["y"], np.vstack([ratings, score]), keys
        )
        true = [population(name, gap, spread) for gap in GAPS]
        model = population(name, MODEL_GAP, 1.0)
        both = metrics.compare_modalities(
            values[:-1].reshape(2, r), matrix[:-1, :-1], median_unbiased=MEDIAN
        )
        mean = metrics.reader_mean(values[:r], matrix[:r, :r], median_unbiased=MEDIAN)
        rows = [*range(r), 2 * r]
        against = metrics.compare_with_model(
            values[:r], values[-1], matrix[np.ix_(rows, rows)], median_unbiased=MEDIAN
        )
        for kind, interval, target in (
            ("mean of readers", mean, true[0]),
            ("second mode less first", both.differences[0].difference, true[1] - true[0]),
            ("model less mean of readers", against.difference, model - true[0]),
        ):
            found[f"{kind}, {name}"] = interval.low <= target <= interval.high
    return found


def given_readers(drawn: dict[str, Any]) -> Any:
    """Return the calls of four readers with thresholds of their own, (4, n)."""
    cuts = np.array([0.4, 0.6, 0.8, 1.1])
    return (drawn["ratings"][0, :4] > cuts[:, None]).astype(float)


@cache
def true_agreement() -> dict[str, float]:
    """Return the values for these readers from two hundred thousand patients."""
    big = Study(4, 200_000, 1).draw(np.random.default_rng(1))
    return {name: one.value for name, one in agreement(big, None, 1).items()}


def agreement(drawn: dict[str, Any], keys: Any, replicates: int) -> dict[str, Any]:
    """Return the intervals about given readers."""
    from plainfilm import metrics

    calls = given_readers(drawn)
    return {
        "percent agreement, 4 readers": metrics.percent_agreement(calls, keys),
        "Cohen's kappa, 2 readers": metrics.cohens_kappa(calls[0], calls[1], keys),
        "Fleiss' kappa, 4 readers": metrics.fleiss_kappa(calls, keys),
        "AC1, 2 readers": metrics.gwet_ac1(calls[:2], keys, n_classes=2),
        "AC1, 4 readers": metrics.gwet_ac1(calls, keys, n_classes=2),
        "model at the specificity of a reader": metrics.difference_at_specificity(
            drawn["y"], calls[2], drawn["score"], keys, n_bootstrap=replicates
        ),
    }


def of_given_readers(task: tuple[Study, int]) -> dict[str, bool]:
    """Draw a study of readers without an effect of their own, whose true agreement is known."""
    global READER, READER_MODE
    READER = READER_MODE = 0.0
    study, seed = task
    drawn = study.draw(np.random.default_rng([study.readers, study.patients, study.most, seed]))
    found = agreement(drawn, drawn["patients"] if study.most > 1 else None, REPLICATES)
    return {name: one.low <= true_agreement()[name] <= one.high for name, one in found.items()}


def measure(function: Any, studies: list[Study], rounds: int, pool: Any) -> list[dict[str, Any]]:
    """Return one row for each interval: its coverage in each study."""
    rows: dict[str, dict[str, Any]] = {}
    for study in studies:
        drawn = [*pool.map(function, [(study, seed) for seed in range(rounds)], chunksize=25)]
        images = "1 image" if study.most == 1 else f"1 to {study.most} images"
        title = f"{study.readers} readers, {study.patients} patients of {images}"
        for name in drawn[0]:
            share = float(np.mean([row[name] for row in drawn]))
            rows.setdefault(name, {"interval": name})[title] = f"{100 * share:.1f}"
    return [*rows.values()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="number of studies for each cell")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--csv", type=Path, help="folder for the tables")
    args = parser.parse_args()
    start = time.perf_counter()
    error = 100 * math.sqrt(0.95 * 0.05 / args.rounds)
    print(f"{args.rounds} draws for each cell; Monte Carlo error at 95 %: {error:.1f} points")
    studies = [Study(r, p, m) for r in (3, 5, 10) for p, m in ((100, 1), (100, 3), (300, 3))]
    with ProcessPoolExecutor(args.workers) as pool:
        rows = measure(of_population, studies, args.rounds, pool)
    given = [Study(4, p, m) for p, m in ((60, 1), (60, 3), (200, 3))]
    with ProcessPoolExecutor(args.workers) as pool:
        fixed = measure(of_given_readers, given, args.rounds, pool)
    for part in (rows, fixed):
        for row in part:
            print("; ".join(str(cell) for cell in row.values()))
    if args.csv is not None:
        for name, part in (("coverage-readers", rows), ("coverage-given-readers", fixed)):
            path = args.csv / f"{name}.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, [*part[0]], lineterminator="\n")
                writer.writeheader()
                writer.writerows(part)
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

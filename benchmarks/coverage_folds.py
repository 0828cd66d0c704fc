"""Measures how often 95 % intervals of cross-validated results contain the true value.

    python benchmarks/coverage_folds.py [--rounds 2000] [--workers 2] [--out FOLDER]

Mean of the folds: the interval of the mean AUROC should contain the mean of the true AUROCs of the
models. `given` models do not depend on the data. `trained` models are linear, fitted on the other
folds by least squares; their true AUROC is known by formula.

Difference: two linear models, on 4 useful features and on these and 4 useless ones, are trained and
compared over the folds. `corrected` is the interval of Nadeau and Bengio, `plain` the ordinary
t-interval of the folds, and `pooled` the paired DeLong interval of the out-of-fold predictions.
They should contain the expected difference over data sets of this size.

Patients have one image, or one to five. Results are in docs/explanation/intervals.md.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

FOLDS = 5
FEATURES = 8
USEFUL = 4
COLUMNS = (range(USEFUL), range(FEATURES))
CELLS = [  # patients, share of positive patients, effect of each useful feature, several images
    (patients, share, effect, several)
    for several in (False, True)
    for patients, share in ((100, 0.5), (300, 0.5), (300, 0.2), (1000, 0.2))
    for effect in (0.4, 0.9)
]


def draw(rng: np.random.Generator, cell: tuple[int, float, float, bool]) -> Any:
    """Return patients, labels, features and folds of a data set; None if a fold lacks a class."""
    patients, share, effect, several = cell
    sick = rng.random(patients) < share
    of = np.repeat(np.arange(patients), rng.integers(1, 6, patients) if several else 1)
    labels = sick[of]
    if several:  # a tenth of the images of a patient is of the other class
        labels = labels ^ (rng.random(len(of)) < 0.1)
    own = rng.normal(size=(patients, FEATURES))[of] + rng.normal(size=(len(of), FEATURES))
    means = np.where(np.arange(FEATURES) < USEFUL, effect, 0.0)
    features = own / math.sqrt(2) + np.outer(labels, means)
    fold = np.empty(patients, int)
    for side in (sick, ~sick):
        members = rng.permutation(np.flatnonzero(side))
        fold[members] = np.arange(len(members)) % FOLDS
    folds = fold[of]
    counts = [np.bincount(folds[labels == side], minlength=FOLDS).min() for side in (True, False)]
    return (of, labels, features, folds) if min(counts) > 0 else None


def fit(features: Any, labels: Any, columns: range) -> Any:
    """Return the weights of a linear model, fitted by least squares."""
    chosen = features[:, columns]
    centred = chosen - chosen.mean(axis=0)
    weights = np.zeros(FEATURES)
    square = centred.T @ centred + np.eye(len(columns))
    weights[columns] = np.linalg.solve(square, centred.T @ (labels - labels.mean()))
    return weights


def true_auroc(weights: Any, effect: float) -> float:
    """Return the AUROC of a linear model in the population."""
    gain = effect * weights[:USEFUL].sum()
    return NormalDist().cdf(gain / (math.sqrt(2) * float(np.linalg.norm(weights))))


def one_round(task: tuple[tuple[int, float, float, bool], int]) -> dict[str, Any] | None:
    """Return for one data set whether intervals of the mean contain the truth, and differences."""
    from plainfilm import metrics

    cell, seed = task
    rng = np.random.default_rng([seed, cell[0], int(100 * cell[1]), int(100 * cell[2]), cell[3]])
    drawn = draw(rng, cell)
    if drawn is None:
        return None
    of, labels, features, folds = drawn
    keys = of.astype(str) if cell[3] else None
    scores, truths = np.empty((3, len(of))), np.empty((3, FOLDS))
    areas = np.empty((2, FOLDS))
    for fold in range(FOLDS):
        test = folds == fold
        ideal = np.where(np.arange(FEATURES) < USEFUL, 1.0, 0.0) + rng.normal(0, 0.3, FEATURES)
        models = [fit(features[~test], labels[~test], columns) for columns in COLUMNS]
        for row, weights in enumerate([*models, ideal]):
            scores[row, test] = features[test] @ weights
            truths[row, fold] = true_auroc(weights, cell[2])
        areas[:, fold] = [metrics.roc_auc_score(labels[test], scores[r, test]) for r in (0, 1)]
    result: dict[str, Any] = {"expected": float((truths[1] - truths[0]).mean())}
    for name, row in (("given", 2), ("trained", 0)):
        found = metrics.mean_fold_auroc(labels, scores[row], folds, keys)
        result[name] = bool(found.low <= truths[row].mean() <= found.high)
    gaps = areas[1] - areas[0]
    size = len(of) / FOLDS
    for name, n_test in (("corrected", size), ("plain", 1e-9)):
        found = metrics.corrected_difference(gaps, n_train=len(of) - size, n_test=n_test).difference
        result[name] = (found.low, found.high)
    found = metrics.delong_test(labels, scores[0], scores[1], keys).difference
    result["pooled"] = (found.low, found.high)
    return result


def summarise(cell: tuple[int, float, float, bool], rounds: list[Any]) -> dict[str, str]:
    """Return the row of a cell: coverage in percent."""
    known = [one for one in rounds if one is not None]
    patients, share, effect, several = cell
    ideal = NormalDist().cdf(effect * math.sqrt(USEFUL / 2))
    row = {
        "images per patient": "1 to 5" if several else "1",
        "patients": str(patients),
        "positive": f"{share:.0%}",
        "best AUROC": f"{ideal:.2f}",
    }
    truth = float(np.mean([one["expected"] for one in known]))
    for name in ("given", "trained"):
        row[f"mean, {name}"] = f"{100 * np.mean([one[name] for one in known]):.1f}"
    for name in ("corrected", "plain", "pooled"):
        inside = [one[name][0] <= truth <= one[name][1] for one in known]
        row[f"difference, {name}"] = f"{100 * np.mean(inside):.1f}"
    return row


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="number of data sets for each row")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for coverage-folds.csv")
    args = parser.parse_args()
    start, rows = time.perf_counter(), []
    with ProcessPoolExecutor(args.workers) as pool:
        for cell in CELLS:
            tasks = [(cell, seed) for seed in range(args.rounds)]
            rows.append(summarise(cell, [*pool.map(one_round, tasks, chunksize=50)]))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if args.out is not None:
        with open(args.out / "coverage-folds.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

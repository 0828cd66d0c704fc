"""Measures the coverage of 95 % intervals of several classes and labels, and at a prevalence.

    python benchmarks/coverage_several.py [--rounds 2000] [--workers 2] [--out FILE.csv]

Draws test sets of one to six correlated images per patient from populations with known metrics,
evaluates each with `plainfilm.evaluation.summarise` (without its curves, 300 bootstrap samples),
and counts the intervals that contain the true value:

- four classes with 45, 30, 17 and 8 % of the images; 70 % of those of a patient are of one class
- three labels with 40, 20 and 10 % of the images, known at a threshold
- PPV, NPV and Brier score at a prevalence of 5 %, of a binary label with 40 % of the images
- the simultaneous band of a decision curve, at all 99 thresholds

The Monte Carlo error of a coverage of 95 % is 0.5 % in 2,000 draws. Draws with an undefined metric
are ignored; intervals without limits count as misses.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

SIZES = (200, 800)
N_BOOTSTRAP = 300
SHARES = np.array([0.45, 0.3, 0.17, 0.08])
LABELS = np.array([0.4, 0.2, 0.1])
BINARY = np.array([0.4])
CHANCE = 0.05  # the other prevalence
MANY = 2_000_000

Arrays = tuple[Any, Any, Any]
Draw = Callable[[int, bool, Any], Arrays]


def patients_of(n: int, clustered: bool, rng: Any) -> Any:
    """Return the patient of each image."""
    return np.repeat(np.arange(n), rng.integers(1, 7, n) if clustered else 1)[:n]


def noise(shape: tuple[int, ...], patients: Any, clustered: bool, rng: Any) -> Any:
    """Return standard normal noise, correlated within a patient."""
    own = rng.normal(size=shape)
    if not clustered:
        return own
    return math.sqrt(0.6) * rng.normal(size=shape)[patients] + math.sqrt(0.4) * own


def classes(n: int, clustered: bool, rng: Any) -> Arrays:
    """Draw labels (n, 4), calibrated probabilities (n, 4) and patients."""
    patients = patients_of(n, clustered, rng)
    own = rng.choice(4, size=n, p=SHARES)
    if clustered:
        own = np.where(rng.random(n) < 0.3, own, rng.choice(4, size=n, p=SHARES)[patients])
    labels, gap = np.eye(4)[own], 1.6
    logits = gap * (gap * labels + noise((n, 4), patients, clustered, rng)) + np.log(SHARES)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, chances / chances.sum(axis=1, keepdims=True), patients


def binormal(shares: Any, n: int, clustered: bool, rng: Any) -> Arrays:
    """Draw labels (n, k), calibrated probabilities (n, k) and patients."""
    patients, gap = patients_of(n, clustered, rng), 1.6
    labels = (rng.random((n, len(shares))) < shares)[patients].astype(float)
    spread = noise(labels.shape, patients, clustered, rng)
    logits = gap * (gap * labels + spread) - gap**2 / 2 + np.log(shares / (1 - shares))
    return labels, 1 / (1 + np.exp(-logits)), patients


def summary_of(kind: str, labels: Any, chances: Any, keys: list[str]) -> Any:
    from plainfilm.evaluation import summary
    from plainfilm.records import OperatingPoint, Task

    summary.curves = lambda *_: None  # type: ignore[assignment]
    names = tuple("abcd"[: labels.shape[1]])
    points = [
        OperatingPoint("balanced", "balanced", name, float(share), "given")
        for name, share in zip(names, {1: (0.4,), 3: LABELS, 4: ()}[len(names)], strict=False)
    ]
    named = ("none", *names) if kind == "binary" else names
    task = Task(kind, names, named)  # type: ignore[arg-type]
    return summary.summarise(labels, chances, task, keys, points, n_bootstrap=N_BOOTSTRAP)


def of_classes(labels: Any, chances: Any, keys: list[str]) -> dict[str, Any]:
    found = summary_of("multiclass", labels, chances, keys)
    names = ("sensitivity", "specificity", "ppv", "f1", "auroc", "average_precision")
    macro = {f"macro {name}": found.macro[name] for name in names}
    return {**found.metrics, **macro, "micro auroc": found.micro["auroc"]}


def of_labels(labels: Any, chances: Any, keys: list[str]) -> dict[str, Any]:
    found = summary_of("multilabel", labels, chances, keys)
    names = (
        "sensitivity",
        "specificity",
        "ppv",
        "f1",
        "mcc",
        "auroc",
        "average_precision",
        "brier",
    )
    return {**found.metrics, **{f"macro {name}": found.macro[name] for name in names}}


def of_prevalence(labels: Any, chances: Any, keys: list[str]) -> dict[str, Any]:
    from plainfilm.evaluation.prevalence import _brier
    from plainfilm.evaluation.view import Clusters, LabelView
    from plainfilm.metrics import shift_prevalence, undefined

    found = summary_of("binary", labels, chances, keys).labels["a"]
    curve = found.operating_points["balanced"].predictive_values
    if curve is None:
        return dict.fromkeys(("ppv", "npv", "brier"), undefined("none", "too few"))
    ppv, npv = curve.at(CHANCE)
    moved = shift_prevalence(chances[:, 0], from_=0.4, to=CHANCE)
    view = LabelView(labels[:, 0] == 1, moved, Clusters.of(keys, len(keys)))
    return {"ppv": ppv, "npv": npv, "brier": _brier(view, moved, CHANCE, N_BOOTSTRAP)}


@cache
def truth(name: str) -> dict[str, float]:
    """Return the true values, from two million images or by formula."""
    from plainfilm import metrics

    draw, _ = POPULATIONS[name]
    labels, chances, _ = draw(MANY, False, np.random.default_rng(99))
    if name == "prevalence":
        hit = NormalDist().cdf(0.8)  # both rates at the threshold where they are equal
        flagged = hit * CHANCE + (1 - hit) * (1 - CHANCE)
        moved = metrics.shift_prevalence(chances, from_=0.4, to=CHANCE)
        up, down = (((moved - labels)[labels == side] ** 2).mean() for side in (1, 0))
        npv = hit * (1 - CHANCE) / (hit * (1 - CHANCE) + (1 - hit) * CHANCE)
        brier = CHANCE * up + (1 - CHANCE) * down
        return {"ppv": hit * CHANCE / flagged, "npv": npv, "brier": brier}
    y_pred = np.eye(4)[chances.argmax(axis=1)] if name == "classes" else (chances >= LABELS)
    columns = range(labels.shape[1])
    cells = [metrics.confusion(labels[:, k], y_pred[:, k]) for k in columns]
    rates = np.stack([metrics.rates(c.tp, c.fp, c.tn, c.fn) for c in cells]).mean(axis=0)
    found = {f"macro {one}": value for one, value in zip(metrics.RATES, rates, strict=True)}
    for one, function in (
        ("auroc", metrics.roc_auc_score),
        ("average_precision", metrics.average_precision_score),
        ("brier", metrics.brier_score_loss),
    ):
        found[f"macro {one}"] = np.mean([function(labels[:, k], chances[:, k]) for k in columns])
    found["exact_match"] = (labels == y_pred).all(axis=1).mean()
    if name == "classes":
        matrix = labels.T @ y_pred
        found |= dict(zip(metrics.OVERALL, metrics.overall_rates(matrix), strict=True))
        found["brier"] = ((labels - chances) ** 2).sum(axis=1).mean()
        found["log_loss"] = -np.log((labels * chances).sum(axis=1)).mean()
        found["micro auroc"] = metrics.roc_auc_score(labels.ravel(), chances.ravel())
    return {one: float(value) for one, value in found.items()}


POPULATIONS: dict[str, tuple[Draw, Callable[[Any, Any, list[str]], dict[str, Any]]]] = {
    "classes": (classes, of_classes),
    "labels": (partial(binormal, LABELS), of_labels),
    "prevalence": (partial(binormal, BINARY), of_prevalence),
}


@cache
def true_benefit() -> Any:
    """Return the true net benefit of the binary population, by formula."""
    from plainfilm import metrics

    at = np.array(metrics.THRESHOLDS)
    cut = (np.log(at / (1 - at)) - math.log(0.4 / 0.6) + 1.6**2 / 2) / 1.6
    above = [1 - np.vectorize(NormalDist().cdf)(cut - shift) for shift in (1.6, 0.0)]
    return 0.4 * above[0] - 0.6 * above[1] * at / (1 - at)


def one(task: tuple[str, int, int]) -> dict[str, bool | None]:
    """Draw a test set; return which intervals contain the true value (None: undefined)."""
    name, n, seed = task
    rng = np.random.default_rng([n, seed])
    if name == "band":
        from plainfilm import metrics

        labels, chances, patients = binormal(BINARY, n, True, rng)
        curve = metrics.decision_curve(
            labels[:, 0], chances[:, 0], patients.astype(str), n_bootstrap=N_BOOTSTRAP, seed=seed
        )
        inside = (curve.band_low <= true_benefit()) & (true_benefit() <= curve.band_high)
        pointwise = (curve.low <= true_benefit()) & (true_benefit() <= curve.high)
        return {
            "simultaneous band": bool(inside.all()),
            "pointwise limits, all thresholds": bool(pointwise.all()),
        }
    draw, evaluate = POPULATIONS[name]
    labels, chances, patients = draw(n, True, rng)
    covered: dict[str, bool | None] = {}
    for metric, found in evaluate(labels, chances, patients.astype(str).tolist()).items():
        known = math.isfinite(found.low) and math.isfinite(found.high)
        inside = known and found.low - 1e-12 <= truth(name)[metric] <= found.high + 1e-12
        covered[metric] = None if math.isnan(found.value) else bool(inside)
    return covered


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=2000, help="number of test sets for each cell"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="table to write")
    args = parser.parse_args()
    rows: dict[tuple[str, str], dict[int, str]] = {}
    for name in POPULATIONS:
        truth(name)  # before the processes start, so that they share it
    true_benefit()
    with ProcessPoolExecutor(args.workers) as pool:
        for n in SIZES:
            for name in ("band", *POPULATIONS):
                tasks = [(name, n, seed) for seed in range(args.rounds)]
                found = [*pool.map(one, tasks, chunksize=25)]
                for metric in found[0]:
                    known = [float(hit) for row in found if (hit := row[metric]) is not None]
                    share = f"{100 * np.mean(known):.1f}" if known else "-"
                    rows.setdefault((name, metric), {})[n] = share
                    print(f"{name:12}{metric:36}n = {n:<6}{share:>6}", flush=True)
    if args.out:
        with args.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["population", "metric", *(f"n = {n}" for n in SIZES)])
            writer.writerows([*key, *cells.values()] for key, cells in rows.items())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compares rules for locking a threshold by their loss when images change.

    python benchmarks/locking.py RUN [RUN ...]

RUN are runs of one recipe with several seeds (``plainfilm train DATA --seeds 3 --out RUNS``). The
official test set is not used. The validation patients of a run are split into random halves,
several times: each rule locks a threshold on one half. On the other half, under disturbances that
the rule has not used (`plainfilm.evaluation.disturbances`), its regret is the loss of balanced
accuracy against the best threshold for these images. Needs the images of the runs.

Results are in docs/explanation/locking-thresholds.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import fill_cache
from plainfilm.evaluation.disturbances import DISTURBANCES
from plainfilm.metrics import lock_operating_points, roc_curve
from plainfilm.models.head import fit_head
from plainfilm.runtime import Predictor
from plainfilm.training import open_run, use_backend
from plainfilm.training.thresholds import DRAWS, disturbed_images

HALVINGS = 20
UNSEEN = ("blur", "brighter", "darker", "jpeg", "coarse", "border", "corners")
"""Kinds of disturbance that are not part of the images on which thresholds are locked."""

Floats = NDArray[np.float64]
Rule = Callable[[Floats, Floats, Floats, Floats, Any, Any], float]


def youden(y: Floats, p: Floats, *_: Any) -> float:
    """Return the threshold with the largest Youden index on clean images."""
    fpr, tpr, at = roc_curve(y, p)
    return float(min(at[np.argmax(tpr - fpr)], 1.0))


def corner(y: Floats, p: Floats, *_: Any) -> float:
    """Return the threshold nearest to the perfect corner of the ROC curve, on clean images."""
    fpr, tpr, at = roc_curve(y, p)
    return float(min(at[np.argmin(fpr**2 + (1 - tpr) ** 2)], 1.0))


def middle(y: Floats, p: Floats, *_: Any) -> float:
    """Return the middle, in log odds, of the best thresholds on clean images."""
    grid = np.linspace(-12, 12, 4801)
    positive = np.log(np.clip(p, 1e-6, 1) / np.clip(1 - p, 1e-6, 1))[:, None] >= grid
    right = positive[y == 1].mean(axis=0) + (~positive[y == 0]).mean(axis=0)
    best = grid[right >= right.max() - 1e-12]
    return float(1 / (1 + np.exp(-(best[0] + best[-1]) / 2)))


def smoothed(y: Floats, p: Floats, *_: Any) -> float:
    """Return our rule, on clean images only."""
    return lock_operating_points(p, y, "x", n_bootstrap=1)[0].point.threshold


def ours(y: Floats, p: Floats, more_y: Floats, more_p: Floats, *_: Any) -> float:
    """Return our rule, on clean and disturbed images."""
    return lock_operating_points(more_p, more_y, "x", n_bootstrap=1)[0].point.threshold


def youden_disturbed(y: Floats, p: Floats, more_y: Floats, more_p: Floats, *_: Any) -> float:
    """Return the threshold with the largest Youden index on clean and disturbed images."""
    return youden(more_y, more_p)


def equal_errors(y: Floats, p: Floats, more_y: Floats, more_p: Floats, *_: Any) -> float:
    """Return the threshold of equal sensitivity and specificity on clean and disturbed images."""
    fpr, tpr, at = roc_curve(more_y, more_p, drop_intermediate=False)
    return float(min(at[np.argmin(np.abs(tpr - (1 - fpr)))], 1.0))


def platt(y: Floats, p: Floats, *_: Any) -> float:
    """Return where a logistic regression with balanced classes predicts 0.5, on clean images."""
    kept = np.clip(p, 1e-6, 1 - 1e-6)
    logits = np.log(kept / (1 - kept))
    shares = np.array([[1 - y.mean()], [y.mean()]])
    head = fit_head(logits[:, None], y[:, None], head="sigmoid", weights=0.5 / shares, penalty=1.0)
    crossing = head.mean[0] - head.bias[0] * head.deviation[0] / head.kernel[0, 0]
    return float(1 / (1 + np.exp(-crossing)))


def platt_disturbed(y: Floats, p: Floats, more_y: Floats, more_p: Floats, *_: Any) -> float:
    """Return the crossing of `platt` on clean and disturbed images."""
    return platt(more_y, more_p)


OURS = "kernel-smoothed, disturbed (ours)"
RULES: dict[str, Rule] = {
    "0.5": lambda *_: 0.5,
    "largest Youden index, clean": youden,
    "nearest to the corner, clean": corner,
    "middle of the best, clean": middle,
    "kernel-smoothed, clean": smoothed,
    "balanced Platt crossing, clean": platt,
    "largest Youden index, disturbed": youden_disturbed,
    "equal errors, disturbed": equal_errors,
    "balanced Platt crossing, disturbed": platt_disturbed,
    OURS: ours,
}


def balanced(y: Floats, p: Floats, threshold: float) -> float:
    positive = p >= threshold
    return float((positive[y == 1].mean() + (~positive[y == 0]).mean()) / 2)


def best(y: Floats, p: Floats) -> float:
    fpr, tpr, _ = roc_curve(y, p)
    return float(np.max(tpr + 1 - fpr) / 2)


def score(folder: str) -> tuple[Floats, Any, Floats, dict[tuple[str, int], Floats]]:
    """Return labels, patients, probabilities (1 + DRAWS, n) clean and disturbed, and by shift."""
    from plainfilm.evaluation.robustness import disturb_images, enlarged

    run = open_run(folder)
    use_backend()
    predictor, spec = Predictor(run.bundle), run.bundle.pixels
    held = run.manifest.select("validation")
    own = fill_cache(held, spec)
    images = own.gather(own.positions(held.records))
    seen = predictor.probabilities(disturbed_images(images))[:, 0].astype(np.float64)
    large = fill_cache(held, enlarged(spec))
    pixels = large.gather(large.positions(held.records))
    shifts = {}
    with ThreadPoolExecutor() as pool:
        for kind in DISTURBANCES:
            if kind.name in UNSEEN:
                for step in range(len(kind.strengths)):
                    turned = disturb_images(kind, step, pixels, spec, 7, pool)
                    shifts[kind.name, step] = predictor.probabilities(turned)[:, 0].astype(float)
    labels = replace(held).label_array()[:, 0].astype(np.float64)
    return labels, held.patients, seen.reshape(1 + DRAWS, -1), shifts


def main() -> int:
    """Print the table of all rules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", metavar="RUN")
    folders: list[str] = parser.parse_args().folders
    regrets: dict[str, list[float]] = {name: [] for name in RULES}
    unmoved: dict[str, list[float]] = {name: [] for name in RULES}
    spreads: dict[str, list[float]] = {name: [] for name in RULES}
    for folder in folders:
        labels, patients, seen, shifts = score(folder)
        keys = np.unique(patients)
        cuts: dict[str, list[float]] = {name: [] for name in RULES}
        for halving in range(HALVINGS):
            order = np.random.default_rng(halving).permutation(len(keys))
            first = np.isin(patients, keys[order[: len(keys) // 2]])
            y, other = labels[first], labels[~first]
            more = seen[:, first].ravel()
            for name, rule in RULES.items():
                cut = rule(y, seen[0, first], np.tile(y, 1 + DRAWS), more, None, None)
                kept = min(max(cut, 1e-6), 1 - 1e-6)
                cuts[name].append(float(np.log(kept / (1 - kept))))
                clean = seen[0, ~first]
                unmoved[name].append(best(other, clean) - balanced(other, clean, cut))
                for given in shifts.values():
                    there = given[~first]
                    regrets[name].append(best(other, there) - balanced(other, there, cut))
        for name in RULES:
            spreads[name].append(float(np.std(cuts[name])))
    by_run = {
        name: np.reshape(lost, (len(folders), -1)).mean(axis=1) for name, lost in regrets.items()
    }
    count = len(regrets["0.5"])
    print(f"{len(folders)} runs, {HALVINGS} halvings, {count:,} comparisons for each rule")
    print(f"{'rule':36}{'clean':>9}{'shifted':>10}{'worst 10 %':>13}{'spread':>9}  against ours")
    for name in RULES:
        lost = np.sort(regrets[name])
        worst = lost[-max(1, len(lost) // 10) :].mean()
        gaps = by_run[name] - by_run[OURS]
        print(
            f"{name:36}{np.mean(unmoved[name]):>9.3f}{lost.mean():>10.3f}{worst:>13.3f}"
            f"{np.mean(spreads[name]):>9.2f}  {gaps.min():+.4f} to {gaps.max():+.4f}"
        )
    print(
        "clean, shifted: mean loss of balanced accuracy; spread: standard deviation of the "
        "threshold in log odds; against ours: difference of the loss on shifted images, range "
        "over runs"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

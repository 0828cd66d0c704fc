"""Cross-validates small linear models: ridge logistic regression on a few dozen features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FOLDS = 5
_RIDGE = 3.0
_INTERCEPT_RIDGE = 1e-3
_MAX_STEPS = 12
_BINS = 8
_CATEGORIES = 8


def cross_validated_scores(
    features: Floats, y_true: NDArray[np.bool_], groups: NDArray[np.intp], *, seed: int = 0
) -> Floats | None:
    """Return the log-odds (n,) of each image from a model that was fitted without its patient.

    The columns of ``features`` (n, k) have about unit variance, and ``groups`` are the numbers of
    the patients. Returns None with fewer than 10 patients, or if a fold has a single class.
    """
    patients = np.unique(groups)
    if len(patients) < 2 * _FOLDS:
        return None
    fold = np.empty(int(patients.max()) + 1, dtype=np.intp)
    # Patients with a positive image are assigned first, so that each fold has its share.
    positive = np.isin(patients, np.unique(groups[y_true]))
    order = np.random.default_rng(seed).permutation(len(patients))
    order = order[np.argsort(~positive[order], kind="stable")]
    fold[patients[order]] = np.arange(len(patients)) % _FOLDS
    folds = fold[groups]
    design = np.column_stack([np.ones(len(features)), features])
    scores = np.empty(len(features))
    # The fit to all images is only a start for those of the folds: the loss is convex.
    start = _fit(design, y_true.astype(np.float64), np.zeros(design.shape[1]))
    for number in range(_FOLDS):
        training = folds != number
        if y_true[training].all() or not y_true[training].any():
            return None
        weights = _fit(design[training], y_true[training].astype(np.float64), start)
        scores[~training] = design[~training] @ weights
    return scores


def _fit(design: Floats, y_true: Floats, start: Floats) -> Floats:
    """Return the weights of a ridge logistic regression, fitted by Newton's method."""
    weights = start.copy()
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[0] = _INTERCEPT_RIDGE
    for _ in range(_MAX_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (y_true - probability) - ridge * weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(ridge), gradient)
        size = float(np.abs(step).max())
        weights += step * min(1.0, 4.0 / max(size, 1e-9))  # limits the first steps
        if size < 1e-3:
            break
    return weights


def standardise_columns(features: Floats) -> Floats:
    """Return columns of mean 0 and standard deviation 1; constant columns become 0."""
    deviation = features.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    return np.asarray((features - features.mean(axis=0)) / scale)


def encode_metadata(columns: Sequence[Sequence[object]]) -> NDArray[np.bool_]:
    """Encode columns of numbers or strings as indicators, (n, k).

    A number becomes indicators of eight quantile steps, so that a linear model can use any range of
    it. A string becomes one indicator for each of the eight most frequent values. A missing value
    has its own indicator.
    """
    parts = []
    for column in columns:
        numbers = np.array(
            [float(v) if isinstance(v, int | float) else np.nan for v in column], np.float64
        )
        if np.isfinite(numbers).sum() >= len(column) / 2:
            parts += _steps(numbers)
        else:
            strings = np.array(["" if v is None else str(v) for v in column])
            values, counts = np.unique(strings, return_counts=True)
            frequent = values[np.argsort(-counts, kind="stable")][:_CATEGORIES]
            parts += [strings == value for value in frequent if len(frequent) > 1]
    if not parts:
        return np.zeros((len(columns[0]) if columns else 0, 0), bool)
    return np.column_stack(parts)


def _steps(numbers: Floats) -> list[NDArray[np.bool_]]:
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.arange(1, _BINS) / _BINS))
    steps = [known & (numbers > edge) for edge in edges if (numbers[known] > edge).any()]
    low = known & (numbers < edges[0]) if len(edges) else known
    steps += [low] if low.any() and not low.all() else []
    return steps + ([~known] if not known.all() else [])

"""How well can something be told that should not be told: small models, cross-validated.

Ridge logistic regression on a few dozen numbers an image: it takes a fraction of a second, cannot
memorise, and what even it can tell, a network will.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["cross_validated_scores", "encode_metadata", "standard_columns"]

Floats = NDArray[np.float64]

_FOLDS = 5
_RIDGE = 3.0
_STEPS = 12
_BINS = 8
_CATEGORIES = 8


def cross_validated_scores(
    rows: Floats, truth: NDArray[np.bool_], groups: NDArray[np.intp], *, seed: int = 0
) -> Floats | None:
    """Return for each image the log-odds of a model that has not seen its patient.

    Parameters
    ----------
    rows
        (n, k): what the model may see, columns of about unit spread.
    truth
        (n,): what it is to tell.
    groups
        (n,) numbers of patients; they are kept together.
    seed
        Of the folds.

    Returns
    -------
    scores
        (n,); None where a fold would have nothing to learn from.
    """
    patients = np.unique(groups)
    if len(patients) < 2 * _FOLDS:
        return None
    fold = np.empty(int(patients.max()) + 1, dtype=np.intp)
    # Patients with a positive image are dealt out first, so that every fold has its share.
    ill = np.isin(patients, np.unique(groups[truth]))
    order = np.random.default_rng(seed).permutation(len(patients))
    order = order[np.argsort(~ill[order], kind="stable")]
    fold[patients[order]] = np.arange(len(patients)) % _FOLDS
    place = fold[groups]
    full = np.column_stack([np.ones(len(rows)), rows])
    scores = np.empty(len(rows))
    # Where the search begins does not matter to where it ends: the loss has one minimum.
    start = _fit(full, truth.astype(np.float64), np.zeros(full.shape[1]))
    for number in range(_FOLDS):
        taught = place != number
        if truth[taught].all() or not truth[taught].any():
            return None
        weights = _fit(full[taught], truth[taught].astype(np.float64), start)
        scores[~taught] = full[~taught] @ weights
    return scores


def _fit(rows: Floats, truth: Floats, start: Floats) -> Floats:
    """Return the weights of a ridge logistic regression, by Newton's method."""
    weights = start.copy()
    ridge = np.full(rows.shape[1], _RIDGE)
    ridge[0] = 1e-3
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (truth - chance) - ridge * weights
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        size = float(np.abs(step).max())
        weights += step * min(1.0, 4.0 / max(size, 1e-9))  # no wild first steps
        if size < 1e-3:
            break
    return weights


def standard_columns(rows: Floats) -> Floats:
    """Return columns of mean 0 and spread 1; those that do not vary become 0."""
    spread = rows.std(axis=0)
    return np.asarray((rows - rows.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf))


def encode_metadata(columns: Sequence[Sequence[object]]) -> Floats:
    """Turn columns of numbers or words into indicators, (n, k).

    A number becomes eight steps with as many images each, so that the model can tell any range
    of it; a word becomes one indicator for each of the eight commonest, and absence is one.
    """
    parts = []
    for column in columns:
        numbers = np.array(
            [float(v) if isinstance(v, int | float) else np.nan for v in column], np.float64
        )
        words = np.array(["" if v is None else str(v) for v in column], dtype=object)
        if np.isfinite(numbers).sum() >= len(column) / 2:
            parts += _steps(numbers)
        else:
            names, counts = np.unique(words.astype(str), return_counts=True)
            common = names[np.argsort(-counts, kind="stable")][:_CATEGORIES]
            parts += [words == name for name in common if len(common) > 1]
    if not parts:
        return np.zeros((len(columns[0]) if columns else 0, 0))
    return np.column_stack(parts).astype(np.float64)


def _steps(numbers: Floats) -> list[NDArray[np.bool_]]:
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.arange(1, _BINS) / _BINS))
    steps = [known & (numbers > edge) for edge in edges if (numbers[known] > edge).any()]
    low = known & (numbers < edges[0]) if len(edges) else known
    steps += [low] if low.any() and not low.all() else []
    return steps + ([~known] if not known.all() else [])

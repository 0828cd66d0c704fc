"""Compares a score with the calls of a reader at the specificity of the reader."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, known
from plainfilm.metrics.bootstrap import percentile, replicate
from plainfilm.metrics.intervals import Interval, undefined
from plainfilm.metrics.paired import patients_of


def difference_at_specificity(
    y_true: ArrayLike,
    calls: ArrayLike,
    y_score: ArrayLike,
    patients: Patients = None,
    *,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return the sensitivity of a score at the specificity of a reader, less that of the reader.

    The ROC curve of the score is interpolated linearly. Each replicate of the bootstrap has its own
    curve and specificity, so that the interval allows for the choice of the threshold on the same
    images.

    Parameters
    ----------
    y_true, patients, n_bootstrap, level, seed
        See `plainfilm.metrics`.
    calls
        Calls of the reader (n,), 1 or 0.
    y_score
        Scores (n,).

    Returns
    -------
    Interval
        Undefined if a class is missing.

    Examples
    --------
    >>> y_true, calls = [0, 0, 1, 1], [0, 1, 1, 0]
    >>> difference_at_specificity(y_true, calls, [0.1, 0.4, 0.3, 0.9], n_bootstrap=10).value
    0.5
    """
    positive, called, _ = known(y_true, calls)
    _, values, _ = known(y_true, y_score)
    if np.any((called != 0) & (called != 1)):
        raise MetricError("calls must be 1 or 0")
    if not positive.any() or positive.all():
        return undefined("none", "one class is missing")
    groups, count = patients_of(y_true, patients)
    order = np.argsort(-values, kind="stable")
    positive, called, values = positive[order], called[order] == 1, values[order]
    groups = groups[order]
    starts = np.flatnonzero(np.r_[True, np.diff(values) != 0])

    def statistic(draws: Floats) -> Floats:
        return _gap(draws[:, groups], positive, called, starts)[None]

    value = float(statistic(np.ones((1, count)))[0, 0])
    rng = np.random.default_rng(seed)
    [drawn] = replicate(
        [statistic], patients=count, images=len(values), n_bootstrap=n_bootstrap, rng=rng
    )
    unit = "images" if patients is None else "patients"
    found = percentile(value, drawn[0], level=level, unit=unit)
    return replace(found, method=f"at the reader's specificity, {found.method}")


def _gap(weights: Floats, positive: Bools, called: Bools, starts: Ints) -> Floats:
    """Return the difference for each row of weights (R, n) of images by descending score."""
    with np.errstate(invalid="ignore", divide="ignore"):
        sides = []
        for side in (positive, ~positive):
            weight = np.add.reduceat(weights * side, starts, axis=1)
            total = weight.sum(axis=1, keepdims=True)
            curve = np.cumsum(weight, axis=1) / total
            rate = (weights * (side & called)).sum(axis=1) / total[:, 0]
            sides.append((np.hstack([np.zeros((len(weights), 1)), curve]), rate))
    (tpr, sensitivity), (fpr, target) = sides
    rows = np.arange(len(weights))
    # The last point of the curve that is not to the right of the reader, and the next one.
    last = np.maximum((fpr <= target[:, None] + 1e-12).sum(axis=1) - 1, 0)
    after = np.minimum(last + 1, fpr.shape[1] - 1)
    step = fpr[rows, after] - fpr[rows, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(step > 0, (target - fpr[rows, last]) / step, 0.0)
    at = tpr[rows, last] + np.clip(share, 0, 1) * (tpr[rows, after] - tpr[rows, last])
    gap: Floats = np.where(np.isnan(target) | np.isnan(sensitivity), math.nan, at - sensitivity)
    return gap

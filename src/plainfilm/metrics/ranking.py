"""Computes ranking metrics: AUROC, average precision and their curves.

Names and definitions are those of scikit-learn. Unknown labels are left out, and a value that is
undefined because a class is missing is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Bools, Floats, Ints, known


def _steps(positive: Bools, scores: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Return distinct scores in descending order, and the weight of each class at each score."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    starts: Ints = np.flatnonzero(np.r_[True, np.diff(ordered) != 0])
    mass, is_positive = weights[order], positive[order]
    return (
        ordered[starts],
        np.add.reduceat(mass * is_positive, starts),
        np.add.reduceat(mass * ~is_positive, starts),
    )


def roc_auc_score(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the area under the ROC curve.

    It is the probability that a positive image scores above a negative one; ties count one half.

    Parameters
    ----------
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_score
        Scores (n,), finite; only their order matters.
    sample_weight
        Weights (n,), 0 or more; 1 by default.

    Returns
    -------
    float
        0 to 1; NaN if a class is missing.

    Raises
    ------
    MetricError
        If an input is out of range or shapes differ.
    """
    positive, values, mass = known(y_true, y_score, sample_weight)
    total_positive, total_negative = mass[positive].sum(), mass[~positive].sum()
    if total_positive == 0 or total_negative == 0:
        return math.nan
    _, up, down = _steps(positive, values, mass)
    below = total_negative - np.cumsum(down)
    return float(np.dot(up, below + down / 2) / (total_positive * total_negative))


def average_precision_score(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean of precision over the steps of recall, without interpolation.

    It is 0 to 1, and NaN without positives; random scores reach the prevalence. See `roc_auc_score`
    for the parameters.
    """
    positive, values, mass = known(y_true, y_score, sample_weight)
    total_positive = mass[positive].sum()
    if total_positive == 0:
        return math.nan
    _, up, down = _steps(positive, values, mass)
    called = np.cumsum(up + down)
    precision = np.divide(np.cumsum(up), called, out=np.zeros_like(called), where=called > 0)
    return float(np.dot(up, precision) / total_positive)


def roc_curve(
    y_true: ArrayLike, y_score: ArrayLike, *, drop_intermediate: bool = True
) -> tuple[Floats, Floats, Floats]:
    """Return false positive rate, true positive rate and threshold along the ROC curve.

    Parameters
    ----------
    y_true, y_score
        Labels and scores, see `roc_auc_score`.
    drop_intermediate
        Whether to leave out points on a straight line between their neighbours.

    Returns
    -------
    fpr, tpr, thresholds
        Arrays of equal length. Thresholds decrease from infinity (no image predicted positive). A
        rate is NaN if its class is missing; all are empty without known labels.
    """
    positive, values, mass = known(y_true, y_score)
    if values.size == 0:
        return np.empty(0), np.empty(0), np.empty(0)
    thresholds, up, down = _steps(positive, values, mass)
    tps, fps = np.cumsum(up), np.cumsum(down)
    if drop_intermediate and len(tps) > 2:
        bends = (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0)
        keep = np.r_[True, bends, True]
        tps, fps, thresholds = tps[keep], fps[keep], thresholds[keep]
    tps, fps, thresholds = np.r_[0.0, tps], np.r_[0.0, fps], np.r_[np.inf, thresholds]
    with np.errstate(invalid="ignore"):
        return fps / fps[-1], tps / tps[-1], thresholds


def precision_recall_curve(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and threshold along the precision-recall curve.

    As in scikit-learn, thresholds increase, and a last point (1, 0) has no threshold. Recall is NaN
    without positives; all are empty without known labels.
    """
    positive, values, mass = known(y_true, y_score)
    if values.size == 0:
        return np.empty(0), np.empty(0), np.empty(0)
    thresholds, up, down = _steps(positive, values, mass)
    tps = np.cumsum(up)
    precision = tps / np.cumsum(up + down)
    with np.errstate(invalid="ignore"):
        recall = tps / tps[-1]
    return np.r_[precision[::-1], 1.0], np.r_[recall[::-1], 0.0], thresholds[::-1]

"""Computes ranking metrics: AUROC, whole or in part, average precision, and their curves.

Names and definitions are those of scikit-learn. Unknown labels are left out, and a value that is
undefined because a class is missing is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
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

    It is the probability that a positive image scores above a negative one; ties count one half. It
    is 0 to 1, and NaN if a class is missing. See `plainfilm.metrics` for the parameters.
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

    It is 0 to 1, and NaN without positives; random scores reach the prevalence. See
    `plainfilm.metrics` for the parameters.
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
        See `plainfilm.metrics`.
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


def partial_auc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    max_fpr: float | None = None,
    min_sensitivity: float | None = None,
    standardise: bool = True,
) -> float:
    """Return the area under the ROC curve over a range of specificity or sensitivity.

    Parameters
    ----------
    y_true, y_score
        See `plainfilm.metrics`.
    max_fpr
        Upper end of the range of false positive rates, above 0 and at most 1.
    min_sensitivity
        Lower end of the range of sensitivities, 0 or more and below 1. Give exactly one of the two.
    standardise
        Whether to scale the area so that chance is 0.5 and perfect is 1; otherwise it is 0 to the
        width of the range. It is NaN if a class is missing.

    References
    ----------
    D. K. McClish, Med. Decis. Making 9 (1989) 190-195; over sensitivities: Y. Jiang, C. E. Metz &
    R. M. Nishikawa, Radiology 201 (1996) 745-750.

    Examples
    --------
    >>> partial_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], max_fpr=0.5)
    0.6666666666666666
    """
    received = f"max_fpr={max_fpr}, min_sensitivity={min_sensitivity}"
    if (max_fpr is None) == (min_sensitivity is None):
        raise MetricError(
            "a partial area needs exactly one range",
            received=received,
            remedy="give max_fpr or min_sensitivity",
        )
    width = max_fpr if max_fpr is not None else 1 - float(min_sensitivity or 0.0)
    if not 0 < width <= 1:
        why = "the range of a partial area must be within 0 to 1 and not empty"
        raise MetricError(why, received=received)
    positive, values, _ = known(y_true, y_score)
    if not positive.any() or positive.all():
        return math.nan
    if max_fpr is None:
        # Seen from the other corner, missed positives take the place of false positives.
        positive, values = ~positive, -values
    fpr, tpr, _ = roc_curve(positive, values, drop_intermediate=False)
    area = float(partial_areas(fpr[None], tpr[None], width)[0])
    return float(standardised(area, width)) if standardise else area


def partial_areas(fpr: Floats, tpr: Floats, width: float) -> Floats:
    """Return the area under each ROC curve (R, k) from a false positive rate of 0 to ``width``.

    The curves go from (0, 0) to (1, 1) with increasing rates.
    """
    start, rise = fpr[:, :-1], np.diff(tpr, axis=1)
    length = np.diff(fpr, axis=1)
    inside = np.clip(width - start, 0.0, length)
    share = np.divide(inside, length, out=np.zeros_like(length), where=length > 0)
    areas: Floats = np.einsum("rk,rk->r", inside, tpr[:, :-1] + rise * share / 2)
    return areas


def standardised(area: ArrayLike, width: float) -> Floats:
    """Return areas over a range of ``width`` on McClish's scale: 0.5 is chance, 1 is perfect."""
    chance = width**2 / 2
    scaled: Floats = (1 + (np.asarray(area, np.float64) - chance) / (width - chance)) / 2
    return scaled

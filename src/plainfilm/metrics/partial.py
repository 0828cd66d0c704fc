"""Computes the area under the part of the ROC curve in which a classifier would be used."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, known
from plainfilm.metrics.ranking import roc_curve


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
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_score
        Scores (n,), finite, on any scale.
    max_fpr
        Upper end of the range of false positive rates, above 0 and at most 1.
    min_sensitivity
        Lower end of the range of sensitivities, 0 or more and below 1. Give exactly one of the two.
    standardise
        Whether to scale the area so that chance is 0.5 and perfect is 1; otherwise it is 0 to the
        width of the range.

    Returns
    -------
    float
        NaN if a class is missing.

    Raises
    ------
    MetricError
        If an input is out of range, or not exactly one range is given.

    References
    ----------
    D. K. McClish, Med. Decis. Making 9 (1989) 190-195; over sensitivities: Y. Jiang, C. E. Metz &
    R. M. Nishikawa, Radiology 201 (1996) 745-750.

    Examples
    --------
    >>> partial_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], max_fpr=0.5)
    0.6666666666666666
    """
    if (max_fpr is None) == (min_sensitivity is None):
        raise MetricError(
            "a partial area needs exactly one range",
            received=f"max_fpr={max_fpr}, min_sensitivity={min_sensitivity}",
            remedy="give max_fpr or min_sensitivity",
        )
    width = max_fpr if max_fpr is not None else 1 - float(min_sensitivity or 0.0)
    if not 0 < width <= 1:
        raise MetricError(
            "the range of a partial area must be within 0 to 1 and not empty",
            received=f"max_fpr={max_fpr}, min_sensitivity={min_sensitivity}",
        )
    positive, values, _ = known(y_true, y_score)
    if not positive.any() or positive.all():
        return math.nan
    if max_fpr is None:
        # Seen from the other corner, missed positives take the place of false positives.
        fpr, tpr, _ = roc_curve(~positive, -values, drop_intermediate=False)
    else:
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

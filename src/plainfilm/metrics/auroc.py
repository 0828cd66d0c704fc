"""Computes the AUROC with an interval by formula, for one or several images per patient."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, known
from plainfilm.metrics.intervals import Interval, logit_limits, newcombe, normal_quantile, undefined

NO_VARIANCE = 1e-28
"""A variance of zero is below this after rounding; that of 10^6 images of each class is above."""


def midranks(values: Floats) -> Floats:
    """Return ranks from 1; equal values share the mean of their ranks.

    The same as `scipy.stats.rankdata`, whose import takes a third of a second.
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def placements(positive: Bools, y_score: Floats) -> tuple[Floats, Floats]:
    """Return the share of negatives below each positive, and of positives above each negative."""
    ranks = midranks(y_score)
    m, n = int(positive.sum()), int((~positive).sum())
    above = (ranks[positive] - midranks(y_score[positive])) / n
    below = 1 - (ranks[~positive] - midranks(y_score[~positive])) / m
    return above, below


def delong_covariance(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Floats, Floats]:
    """Return the AUROCs of several scorers on the same images, and their covariance.

    Parameters
    ----------
    y_true
        Labels (n,), 1 or 0, without NaN, at least two of each class.
    y_score
        Scores (k, n), one row per scorer, finite.

    Returns
    -------
    areas, covariance
        AUROCs (k,) and covariance (k, k).

    References
    ----------
    E. R. DeLong, D. M. DeLong & D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845, in the
    O(n log n) form of X. Sun & W. Xu, IEEE Signal Process. Lett. 21 (2014) 1389-1393.
    """
    matrix = np.atleast_2d(np.asarray(y_score, dtype=np.float64))
    for row in matrix:
        positive, _, _ = known(y_true, row)
    if positive.size != matrix.shape[1]:
        raise MetricError("DeLong's method needs known labels", remedy="leave out NaN first")
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise MetricError(
            "DeLong's variance needs two images of each class",
            received=f"{m} positives, {n} negatives",
        )
    rows = [placements(positive, row) for row in matrix]
    above, below = (np.stack(side) for side in zip(*rows, strict=True))
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return above.mean(axis=1), covariance


def delong(y_true: ArrayLike, y_score: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the AUROC with DeLong's interval, computed on the logit scale.

    On that scale the limits stay between 0 and 1, and the interval is asymmetric near the ends, as
    it should be (M. S. Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2). Where
    DeLong's variance is zero (AUROC of 0 or 1) or undefined (one image in a class), the interval is
    from `newcombe`, and ``reason`` says so. Images are assumed to be independent; use
    `clustered_delong` or `clustered_bootstrap` for patients with several images.
    """
    positive, values, _ = known(y_true, y_score)
    m, n = int(positive.sum()), int((~positive).sum())
    method = f"DeLong, logit scale, {100 * level:g} %"
    z = normal_quantile(level)
    if m == 0 or n == 0:
        return undefined(method, f"there is no {'positive' if m == 0 else 'negative'} image")
    ranks = midranks(values)
    area = float((ranks[positive].sum() - m * (m + 1) / 2) / (m * n))
    if m == 1 or n == 1:
        why = "a class with one image has no variance"
        return replace(newcombe(area, m, n, level=level), reason=why)
    _, covariance = delong_covariance(positive, values)
    if covariance[0, 0] <= NO_VARIANCE or area in (0.0, 1.0):
        why = f"DeLong's variance is zero at an AUROC of {area:g}"
        return replace(newcombe(area, m, n, level=level), reason=why)
    return Interval(area, *logit_limits(area, z * math.sqrt(covariance[0, 0])), method)


def clustered_delong(
    y_true: ArrayLike, y_score: ArrayLike, groups: ArrayLike, *, level: float = 0.95
) -> Interval:
    """Return the AUROC with an interval that allows for several images per patient.

    The variance is DeLong's with its components summed by patient; the interval is computed on the
    logit scale. With one image per patient it equals `delong`. It is much faster than a bootstrap.

    Without variance (an AUROC of 0 or 1), it is from `newcombe` with the numbers of patients.

    Parameters
    ----------
    y_true, y_score, level
        See `plainfilm.metrics`.
    groups
        Patients (n,), values of any type; images with equal values are from one patient.

    References
    ----------
    N. A. Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997)
    567-578.
    """
    keys = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    labels = np.asarray(y_true, dtype=np.float64).reshape(-1)
    if keys.size != labels.size:
        raise MetricError(
            "every image needs a patient",
            received=f"{plural(labels.size, 'label')}, {plural(keys.size, 'patient')}",
        )
    positive, values, _ = known(y_true, y_score)
    keys = np.unique(keys[~np.isnan(labels)], return_inverse=True)[1]
    patients = int(keys.max(initial=-1)) + 1
    if patients == positive.size:
        return delong(positive, values, level=level)
    over = plural(patients, "patient", separator="")
    method = f"clustered DeLong over {over}, logit scale, {100 * level:.3g} %"
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return undefined(method, f"there is no {'positive' if m == 0 else 'negative'} image")
    areas, covariance = clustered_covariance(positive, values[None], keys, patients)
    area, variance = float(areas[0]), float(covariance[0, 0])
    sides = [len(np.unique(keys[side])) for side in (positive, ~positive)]
    if not variance > NO_VARIANCE or area in (0.0, 1.0) or min(sides) < 2:
        both = f"{sides[0]} and {plural(sides[1], 'patient')}"
        why = f"an AUROC of {area:.3g} in {both} has no variance"
        return replace(newcombe(area, *map(float, sides), level=level), reason=why)
    half = normal_quantile(level) * math.sqrt(variance)
    return Interval(area, *logit_limits(area, half), method)


def clustered_covariance(
    positive: Bools, y_score: Floats, keys: Ints, patients: int
) -> tuple[Floats, Floats]:
    """Return the AUROCs of several scorers on the same images and their covariance over patients.

    Labels (n,) contain both classes; scores (k, n) have a row for each scorer, and ``keys`` (n,)
    are numbers of patients. Shapes are (k,) and (k, k). The covariance is 0 if a class has one
    patient; with one image per patient it equals `delong_covariance`.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    ill, well = np.empty((2, len(y_score), patients))
    areas = np.empty(len(y_score))
    for row, values in enumerate(y_score):
        above, below = placements(positive, values)
        areas[row] = above.mean()
        ill[row] = np.bincount(keys[positive], above - areas[row], patients)
        well[row] = np.bincount(keys[~positive], below - areas[row], patients)
    with_ill, with_well = (len(np.unique(keys[side])) for side in (positive, ~positive))
    if min(with_ill, with_well) < 2:
        return areas, np.zeros((len(y_score), len(y_score)))
    mixed = ill @ well.T
    covariance: Floats = (
        with_ill / (with_ill - 1) * (ill @ ill.T) / m**2
        + with_well / (with_well - 1) * (well @ well.T) / n**2
        + patients / (patients - 1) * (mixed + mixed.T) / (m * n)
    )
    return areas, covariance

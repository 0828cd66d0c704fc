"""Computes the AUROC with several images per patient by formula."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, known
from plainfilm.metrics.intervals import (
    NO_VARIANCE,
    Interval,
    delong,
    newcombe,
    normal_quantile,
    placements,
    undefined,
)


def clustered_delong(
    y_true: ArrayLike, y_score: ArrayLike, groups: ArrayLike, *, level: float = 0.95
) -> Interval:
    """Return the AUROC with an interval that allows for several images per patient.

    The variance is DeLong's with its components summed by patient; the interval is computed on the
    logit scale. With one image per patient it equals `delong`. It is much faster than a bootstrap.

    Parameters
    ----------
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_score
        Scores (n,), finite, on any scale.
    groups
        Patients (n,), values of any type; images with equal values are from one patient.
    level
        Confidence level, between 0 and 1.

    Returns
    -------
    Interval
        Without variance (an AUROC of 0 or 1), from `newcombe` with the numbers of patients in
        place of images.

    References
    ----------
    N. A. Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997)
    567-578.
    """
    from scipy.special import expit, logit

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
        bound = newcombe(area, *map(float, sides), level=level)
        return Interval(area, bound.low, bound.high, bound.method, why)
    half = normal_quantile(level) * math.sqrt(variance) / (area * (1 - area))
    low, high = (float(expit(logit(area) + side * half)) for side in (-1, 1))
    return Interval(area, low, high, method)


def clustered_covariance(
    positive: Bools, y_score: Floats, keys: Ints, patients: int
) -> tuple[Floats, Floats]:
    """Return the AUROCs of several scorers on the same images and their covariance over patients.

    Parameters
    ----------
    positive
        Labels (n,) with both classes.
    y_score
        Scores (k, n), one row per scorer.
    keys
        Patient of each image, (n,), 0 to ``patients - 1``.
    patients
        Number of patients.

    Returns
    -------
    areas, covariance
        AUROCs (k,) and covariance (k, k), the latter 0 if a class has one patient. With one image
        per patient it equals `delong_covariance`.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    ill = np.empty((len(y_score), patients))
    well = np.empty((len(y_score), patients))
    areas = np.empty(len(y_score))
    for row, values in enumerate(y_score):
        above, below = placements(positive, values)
        areas[row] = above.mean()
        ill[row] = np.bincount(keys[positive], above - areas[row], patients)
        well[row] = np.bincount(keys[~positive], below - areas[row], patients)
    with_ill = int(np.count_nonzero(np.bincount(keys[positive])))
    with_well = int(np.count_nonzero(np.bincount(keys[~positive])))
    if min(with_ill, with_well) < 2:
        return areas, np.zeros((len(y_score), len(y_score)))
    mixed = ill @ well.T
    covariance: Floats = (
        with_ill / (with_ill - 1) * (ill @ ill.T) / m**2
        + with_well / (with_well - 1) * (well @ well.T) / n**2
        + patients / (patients - 1) * (mixed + mixed.T) / (m * n)
    )
    return areas, covariance

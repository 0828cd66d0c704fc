"""The area under the ROC curve where a patient has several images, by formula."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, known
from plainfilm.metrics.intervals import (
    Interval,
    delong,
    midranks,
    newcombe,
    normal_quantile,
    undefined,
)

__all__ = ["clustered_covariance", "clustered_delong"]


def clustered_delong(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, level: float = 0.95
) -> Interval:
    """Return the AUROC with an interval that knows which images belong to one patient.

    DeLong's variance with its components summed by patient, made on the logit scale. Where every
    patient has one image it is `delong`. It takes a moment where a bootstrap takes seconds.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    scores
        (n,), finite, of any scale.
    groups
        (n,) of any kind: images with equal ones are of one patient.
    level
        Confidence, 0 to 1.

    Returns
    -------
    interval
        Where there is no variance (an AUROC of 0 or 1), `newcombe`'s, with the number of patients
        in place of images.

    References
    ----------
    N. A. Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997)
    567-578.
    """
    keys = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    truth = np.asarray(labels, dtype=np.float64).reshape(-1)
    if keys.size != truth.size:
        raise MetricError(
            "every image needs a patient", received=f"{truth.size} labels, {keys.size} patients"
        )
    kept = ~np.isnan(truth)
    positive, values, _ = known(labels, scores)
    keys = np.unique(keys[kept], return_inverse=True)[1]
    patients = int(keys.max(initial=-1)) + 1
    if patients == positive.size:
        return delong(positive, values, level=level)
    percent = f"{100 * level:.3g} %"
    method = f"clustered DeLong over {patients} patients, logit scale, {percent}"
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return undefined(method, f"there is no {'positive' if m == 0 else 'negative'} image")
    areas, covariance = clustered_covariance(positive, values[None], keys, patients)
    area, variance = float(areas[0]), float(covariance[0, 0])
    sides = [len(np.unique(keys[side])) for side in (positive, ~positive)]
    if not variance > 1e-28 or area in (0.0, 1.0) or min(sides) < 2:
        why = f"an AUROC of {area:.3g} among {sides[0]} and {sides[1]} patients has no variance"
        bound = newcombe(area, *map(float, sides), level=level)
        return Interval(area, bound.low, bound.high, bound.method, why)
    half = normal_quantile(level) * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-end)) for end in (middle - half, middle + half))
    return Interval(area, low, high, method)


def clustered_covariance(
    positive: Bools, scores: Floats, keys: Ints, patients: int
) -> tuple[Floats, Floats]:
    """Return AUROCs of several scorers on the same images, and their covariance over patients.

    Parameters
    ----------
    positive
        (n,): truth, both classes present.
    scores
        (k, n): one row per scorer.
    keys
        (n,): patient of each image, 0 to ``patients - 1``.
    patients
        How many there are.

    Returns
    -------
    AUROCs (k,) and covariance (k, k), the latter 0 where a class is of one patient. With one image
    a patient it is `delong_covariance`.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    ill = np.empty((len(scores), patients))
    well = np.empty((len(scores), patients))
    areas = np.empty(len(scores))
    for row, values in enumerate(scores):
        ranks = midranks(values)
        above = (ranks[positive] - midranks(values[positive])) / n  # share of negatives below
        below = 1 - (ranks[~positive] - midranks(values[~positive])) / m
        areas[row] = above.mean()
        ill[row] = np.bincount(keys[positive], above - areas[row], patients)
        well[row] = np.bincount(keys[~positive], below - areas[row], patients)
    with_ill = int(np.count_nonzero(np.bincount(keys[positive])))
    with_well = int(np.count_nonzero(np.bincount(keys[~positive])))
    if min(with_ill, with_well) < 2:
        return areas, np.zeros((len(scores), len(scores)))
    mixed = ill @ well.T
    covariance: Floats = (
        with_ill / (with_ill - 1) * (ill @ ill.T) / m**2
        + with_well / (with_well - 1) * (well @ well.T) / n**2
        + patients / (patients - 1) * (mixed + mixed.T) / (m * n)
    )
    return areas, covariance

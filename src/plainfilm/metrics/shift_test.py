"""Tests label shift: whether new scores are a mixture of those of the classes in validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Floats, Ints, Patients, as_scores, group_index
from plainfilm.records import ScoreCounts

_FEWEST = 5.0  # expected images in a bin of a chi-squared test


@dataclass(frozen=True, slots=True)
class ShiftTest:
    """The result of `label_shift_test`.

    Attributes
    ----------
    p
        p-value; NaN where the test cannot be made. A small one rejects label shift.
    statistic, freedom
        Chi-squared statistic and its degrees of freedom.
    shares
        Shares of the classes with which the mixture fits best; they need no calibration.
    reason
        Reason why the test cannot be made, or None.
    """

    p: float
    statistic: float
    freedom: int
    shares: tuple[float, ...]
    reason: str | None = None


def count_scores(
    y_class: ArrayLike,
    y_score: ArrayLike,
    classes: int,
    *,
    patients: Patients = None,
    bins: int = 10,
) -> ScoreCounts:
    """Count validation images by class and score, in bins that each hold about as many images.

    Parameters
    ----------
    y_class
        Number of the class of each image (n,), 0 to ``classes - 1``; -1 is unknown.
    y_score, patients
        See `plainfilm.metrics`.
    classes, bins
        Number of classes, and largest number of bins.
    """
    numbers = np.asarray(y_class)
    scores = as_scores(y_score, numbers.shape)
    groups, _ = group_index(patients, len(numbers))
    keep = numbers >= 0
    numbers, scores, groups = numbers[keep], scores[keep], groups[keep]
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    # A class counts as much as any other, so that a rare one has bins of its own.
    each = [np.quantile(scores[numbers == one], inner) for one in np.unique(numbers)]
    edges = np.unique(np.quantile(np.concatenate(each), inner)) if each else np.empty(0)
    where = np.searchsorted(edges, scores, side="right")
    counts, effects = [], []
    for one in range(classes):
        own = numbers == one
        counts.append(tuple(np.bincount(where[own], minlength=len(edges) + 1).tolist()))
        effects.append(_design_effect(where[own], groups[own]))
    return ScoreCounts(tuple(edges.tolist()), tuple(counts), tuple(effects))


def _design_effect(where: Ints, groups: Ints) -> float:
    """Return the mean ratio of the clustered to the multinomial variance of bins, at least 1."""
    if not len(where):
        return 1.0
    count = int(where.max()) + 1
    _, numbers = np.unique(groups, return_inverse=True)
    size = int(numbers.max()) + 1
    if size == len(where) or size < 2:
        return 1.0
    shares = np.bincount(where, minlength=count) / len(where)
    sums = np.zeros((size, count))
    np.add.at(sums, (numbers, where), 1.0)
    sums -= np.bincount(numbers, minlength=size)[:, None] * shares
    clustered = (sums**2).sum(axis=0) * size / (size - 1)
    return max(1.0, float(clustered.sum() / (len(where) * (shares * (1 - shares)).sum() or 1.0)))


def label_shift_test(
    y_score: ArrayLike, reference: ScoreCounts, *, patients: Patients = None
) -> ShiftTest:
    """Test whether scores are a mixture of those of the classes in validation.

    A minimum chi-squared test: the shares of the mixture are those with which it fits best, and
    what then remains is compared with what chance explains, in both samples. Several images of a
    patient count less, by a design effect (Rao and Scott, first order).

    Parameters
    ----------
    y_score, patients
        See `plainfilm.metrics`.
    reference
        The distribution of the same score in validation.

    References
    ----------
    L. P. Hansen, Econometrica 50 (1982) 1029-1054, on the test of overidentifying restrictions;
    J. N. K. Rao & A. J. Scott, J. Am. Stat. Assoc. 76 (1981) 221-230.
    """
    scores = np.asarray(y_score, np.float64)
    scores = as_scores(scores, (scores.size,))
    groups, _ = group_index(patients, len(scores))
    counts = np.array(reference.counts, np.float64)
    classes = len(counts)
    nothing = ShiftTest(math.nan, math.nan, 0, (math.nan,) * classes)
    sizes = counts.sum(axis=1)
    if np.any(sizes < 1) or not len(scores):
        return replace(nothing, reason="a class has no validation image, or there is no new image")
    where = np.searchsorted(np.array(reference.edges), scores, side="right")
    merged = _merge(counts, len(scores) / _design_effect(where, groups))
    where = merged[where]
    bins = int(merged.max()) + 1
    if bins <= classes:
        return replace(nothing, reason="there are too few images to compare distributions")
    densities = np.zeros((classes, bins))
    for column, to in enumerate(merged):
        densities[:, to] += counts[:, column] / sizes
    observed = np.bincount(where, minlength=bins) / len(scores)
    own = _design_effect(where, groups) / len(scores)
    effects = np.array(reference.design_effects) / sizes
    shares, statistic = _fit_mixture(observed, densities, own, effects)
    freedom = bins - classes
    from scipy.special import chdtrc

    return ShiftTest(float(chdtrc(freedom, statistic)), statistic, freedom, tuple(shares.tolist()))


def _merge(counts: Floats, images: float) -> Ints:
    """Return the merged bin of each bin, so that each merged one expects enough images.

    The classes are taken as equally frequent, so that the observed scores have no influence.
    """
    shares = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    expected = np.minimum(shares * images, shares * float(counts.sum(axis=1).min()))
    merged, number, held = np.zeros(len(shares), np.intp), 0, 0.0
    for column, own in enumerate(expected):
        if held >= _FEWEST:
            number, held = number + 1, 0.0
        merged[column] = number
        held += own
    if held < _FEWEST and number:
        merged[merged == number] = number - 1
    return merged


def _fit_mixture(
    observed: Floats, densities: Floats, own: float, effects: Floats
) -> tuple[Floats, float]:
    """Return the shares (classes,) of the best mixture and the chi-squared distance to it.

    ``own`` and ``effects`` (classes,) are the design effects divided by the numbers of images.
    """
    classes = len(densities)
    shares = np.full(classes, 1 / classes)
    free = (densities[:-1] - densities[-1])[:, :-1].T  # (bins - 1, classes - 1)
    target = (observed - densities[-1])[:-1]

    def covariance(density: Floats) -> Floats:
        return np.diag(density[:-1]) - np.outer(density[:-1], density[:-1])

    distance = math.inf
    for _ in range(20):
        weight = own * covariance(shares @ densities)
        for share, density, effect in zip(shares, densities, effects, strict=True):
            weight = weight + share**2 * effect * covariance(density)
        inverse = np.linalg.pinv(weight, hermitian=True)
        found = np.linalg.lstsq(free.T @ inverse @ free, free.T @ inverse @ target, rcond=None)[0]
        following = np.clip(np.append(found, 1 - found.sum()), 0, None)
        following /= following.sum()
        gap = target - free @ following[:-1]
        distance = float(gap @ inverse @ gap)
        if np.abs(following - shares).max() < 1e-8:
            break
        shares = following
    return shares, distance

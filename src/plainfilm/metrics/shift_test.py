"""Tests label shift: whether new scores are a mixture of those of the classes in validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Floats, Ints, Patients, as_scores, group_index
from plainfilm.records import ScoreCounts

_ITERATIONS = 20_000
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

    Pearson's chi-squared test of both samples: the shares of the mixture and the distributions of
    the classes are those with the highest likelihood. Several images of a patient count less, by a
    design effect (Rao and Scott, first order).

    Parameters
    ----------
    y_score, patients
        See `plainfilm.metrics`.
    reference
        The distribution of the same score in validation.

    References
    ----------
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
    pooled = np.zeros((classes, bins))
    for column, to in enumerate(merged):
        pooled[:, to] += counts[:, column]
    observed = np.bincount(where, minlength=bins) / _design_effect(where, groups)
    effects = np.array(reference.design_effects)[:, None]
    shares, statistic = _fit_mixture(observed, pooled / effects, classes)
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


def _fit_mixture(observed: Floats, validation: Floats, classes: int) -> tuple[Floats, float]:
    """Return the shares (classes,) of the best mixture and Pearson's distance to it.

    The densities of the classes are fitted to both samples together (EM algorithm), because few
    validation images determine them. ``observed`` (bins,) and ``validation`` (classes, bins) are
    counts divided by design effects.
    """
    sizes = validation.sum(axis=1)
    densities = (validation + 0.5) / (validation + 0.5).sum(axis=1, keepdims=True)
    shares = np.full(classes, 1 / classes)
    for _ in range(_ITERATIONS):
        weights = shares[:, None] * densities
        weights /= np.maximum(weights.sum(axis=0), 1e-300)
        joint = validation + weights * observed
        following = (weights * observed).sum(axis=1) / observed.sum()
        densities = joint / joint.sum(axis=1, keepdims=True)
        change = float(np.abs(following - shares).max())
        shares = following
        if change < 1e-9:
            break
    expected = np.vstack([observed.sum() * (shares @ densities), sizes[:, None] * densities])
    counts = np.vstack([observed, validation])
    used = expected > 0
    return shares, float(((counts - expected)[used] ** 2 / expected[used]).sum())

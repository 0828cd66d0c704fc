"""Computes the AUROC within strata, such as the views or sites of the images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, known, known_groups
from plainfilm.metrics.auroc import NO_VARIANCE
from plainfilm.metrics.intervals import Interval, logit_limits, newcombe, undefined
from plainfilm.metrics.paired import PairedTest, patients_of

_NO_PAIRS = "no stratum has images of both classes"


def stratified_auroc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    strata: Patients,
    *,
    patients: Patients = None,
    level: float = 0.95,
) -> Interval:
    """Return the AUROC over the pairs of images of one stratum, with its interval.

    It is the probability that a positive image scores above a negative one of the same stratum,
    over all such pairs. A score that only recognises the stratum has 0.5, however the strata differ
    in prevalence; its AUROC over all pairs can have any value.

    The standard error is that of the jackknife: every patient is left out once, with all images and
    pairs. The interval is on the logit scale, with Student's t; it allows for random sizes of the
    strata.

    Parameters
    ----------
    y_true, y_score, patients, level
        See `plainfilm.metrics`.
    strata
        Strata (n,), text or numbers. A patient may have images in several. A stratum with images of
        one class has no pairs.

    Returns
    -------
    Interval
        Undefined if no stratum has both classes. An AUROC without variance (0 or 1) has the limits
        of `newcombe`, for as many patients as the pairs of the strata are worth.

    References
    ----------
    H. Janes & M. S. Pepe, Biometrika 96 (2009) 371-382, on AUROCs within strata; J. N. Arvesen,
    Ann. Math. Stat. 40 (1969) 2076-2100, on the jackknife of such means over pairs.

    Examples
    --------
    >>> y_true, y_score = [0, 1, 1, 0, 0, 1], [0.7, 0.8, 0.9, 0.1, 0.2, 0.3]
    >>> stratified_auroc(y_true, y_score, ["AP", "AP", "AP", "PA", "PA", "PA"]).value
    1.0
    """
    positive, values, _ = known(y_true, y_score)
    groups, count = patients_of(y_true, patients)
    own = known_groups(y_true, strata)[0]
    within = _leave_each_out(positive, values, own, groups)
    method = f"jackknife within strata, {_units(count, positive)}, logit scale, {100 * level:g} %"
    if within is None:
        return undefined(method, _NO_PAIRS)
    error = within.standard_error
    if not error**2 > NO_VARIANCE or within.area in (0.0, 1.0):
        why = f"an AUROC of {within.area:.3g} within strata has no variance"
        sizes = _worth(positive, own, groups)
        return replace(newcombe(within.area, *sizes, level=level), reason=why)
    half = _quantile(positive, groups, level) * error
    return Interval(within.area, *logit_limits(within.area, half), method)


def stratified_difference(
    y_true: ArrayLike,
    y_score: ArrayLike,
    strata: Patients,
    *,
    patients: Patients = None,
    level: float = 0.95,
) -> PairedTest:
    """Test whether the AUROC within strata differs from that over all pairs of images.

    See `stratified_auroc` for the parameters. The difference is within strata minus all pairs; both
    are of the same images, and the interval allows for that.

    Returns
    -------
    PairedTest
        The difference is undefined if no stratum has images of both classes.
    """
    positive, values, _ = known(y_true, y_score)
    groups, count = patients_of(y_true, patients)
    own = known_groups(y_true, strata)[0]
    method = f"paired jackknife, {_units(count, positive)}, {100 * level:g} %"
    within = _leave_each_out(positive, values, own, groups)
    pooled = _leave_each_out(positive, values, np.zeros_like(own), groups)
    if within is None or pooled is None:
        return PairedTest(undefined(method, _NO_PAIRS), math.nan, math.nan, method, _NO_PAIRS)
    gap = _Jackknife(within.area - pooled.area, within.without - pooled.without)
    value, error = gap.area, gap.standard_error
    if not error**2 > NO_VARIANCE:
        same, why = abs(value) < 1e-12, "the difference does not vary between patients"
        empty = Interval(value, math.nan, math.nan, method, why)
        return PairedTest(empty, 1.0 if same else math.nan, math.nan, method, why)
    from scipy.special import stdtr

    half = _quantile(positive, groups, level) * error
    low, high = max(-1.0, value - half), min(1.0, value + half)
    p = 2 * float(stdtr(_freedom(positive, groups), -abs(value) / error))
    return PairedTest(Interval(value, low, high, method), p, error, method)


def _units(patients: int, positive: Bools) -> str:
    clustered = patients < len(positive)
    return plural(patients, "patient", separator="") if clustered else "by image"


def _freedom(positive: Bools, groups: Ints) -> int:
    """Return the degrees of freedom: patients of the rarer class less one, at least 1."""
    return max(min(len(np.unique(groups[side])) for side in (positive, ~positive)) - 1, 1)


def _quantile(positive: Bools, groups: Ints, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(_freedom(positive, groups), (1 + level) / 2))


@dataclass(frozen=True, slots=True, eq=False)
class _Jackknife:
    """An AUROC, and the same without each patient (patients,); NaN where no pair is left."""

    area: float
    without: Floats

    @property
    def standard_error(self) -> float:
        """Return the jackknife's standard error; NaN if it is undefined without some patient."""
        count = len(self.without)
        apart = self.without - self.without.mean()
        return math.sqrt((count - 1) / count * float(apart @ apart))


def _leave_each_out(
    positive: Bools, y_score: Floats, strata: Ints, groups: Ints
) -> _Jackknife | None:
    """Return the AUROC over the pairs of one stratum; None without pairs."""
    count = int(groups.max(initial=-1)) + 1
    won, rivals = _pairs(positive, y_score, strata)
    pairs, wins = float(rivals[positive].sum()), float(won[positive].sum())
    if not pairs:
        return None
    # A patient takes the pairs of all his images along; those of two of them are counted twice.
    own = np.unique(strata * count + groups, return_inverse=True)[1]
    twice = [one[positive] for one in _pairs(positive, y_score, own)]
    lost_wins, lost = (
        np.bincount(groups, every, count) - np.bincount(groups[positive], one, count)
        for every, one in zip((won, rivals), twice, strict=True)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Jackknife(wins / pairs, (wins - lost_wins) / (pairs - lost))


def _pairs(positive: Bools, y_score: Floats, strata: Ints) -> tuple[Floats, Floats]:
    """Return how many pairs of its stratum each image is in, after those that are ranked right.

    Of two equal scores a half is ranked right.
    """
    rivals = np.empty(len(positive))
    for side in (positive, ~positive):
        rivals[side] = np.bincount(strata[~side], minlength=int(strata.max()) + 1)[strata[side]]
    lower = _ranks(y_score, strata) - _ranks(y_score, 2 * strata + positive)
    return np.where(positive, lower, rivals - lower), rivals


def _ranks(values: Floats, cells: Ints) -> Floats:
    """Return ranks within each cell from 1; equal values share the mean of their ranks."""
    order = np.lexsort((values, cells))
    own, sorted_ = cells[order], values[order]
    is_first = np.r_[True, own[1:] != own[:-1]]
    firsts = np.flatnonzero(is_first)
    starts = np.flatnonzero(is_first | np.r_[True, sorted_[1:] != sorted_[:-1]])
    ties = np.diff(np.r_[starts, len(order)])
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(starts + (ties + 1) / 2, ties)
    ranks[order] -= np.repeat(firsts, np.diff(np.r_[firsts, len(order)]))
    return ranks


def _worth(positive: Bools, strata: Ints, groups: Ints) -> tuple[float, float]:
    """Return how many patients of each class, without strata, the pairs count as.

    The variance of an AUROC is about a sum of reciprocal numbers, and the AUROC within strata is a
    mean of those of the strata, with their shares of the pairs as weights.
    """
    size = int(strata.max()) + 1
    sides = [np.bincount(strata[side], minlength=size) for side in (positive, ~positive)]
    weights = sides[0] * sides[1] / (sides[0] @ sides[1])
    used = weights > 0
    patients = []
    for side in (positive, ~positive):
        cells = np.unique(np.stack([strata[side], groups[side]]), axis=1)[0]
        patients.append(np.bincount(cells, minlength=size)[used])
    ill, well = (float(1 / (weights[used] ** 2 / own).sum()) for own in patients)
    return ill, well

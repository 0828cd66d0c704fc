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
    return _Images.of(y_true, y_score, strata, patients, level).within()


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
    return _Images.of(y_true, y_score, strata, patients, level).difference()


def stratified_comparison(
    y_true: ArrayLike,
    y_score: ArrayLike,
    strata: Patients,
    *,
    patients: Patients = None,
    level: float = 0.95,
) -> tuple[Interval, PairedTest]:
    """Return the results of `stratified_auroc` and `stratified_difference`, in less time."""
    images = _Images.of(y_true, y_score, strata, patients, level)
    return images.within(), images.difference()


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """Images of known label, and their AUROC within strata; None without pairs."""

    positive: Bools
    y_score: Floats
    strata: Ints
    groups: Ints
    level: float
    jackknife: _Jackknife | None

    @classmethod
    def of(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        strata: Patients,
        patients: Patients,
        level: float,
    ) -> _Images:
        positive, values, _ = known(y_true, y_score)
        own, groups = known_groups(y_true, strata)[0], patients_of(y_true, patients)[0]
        jackknife = _leave_each_out(positive, values, own, groups)
        return cls(positive, values, own, groups, level, jackknife)

    def within(self) -> Interval:
        """Return the AUROC within strata."""
        found, level = self.jackknife, self.level
        method = f"jackknife within strata, {self.units}, logit scale, {100 * level:g} %"
        if found is None:
            return undefined(method, _NO_PAIRS)
        error = found.standard_error
        if not error**2 > NO_VARIANCE or found.area in (0.0, 1.0):
            why = f"an AUROC of {found.area:.3g} within strata has no variance"
            sizes = _worth(self.positive, self.strata, self.groups)
            return replace(newcombe(found.area, *sizes, level=level), reason=why)
        return Interval(found.area, *logit_limits(found.area, self.quantile * error), method)

    def difference(self) -> PairedTest:
        """Test the AUROC within strata against that over all pairs."""
        from scipy.special import stdtr

        method = f"paired jackknife, {self.units}, {100 * self.level:g} %"
        within, one = self.jackknife, np.zeros_like(self.strata)
        pooled = _leave_each_out(self.positive, self.y_score, one, self.groups)
        if within is None or pooled is None:
            return PairedTest(undefined(method, _NO_PAIRS), math.nan, math.nan, method, _NO_PAIRS)
        gap = _Jackknife(within.area - pooled.area, within.without - pooled.without)
        value, error = gap.area, gap.standard_error
        if not error**2 > NO_VARIANCE:
            same, why = abs(value) < 1e-12, "the difference does not vary between patients"
            empty = Interval(value, math.nan, math.nan, method, why)
            return PairedTest(empty, 1.0 if same else math.nan, math.nan, method, why)
        half = self.quantile * error
        low, high = max(-1.0, value - half), min(1.0, value + half)
        p = 2 * float(stdtr(self.freedom, -abs(value) / error))
        return PairedTest(Interval(value, low, high, method), p, error, method)

    @property
    def units(self) -> str:
        """Return over what the jackknife is, in words."""
        patients = int(self.groups.max(initial=-1)) + 1
        clustered = patients < len(self.positive)
        return plural(patients, "patient", separator="") if clustered else "by image"

    @property
    def freedom(self) -> int:
        """Return the degrees of freedom: patients of the rarer class less one, at least 1."""
        sides = (np.bincount(self.groups[side]) for side in (self.positive, ~self.positive))
        return max(min(int(np.count_nonzero(side)) for side in sides) - 1, 1)

    @property
    def quantile(self) -> float:
        """Return the quantile of Student's t at the level."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, (1 + self.level) / 2))


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
    codes = np.unique(y_score, return_inverse=True)[1].reshape(-1)
    won, rivals = _pairs(positive, codes, strata)
    pairs, wins = float(rivals[positive].sum()), float(won[positive].sum())
    if not pairs:
        return None
    lost_wins, lost = (np.bincount(groups, one, count) for one in (won, rivals))
    # A patient takes the pairs of all images along; a pair of two of them was counted twice.
    sides = [np.bincount(groups[side], minlength=count) > 0 for side in (positive, ~positive)]
    mixed = np.flatnonzero((sides[0] & sides[1])[groups])
    if len(mixed):
        cells = np.unique(strata[mixed] * count + groups[mixed], return_inverse=True)[1].reshape(-1)
        own, keys = positive[mixed], groups[mixed]
        twice = _pairs(own, codes[mixed], cells)
        lost_wins -= np.bincount(keys[own], twice[0][own], count)
        lost -= np.bincount(keys[own], twice[1][own], count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Jackknife(wins / pairs, (wins - lost_wins) / (pairs - lost))


def _pairs(positive: Bools, codes: Ints, strata: Ints) -> tuple[Floats, Floats]:
    """Return how many pairs of its stratum each image ranks right, and how many it has.

    ``codes`` are the numbers of the scores in ascending order. Of two equal scores a half is right.
    """
    keys = strata * (int(codes.max()) + 1) + codes
    order = np.argsort(keys)
    is_first = np.r_[True, np.diff(keys[order]) != 0]
    tie = np.cumsum(is_first) - 1  # images of one stratum and score
    where = np.empty(len(order), np.intp)
    where[order] = tie
    stratum = strata[order][is_first]
    won, rivals = np.empty(len(order)), np.empty(len(order))
    for side in (positive, ~positive):
        others = np.bincount(tie, ~side[order])
        total = np.bincount(stratum, others)
        before = np.r_[0.0, np.cumsum(total)][stratum]
        lower = np.cumsum(others) - others / 2 - before
        rivals[side] = total[strata[side]]
        won[side] = lower[where[side]]
    won[~positive] = rivals[~positive] - won[~positive]
    return won, rivals


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

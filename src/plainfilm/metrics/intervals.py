"""Computes confidence intervals by formula: proportions and the AUROC."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, known

NO_VARIANCE = 1e-28
"""A variance of zero is below this after rounding; that of 10^6 images of each class is above."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its confidence limits.

    Attributes
    ----------
    value, low, high
        NaN where undefined; a limit is infinite where it is unbounded.
    method
        Method and confidence level, in words for a report.
    reason
        Reason why something is undefined or unusual, or None.
    """

    value: float
    low: float
    high: float
    method: str
    reason: str | None = None


def undefined(method: str, reason: str) -> Interval:
    """Return the interval of an undefined value, with the reason."""
    return Interval(math.nan, math.nan, math.nan, method, reason)


def normal_quantile(level: float) -> float:
    """Return z such that a standard normal is in -z..z with probability ``level`` (0.95: 1.96)."""
    if not 0 < level < 1:
        raise MetricError("the confidence level must be between 0 and 1", received=level)
    return NormalDist().inv_cdf((1 + level) / 2)


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _check_counts(successes: float, trials: float) -> None:
    if not (math.isfinite(trials) and 0 <= successes <= trials):
        raise MetricError(
            "successes must be between 0 and the number of trials",
            received=f"{successes} of {trials}",
        )


def wilson(successes: float, trials: float, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion.

    Parameters
    ----------
    successes, trials
        Counts; fractions are allowed, for effective sample sizes.
    level
        Confidence level, between 0 and 1.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. Its coverage is close to the nominal level
    for small counts and near 0 and 1, where the Wald interval fails (Brown, Cai & DasGupta, Stat.
    Sci. 16 (2001)).
    """
    z = normal_quantile(level)
    method = f"Wilson, {_percent(level)}"
    _check_counts(successes, trials)
    if trials == 0:
        return undefined(method, "there are no trials")
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    half /= 1 + z**2 / trials
    # At the ends the formula gives 0 or 1 up to rounding; return them exactly.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(share, low, high, method)


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Return the exact interval of Clopper and Pearson; its coverage is at least ``level``.

    References
    ----------
    C. J. Clopper & E. S. Pearson, Biometrika 26 (1934) 404-413.
    """
    from scipy.special import betaincinv

    normal_quantile(level)  # checks the level
    method = f"Clopper-Pearson, {_percent(level)}"
    _check_counts(successes, trials)
    if trials == 0:
        return undefined(method, "there are no trials")
    tail, failures = (1 - level) / 2, trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(successes / trials, low, high, method)


def newcombe(auroc: float, positives: float, negatives: float, *, level: float = 0.95) -> Interval:
    """Return the score interval of an AUROC from its value and the class counts.

    Its variance is evaluated at the limit, not at the estimate, so its width is above zero even for
    perfectly separated classes.

    Parameters
    ----------
    auroc
        AUROC, 0 to 1.
    positives, negatives
        Numbers of images, at least 1; numbers of patients are conservative if images are not
        independent.
    level
        Confidence level, between 0 and 1.

    References
    ----------
    R. G. Newcombe, Stat. Med. 25 (2006) 559-573, method 5.
    """
    z = normal_quantile(level)
    if not 0 <= auroc <= 1 or positives < 1 or negatives < 1:
        raise MetricError(
            "the interval needs an AUROC between 0 and 1 and an image of each class",
            received=f"{auroc}, {positives} positives, {negatives} negatives",
        )
    mean_less_one = (positives + negatives) / 2 - 1

    def inside(theta: float) -> bool:
        spread = 1 + mean_less_one * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (positives * negatives)
        return (auroc - theta) ** 2 <= z**2 * variance

    def limit(end: float) -> float:
        # `inside` is true from the estimate to the limit, and false at `end`.
        near, far = auroc, end
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if inside(middle) else (near, middle)
        return near

    low, high = 0.0 if auroc == 0 else limit(0.0), 1.0 if auroc == 1 else limit(1.0)
    return Interval(auroc, low, high, f"Newcombe's score interval, {_percent(level)}")


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
    `clustered_bootstrap` for patients with several images.

    Parameters
    ----------
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_score
        Scores (n,), finite, on any scale.
    level
        Confidence level, between 0 and 1.
    """
    from scipy.special import expit, logit

    positive, values, _ = known(y_true, y_score)
    m, n = int(positive.sum()), int((~positive).sum())
    method = f"DeLong, logit scale, {_percent(level)}"
    z = normal_quantile(level)
    if m == 0 or n == 0:
        return undefined(method, f"there is no {'positive' if m == 0 else 'negative'} image")
    ranks = midranks(values)
    area = float((ranks[positive].sum() - m * (m + 1) / 2) / (m * n))
    if m == 1 or n == 1:
        return _without_variance(area, m, n, level, "a class with one image has no variance")
    _, covariance = delong_covariance(positive, values)
    if covariance[0, 0] <= NO_VARIANCE or area in (0.0, 1.0):
        why = f"DeLong's variance is zero at an AUROC of {area:g}"
        return _without_variance(area, m, n, level, why)
    half = z * math.sqrt(covariance[0, 0]) / (area * (1 - area))
    low, high = (float(expit(logit(area) + side * half)) for side in (-1, 1))
    return Interval(area, low, high, method)


def _without_variance(area: float, m: int, n: int, level: float, why: str) -> Interval:
    other = newcombe(area, m, n, level=level)
    return Interval(other.value, other.low, other.high, other.method, why)

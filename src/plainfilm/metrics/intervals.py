"""Confidence intervals with a formula: proportions and the area under the ROC curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, known

__all__ = [
    "Interval",
    "clopper_pearson",
    "delong",
    "delong_covariance",
    "newcombe",
    "normal_quantile",
    "undefined",
    "wilson",
]


_NO_VARIANCE = 1e-28
"""Rounding leaves less than this of a variance of zero; 10^6 images of each class leave more."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its confidence limits.

    Attributes
    ----------
    value, low, high
        NaN where undefined; a limit may be infinite where it is unbounded.
    method
        How the limits were made, with the level, in words fit for a report.
    reason
        Why something is undefined or out of the ordinary, or None.
    """

    value: float
    low: float
    high: float
    method: str
    reason: str | None = None

    def to_json(self) -> dict[str, float | str | None]:
        """Return a mapping in which whatever is not finite is None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        answer: dict[str, float | str | None] = {
            name: float(number) if math.isfinite(number) else None
            for name, number in numbers.items()
        }
        answer["method"] = self.method
        if self.reason is not None:
            answer["reason"] = self.reason
        return answer


def undefined(method: str, reason: str) -> Interval:
    """Return the interval of a value that does not exist, with the reason."""
    return Interval(math.nan, math.nan, math.nan, method, reason)


def normal_quantile(level: float) -> float:
    """Return z so that a standard normal lies in -z..z with probability ``level`` (0.95: 1.96)."""
    if not 0 < level < 1:
        raise MetricError("the confidence level must lie between 0 and 1", received=level)
    return NormalDist().inv_cdf((1 + level) / 2)


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _check_counts(successes: float, trials: float) -> None:
    if not (math.isfinite(trials) and 0 <= successes <= trials):
        raise MetricError(
            "successes must lie between 0 and the number of trials",
            received=f"{successes} of {trials}",
        )


def wilson(successes: float, trials: float, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion.

    Parameters
    ----------
    successes, trials
        Counts; fractions of a count are taken, for effective numbers.
    level
        Confidence, between 0 and 1.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. It keeps its level at small counts and
    near 0 and 1, where the textbook interval fails (Brown, Cai & DasGupta, Stat. Sci. 16 (2001)).
    """
    z = normal_quantile(level)
    method = f"Wilson, {_percent(level)}"
    _check_counts(successes, trials)
    if trials == 0:
        return undefined(method, "nothing to count")
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    half /= 1 + z**2 / trials
    # At the ends the formula gives 0 or 1 up to rounding; give them exactly.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(share, low, high, method)


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Return the exact interval of Clopper and Pearson: never below its level, often above it.

    References
    ----------
    C. J. Clopper & E. S. Pearson, Biometrika 26 (1934) 404-413.
    """
    from scipy.special import betaincinv

    normal_quantile(level)  # checks the level
    method = f"Clopper-Pearson, {_percent(level)}"
    _check_counts(successes, trials)
    if trials == 0:
        return undefined(method, "nothing to count")
    tail, failures = (1 - level) / 2, trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(successes / trials, low, high, method)


def newcombe(auroc: float, positives: float, negatives: float, *, level: float = 0.95) -> Interval:
    """Return the score interval of an AUROC from the value and the class counts alone.

    Its variance is taken at the limit that is being sought, not at the estimate, so it has a
    width even where the classes are perfectly separated.

    Parameters
    ----------
    auroc
        0 to 1.
    positives, negatives
        Numbers of images (or of patients, to be on the safe side where images are not
        independent), at least 1.

    References
    ----------
    R. G. Newcombe, Stat. Med. 25 (2006) 559-573, method 5.
    """
    z = normal_quantile(level)
    if not 0 <= auroc <= 1 or positives < 1 or negatives < 1:
        raise MetricError(
            "this needs an AUROC of 0 to 1 and one image of each class",
            received=f"{auroc}, {positives} positives, {negatives} negatives",
        )
    mean_less_one = (positives + negatives) / 2 - 1

    def inside(theta: float) -> bool:
        spread = 1 + mean_less_one * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (positives * negatives)
        return (auroc - theta) ** 2 <= z**2 * variance

    def limit(end: float) -> float:
        # `inside` holds from the estimate outwards up to the limit, and not at `end`.
        near, far = auroc, end
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if inside(middle) else (near, middle)
        return near

    low, high = 0.0 if auroc == 0 else limit(0.0), 1.0 if auroc == 1 else limit(1.0)
    return Interval(auroc, low, high, f"Newcombe's score interval, {_percent(level)}")


def midranks(values: Floats) -> Floats:
    """Return ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def delong_covariance(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return AUROCs of several scorers on the same images, and their covariance.

    Parameters
    ----------
    labels
        (n,) of 1 or 0, without NaN, two of each class at least.
    scores
        (k, n): one row per scorer, finite.

    Returns
    -------
    AUROCs (k,) and covariance (k, k).

    References
    ----------
    E. R. DeLong, D. M. DeLong & D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845, in the
    O(n log n) form of X. Sun & W. Xu, IEEE Signal Process. Lett. 21 (2014) 1389-1393.
    """
    matrix = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    for row in matrix:
        positive, _, _ = known(labels, row)
    if positive.size != matrix.shape[1]:
        raise MetricError("DeLong's method takes known labels only", remedy="mask NaN first")
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise MetricError(
            "DeLong's variance needs two images of each class",
            received=f"{m} positives, {n} negatives",
        )
    over_negatives = np.empty((len(matrix), m))
    over_positives = np.empty((len(matrix), n))
    for index, row in enumerate(matrix):
        ranks = midranks(row)
        over_negatives[index] = (ranks[positive] - midranks(row[positive])) / n
        over_positives[index] = 1 - (ranks[~positive] - midranks(row[~positive])) / m
    covariance = (
        np.atleast_2d(np.cov(over_negatives)) / m + np.atleast_2d(np.cov(over_positives)) / n
    )
    return over_negatives.mean(axis=1), covariance


def delong(labels: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the AUROC with DeLong's interval, made on the logit scale.

    On that scale the limits stay within 0..1 and the interval is lopsided as it should be near
    the ends (M. S. Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2). Where
    DeLong's variance is zero (AUROC of 0 or 1) or does not exist (one image in a class), the
    interval is `newcombe`'s, and ``reason`` says so. Images are taken as independent; see
    `clustered_bootstrap` where patients have several.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    scores
        (n,), finite, of any scale.
    """
    positive, values, _ = known(labels, scores)
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
    if covariance[0, 0] <= _NO_VARIANCE or area in (0.0, 1.0):
        why = f"DeLong's variance is zero at an AUROC of {area:g}"
        return _without_variance(area, m, n, level, why)
    half = z * math.sqrt(covariance[0, 0]) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    return Interval(area, _expit(middle - half), _expit(middle + half), method)


def _without_variance(area: float, m: int, n: int, level: float, why: str) -> Interval:
    other = newcombe(area, m, n, level=level)
    return Interval(other.value, other.low, other.high, other.method, why)


def _expit(value: float) -> float:
    # tanh does not overflow, whatever the size of the value.
    return 0.5 * (1 + math.tanh(value / 2))

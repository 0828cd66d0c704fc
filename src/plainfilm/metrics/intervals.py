"""Computes confidence intervals by formula: proportions, an AUROC, and differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from plainfilm.errors import MetricError

_MOVER = "from the two intervals (MOVER)"


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


def logit_limits(value: float, half: float) -> tuple[float, float]:
    """Return limits at equal distance on the logit scale, ``half`` of the value's own scale."""
    from scipy.special import expit, logit

    reach = half / (value * (1 - value))
    return float(expit(logit(value) - reach)), float(expit(logit(value) + reach))


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

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. Its coverage is close to the nominal level
    for small counts and near 0 and 1, where the Wald interval fails (Brown, Cai & DasGupta, Stat.
    Sci. 16 (2001)).
    """
    z = normal_quantile(level)
    method = f"Wilson, {100 * level:g} %"
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
    method = f"Clopper-Pearson, {100 * level:g} %"
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
    return Interval(auroc, low, high, f"Newcombe's score interval, {100 * level:g} %")


def independent_difference(first: Interval, second: Interval) -> Interval:
    """Return first - second with an interval, for estimates from different patients.

    The limits are recovered from those of the two estimates (method of variance estimates
    recovery). They keep the properties of the two methods: skewness, small samples, clustering by
    patient. Both intervals must have the same level.

    Parameters
    ----------
    first, second
        Values of one metric on two sets of patients without a common patient.

    Returns
    -------
    Interval
        NaN where a value or a limit is undefined or unbounded, with the reason.

    References
    ----------
    G. Y. Zou & A. Donner, Stat. Med. 27 (2008) 1693-1702; for two proportions with Wilson's limits
    it is method 10 of R. G. Newcombe, Stat. Med. 17 (1998) 873-890.

    Examples
    --------
    >>> found = independent_difference(wilson(56, 70), wilson(48, 80))
    >>> f"{found.value:.4f} {found.low:.4f} {found.high:.4f}"
    '0.2000 0.0524 0.3339'
    """
    return correlated_difference(first, second, 0.0)


def correlated_difference(first: Interval, second: Interval, correlation: float) -> Interval:
    """Return first - second with an interval, for estimates with patients in common.

    Parameters
    ----------
    first, second
        Values of one metric with intervals of the same level.
    correlation
        Correlation of the two estimates, -1 to 1; 0 gives `independent_difference`.

    References
    ----------
    G. Y. Zou, Psychol. Methods 12 (2007) 399-413.
    """
    if not -1 <= correlation <= 1:
        raise MetricError("the correlation must be between -1 and 1", received=correlation)
    value = first.value - second.value
    if not math.isfinite(value):
        why = first.reason if not math.isfinite(first.value) else second.reason
        return undefined(_MOVER, why or "one of the two values is undefined")
    ends = (first.low, first.high, second.low, second.high)
    if not all(map(math.isfinite, ends)):
        return Interval(value, math.nan, math.nan, _MOVER, "one of the two has no limits")

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))

    below = reach(first.value - first.low, second.high - second.value)
    above = reach(first.high - first.value, second.value - second.low)
    return Interval(value, value - below, value + above, _MOVER)

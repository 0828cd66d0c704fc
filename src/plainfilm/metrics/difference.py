"""Computes the interval of a difference from the intervals of two estimates."""

from __future__ import annotations

import math

from plainfilm.errors import MetricError
from plainfilm.metrics.intervals import Interval, undefined

_METHOD = "from the two intervals (MOVER)"


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
    >>> from plainfilm.metrics import wilson
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

    Returns
    -------
    Interval
        See `independent_difference`.

    Raises
    ------
    MetricError
        If the correlation is out of range.

    References
    ----------
    G. Y. Zou, Psychol. Methods 12 (2007) 399-413.
    """
    if not -1 <= correlation <= 1:
        raise MetricError("the correlation must be between -1 and 1", received=correlation)
    value = first.value - second.value
    if not math.isfinite(value):
        why = first.reason if not math.isfinite(first.value) else second.reason
        return undefined(_METHOD, why or "one of the two values is undefined")
    ends = (first.low, first.high, second.low, second.high)
    if not all(map(math.isfinite, ends)):
        return Interval(value, math.nan, math.nan, _METHOD, "one of the two has no limits")
    below = _reach(first.value - first.low, second.high - second.value, correlation)
    above = _reach(first.high - first.value, second.value - second.low, correlation)
    return Interval(value, value - below, value + above, _METHOD)


def _reach(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))

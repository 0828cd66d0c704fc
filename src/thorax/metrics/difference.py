"""How far two independent estimates are apart."""

from __future__ import annotations

import math

from thorax.metrics.intervals import Interval, undefined

__all__ = ["independent_difference"]

_METHOD = "from both intervals by squaring and adding (MOVER)"


def independent_difference(first: Interval, second: Interval) -> Interval:
    """Return first - second with an interval, for estimates from different patients.

    The limits are recovered from those of the two, so that each keeps what its own method knows
    (skewness, few patients, several images of one patient). Both must have the same level.

    Parameters
    ----------
    first, second
        Values of one metric on two sets of patients that share none.

    Returns
    -------
    interval
        NaN where a value or a limit is undefined or unbounded, with the reason.

    References
    ----------
    G. Y. Zou & A. Donner, Stat. Med. 27 (2008) 1693-1702; for two proportions with Wilson's limits
    it is method 10 of R. G. Newcombe, Stat. Med. 17 (1998) 873-890.

    Examples
    --------
    >>> from thorax.metrics import wilson
    >>> found = independent_difference(wilson(56, 70), wilson(48, 80))
    >>> f"{found.value:.4f} {found.low:.4f} {found.high:.4f}"
    '0.2000 0.0524 0.3339'
    """
    value = first.value - second.value
    if not math.isfinite(value):
        why = first.reason if not math.isfinite(first.value) else second.reason
        return undefined(_METHOD, why or "one of the two values is undefined")
    ends = (first.low, first.high, second.low, second.high)
    if not all(map(math.isfinite, ends)):
        return Interval(value, math.nan, math.nan, _METHOD, "one of the two has no limits")
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, value - below, value + above, _METHOD)

"""Computes sample sizes for a target precision, and detectable differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from plainfilm.errors import MetricError
from plainfilm.metrics.intervals import Interval, newcombe, wilson

_MOST = 1 << 40


def images_for_proportion(
    share: float, half_width: float, *, level: float = 0.95, design_effect: float = 1.0
) -> int:
    """Return the smallest number of images for a target width of Wilson's interval.

    Parameters
    ----------
    share
        Expected proportion, 0 to 1.
    half_width
        Half of the target width, above 0 and below 0.5.
    design_effect
        Ratio of the variance to that of independent images, above 0; 1 for one image per patient.

    References
    ----------
    W. W. Piegorsch, Comput. Stat. Data Anal. 46 (2004) 309-316, on sample sizes by Wilson's
    interval.

    Examples
    --------
    >>> images_for_proportion(0.9, 0.03)
    388
    """
    if not 0 <= share <= 1:
        raise MetricError("the proportion must be between 0 and 1", received=share)

    return _fewest(lambda n: wilson(share * n, n, level=level), half_width, 1, design_effect)


def images_for_auroc(
    auroc: float,
    half_width: float,
    *,
    prevalence: float,
    level: float = 0.95,
    design_effect: float = 1.0,
) -> int:
    """Return the smallest number of images for a target width of the interval of an AUROC.

    Parameters
    ----------
    auroc
        Expected AUROC, 0 to 1.
    prevalence
        Share of positive images, between 0 and 1.
    half_width, design_effect
        Target and variance, see `images_for_proportion`.

    References
    ----------
    The interval is that of `newcombe`, which needs no scores; N. A. Obuchowski, Stat. Methods Med.
    Res. 7 (1998) 371-392, on sample sizes for ROC studies.
    """
    if not 0 <= auroc <= 1 or not 0 < prevalence < 1:
        raise MetricError(
            "the AUROC must be from 0 to 1, and the prevalence between 0 and 1",
            received=f"{auroc}, {prevalence}",
        )
    least = 1 / min(prevalence, 1 - prevalence)

    def found(n: float) -> Interval:
        return newcombe(auroc, n * prevalence, n * (1 - prevalence), level=level)

    return _fewest(found, half_width, least, design_effect)


def _fewest(
    interval: Callable[[float], Interval], target: float, least: float, design_effect: float
) -> int:
    """Return the smallest n for which n / design effect independent images reach the target."""

    def enough(n: float) -> bool:
        found = interval(max(n / design_effect, least))
        return (found.high - found.low) / 2 <= target

    if not 0 < target < 0.5:
        raise MetricError("the half width must be between 0 and 0.5", received=target)
    if not (design_effect > 0 and math.isfinite(design_effect)):
        raise MetricError("the design effect must be above 0", received=design_effect)
    low, high = 0, max(1, math.ceil(least * design_effect))
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST:
            raise MetricError(
                "no number of images gives such a narrow interval", received=f"half width {target}"
            )
    while high - low > 1:
        middle = (low + high) // 2
        reached = middle / design_effect >= least and enough(middle)
        low, high = (low, middle) if reached else (middle, high)
    return high


def detectable_difference(
    standard_error: float, *, power: float = 0.8, level: float = 0.95
) -> float:
    """Return the difference that a two-sided test detects with the given power.

    The standard error is that of the difference, 0 or more; the power is between 0 and 1, and the
    level is one minus the significance level.

    Examples
    --------
    >>> round(detectable_difference(0.01), 4)
    0.028
    """
    if standard_error < 0 or not 0 < power < 1 or not 0 < level < 1:
        raise MetricError(
            "the standard error must be 0 or more, and power and level between 0 and 1",
            received=f"{standard_error}, {power}, {level}",
        )
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)) * standard_error

"""Intervals where a bootstrap has too few errors to draw from.

With no error at all every replicate is perfect and a percentile interval has no width; with one
or two it is still too narrow. Formulas on the numbers of patients, which are smaller than those
of images, then err to the safe side.
"""

from __future__ import annotations

import numpy as np

from thorax.metrics._inputs import Bools, Ints
from thorax.metrics.intervals import Interval, newcombe, wilson
from thorax.metrics.scores import RATES, rates

__all__ = ["FEW_PATIENTS", "steady"]

FEW_PATIENTS = 10
"""With fewer patients than this on either side of a proportion, its bootstrap is too narrow."""


def _distinct(groups: Ints, where: Bools) -> int:
    return len(np.unique(groups[where]))


def steady(
    name: str, value: float, positive: Bools, called: Bools, groups: Ints, *, level: float
) -> Interval | None:
    """Return the interval of a value that a bootstrap would make too narrow, else None.

    Parameters
    ----------
    name
        A name of `BOOTSTRAP_METRICS`.
    value
        The value on all images.
    positive, called, groups
        (n,): truth, call (unused for ``auroc`` and ``average_precision``) and patient.
    """
    with_positive, with_negative = _distinct(groups, positive), _distinct(groups, ~positive)
    if name in ("auroc", "average_precision"):
        if value not in (0.0, 1.0) or not (with_positive and with_negative):
            return None
        why = "every replicate would be the same; made from the numbers of patients"
        if name == "auroc":
            found = newcombe(value, with_positive, with_negative, level=level)
        else:
            # Boyd, Eng & Page 2013: binomial, the trials being the positives.
            found = wilson(value * with_positive, with_positive, level=level)
        return Interval(value, found.low, found.high, found.method, why)
    proportion = _proportion(name, positive, called)
    if proportion is not None:
        hits, trials = proportion
        right, wrong = _distinct(groups, trials & hits), _distinct(groups, trials & ~hits)
        people = _distinct(groups, trials)
        if min(right, wrong) >= FEW_PATIENTS or not people:
            return None
        found = wilson(value * people, people, level=level)
        why = f"fewer than {FEW_PATIENTS} patients on one side; made from {people} patients"
        return Interval(value, found.low, found.high, found.method, why)
    if name in ("balanced_accuracy", "f1", "mcc") and with_positive and with_negative:
        return _corner(name, value, positive, called, with_positive, with_negative, level)
    return None


def _proportion(name: str, positive: Bools, called: Bools) -> tuple[Bools, Bools] | None:
    """Return (hits, trials) of the images, for a rate that is a share of images."""
    everything = np.ones_like(positive)
    return {
        "accuracy": (positive == called, everything),
        "sensitivity": (called, positive),
        "specificity": (~called, ~positive),
        "ppv": (positive, called),
        "npv": (~positive, ~called),
    }.get(name)


def _corner(
    name: str,
    value: float,
    positive: Bools,
    called: Bools,
    with_positive: int,
    with_negative: int,
    level: float,
) -> Interval | None:
    """Return a rate's range over Wilson's limits of sensitivity and specificity.

    Only where the calls are all right or all wrong, so that no replicate differs.
    """
    wrong = int(np.sum(positive != called))
    if wrong not in (0, len(positive)):
        return None
    share = float(wrong == 0)
    limits_up = wilson(share * with_positive, with_positive, level=level)
    limits_down = wilson(share * with_negative, with_negative, level=level)
    positives, negatives = float(positive.sum()), float((~positive).sum())
    corners = [
        rates(s * positives, (1 - t) * negatives, t * negatives, (1 - s) * positives)
        for s in (limits_up.low, limits_up.high)
        for t in (limits_down.low, limits_down.high)
    ]
    row = np.array(corners)[:, RATES.index(name)]
    method = f"at Wilson's limits of sensitivity and specificity, {100 * level:g} %"
    why = "every replicate would be the same; made from the numbers of patients"
    return Interval(value, float(row.min()), float(row.max()), method, why)

"""Intervals where a bootstrap has too few errors to draw from.

With no error at all every replicate is perfect and a percentile interval has no width; with one
or two it is still too narrow. Formulas on the numbers of patients, which are smaller than those
of images, then err to the safe side.
"""

from __future__ import annotations

import math

import numpy as np

from plainfilm.metrics._inputs import Bools, Ints
from plainfilm.metrics.intervals import Interval, newcombe, wilson
from plainfilm.metrics.scores import RATES, rates

__all__ = ["FEW_PATIENTS", "steady"]

FEW_PATIENTS = 10
"""With fewer patients than this on either side of a proportion, its bootstrap is too narrow."""

_WHY_SAME = "every replicate would be the same; made from the numbers of patients"
# Each is a function of sensitivity, specificity and the share of positives.
_OF_BOTH = ("balanced_accuracy", "f1", "mcc", "lr_positive", "lr_negative")


def _distinct(groups: Ints, where: Bools) -> int:
    return int(np.count_nonzero(np.bincount(groups[where])))


def steady(
    name: str,
    value: float,
    positive: Bools,
    called: Bools,
    groups: Ints,
    *,
    level: float,
    same: bool = False,
) -> Interval | None:
    """Return the interval of a value that a bootstrap would make too narrow, else None.

    Parameters
    ----------
    name
        A name of `BOOTSTRAP_METRICS`, or ``calibration_error``.
    value
        The value on all images.
    positive, called, groups
        (n,): truth, call (used for `RATES` only) and patient.
    same
        Whether every replicate is known to be the same: then the answer is None only where no
        formula gives limits (``log_loss``).
    """
    if name in ("auroc", "average_precision", "partial_auroc"):
        return _ranking(name, value, positive, groups, level, same=same)
    if name in ("brier", "calibration_error"):
        return _bounded(value, groups, level) if same else None
    if name in _OF_BOTH:
        return _corner(name, value, positive, called, groups, level, same=same)
    proportion = _proportion(name, positive, called)
    return None if proportion is None else _share(value, *proportion, groups, level, same=same)


def _ranking(
    name: str, value: float, positive: Bools, groups: Ints, level: float, *, same: bool
) -> Interval | None:
    with_positive, with_negative = _distinct(groups, positive), _distinct(groups, ~positive)
    if not (same or value in (0.0, 1.0)) or not (with_positive and with_negative):
        return None
    if name == "partial_auroc":
        # Within the range the negatives are too few to say more than the scale's own ends.
        found = newcombe(max(value, 0.5), with_positive, with_negative, level=level)
    elif name == "auroc":
        found = newcombe(value, with_positive, with_negative, level=level)
    else:
        # Boyd, Eng & Page 2013: binomial, the trials being the positives.
        found = wilson(value * with_positive, with_positive, level=level)
    return Interval(value, found.low, found.high, found.method, _WHY_SAME)


def _bounded(value: float, groups: Ints, level: float) -> Interval:
    """Return Wilson's interval of a mean of numbers from 0 to 1.

    Of all such numbers of a given mean, those that are 0 or 1 vary most.
    """
    people = len(np.unique(groups))
    found = wilson(value * people, people, level=level)
    return Interval(value, found.low, found.high, found.method, _WHY_SAME)


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


def _share(
    value: float, hits: Bools, trials: Bools, groups: Ints, level: float, *, same: bool
) -> Interval | None:
    right, wrong = _distinct(groups, trials & hits), _distinct(groups, trials & ~hits)
    people = _distinct(groups, trials)
    few = min(right, wrong) < FEW_PATIENTS
    if not (few or same) or not people:
        return None
    found = wilson(value * people, people, level=level)
    why = f"fewer than {FEW_PATIENTS} patients on one side; made from {people} patients"
    return Interval(value, found.low, found.high, found.method, why if few else _WHY_SAME)


def _corner(
    name: str,
    value: float,
    positive: Bools,
    called: Bools,
    groups: Ints,
    level: float,
    *,
    same: bool,
) -> Interval | None:
    """Return a rate's range over Wilson's limits of sensitivity and specificity.

    Only where all images of a class are called alike: no replicate then differs in that class, as
    if its rate were known for certain.
    """
    limits, alike = [], same
    for hits, trials in ((called, positive), (~called, ~positive)):
        people, count = _distinct(groups, trials), int(trials.sum())
        right = int((hits & trials).sum())
        if count:
            alike = alike or right in (0, count)
            found = wilson(right / count * people, people, level=level)
            limits.append((found.low, found.high))
        else:
            limits.append((0.0, 1.0))  # its images would be counted with 0
    if not alike:
        return None
    positives, negatives = float(positive.sum()), float((~positive).sum())
    corners = [
        rates(s * positives, (1 - t) * negatives, t * negatives, (1 - s) * positives)
        for s in limits[0]
        for t in limits[1]
    ]
    row = np.array([*(corner[RATES.index(name)] for corner in corners), value])
    there = row[~np.isnan(row)]
    low, high = float(there.min()), float(there.max())
    method = f"at Wilson's limits of sensitivity and specificity, {100 * level:g} %"
    why = "all images of a class are called alike; made from the numbers of patients"
    if math.isinf(high):
        why += "; the upper limit is unbounded"
    return Interval(value, low, high, method, why)

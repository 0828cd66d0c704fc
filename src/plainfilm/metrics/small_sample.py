"""Computes intervals for samples with too few errors for a bootstrap.

Without errors every replicate is perfect and a percentile interval has no width; with one or two
errors it is still too narrow. Formulas on the numbers of patients, which are smaller than the
numbers of images, are conservative here.
"""

from __future__ import annotations

import math

import numpy as np

from plainfilm._text import plural
from plainfilm.metrics._inputs import Bools, Ints
from plainfilm.metrics.intervals import Interval, newcombe, wilson
from plainfilm.metrics.scores import RATES, rates
from plainfilm.metrics.statistics import RANKINGS

FEW_PATIENTS = 10
"""Number of patients on either side of a proportion below which its bootstrap is too narrow."""

_FIRST = 10_000
_WHY_SAME = "all replicates are the same; computed from the numbers of patients"
# Functions of sensitivity, specificity and prevalence.
_OF_BOTH = ("balanced_accuracy", "f1", "mcc", "lr_positive", "lr_negative")


def _distinct(groups: Ints, where: Bools) -> int:
    return int(np.count_nonzero(np.bincount(groups[where])))


def _are_few(groups: Ints, where: Bools) -> bool:
    """Return whether the patients of some images are fewer than `FEW_PATIENTS`."""
    # Of very many images the first ones are enough to know.
    return all(_distinct(groups[:end], where[:end]) < FEW_PATIENTS for end in (_FIRST, len(groups)))


def small_sample_interval(
    name: str,
    value: float,
    positive: Bools,
    called: Bools,
    groups: Ints,
    *,
    level: float,
    same: bool = False,
) -> Interval | None:
    """Return the interval of a value for which a bootstrap would be too narrow, else None.

    Parameters
    ----------
    name, value
        A name in `BOOTSTRAP_METRICS`, or ``calibration_error``, and its value on all images.
    positive, called, groups
        Label, predicted class (used for `RATES` only) and patient of each image, (n,).
    same
        Whether all replicates are the same. The result is then None only if no formula exists
        (``log_loss``).
    """
    if name in RANKINGS:
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
        # The negatives within the range are too few for more than the ends of the scale.
        found = newcombe(max(value, 0.5), with_positive, with_negative, level=level)
    elif name == "auroc":
        found = newcombe(value, with_positive, with_negative, level=level)
    else:
        # Boyd, Eng & Page 2013: binomial with the positives as trials.
        found = wilson(value * with_positive, with_positive, level=level)
    return Interval(value, found.low, found.high, found.method, _WHY_SAME)


def _bounded(value: float, groups: Ints, level: float) -> Interval:
    """Return Wilson's interval of a mean of numbers from 0 to 1.

    For a given mean, numbers that are 0 or 1 have the largest variance.
    """
    patients = len(np.unique(groups))
    found = wilson(value * patients, patients, level=level)
    return Interval(value, found.low, found.high, found.method, _WHY_SAME)


def _proportion(name: str, positive: Bools, called: Bools) -> tuple[Bools, Bools] | None:
    """Return hits and trials of a rate that is a proportion of images, else None."""
    every = np.ones_like(positive)
    return {
        "accuracy": (positive == called, every),
        "sensitivity": (called, positive),
        "specificity": (~called, ~positive),
        "ppv": (positive, called),
        "npv": (~positive, ~called),
    }.get(name)


def _share(
    value: float, hits: Bools, trials: Bools, groups: Ints, level: float, *, same: bool
) -> Interval | None:
    few = _are_few(groups, trials & hits) or _are_few(groups, trials & ~hits)
    if not (few or same):
        return None
    patients = _distinct(groups, trials)
    if not patients:
        return None
    found = wilson(value * patients, patients, level=level)
    counted = plural(patients, "patient")
    why = f"fewer than {FEW_PATIENTS} patients on one side; computed from {counted}"
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
    """Return the range of a rate over Wilson's limits of sensitivity and specificity.

    Only if all images of a class have the same predicted class: no replicate then differs in that
    class, as if its rate were known exactly.
    """
    sides = ((called, positive), (~called, ~positive))
    counts = [(int((hits & trials).sum()), int(trials.sum())) for hits, trials in sides]
    if not (same or any(count and right in (0, count) for right, count in counts)):
        return None
    limits = []
    for (_, trials), (right, count) in zip(sides, counts, strict=True):
        if count:
            patients = _distinct(groups, trials)
            found = wilson(right / count * patients, patients, level=level)
            limits.append((found.low, found.high))
        else:
            limits.append((0.0, 1.0))  # its images have the weight 0
    positives, negatives = float(positive.sum()), float((~positive).sum())
    corners = [
        rates(s * positives, (1 - t) * negatives, t * negatives, (1 - s) * positives)
        for s in limits[0]
        for t in limits[1]
    ]
    row = np.array([*(corner[RATES.index(name)] for corner in corners), value])
    defined = row[~np.isnan(row)]
    low, high = float(defined.min()), float(defined.max())
    method = f"at Wilson's limits of sensitivity and specificity, {100 * level:g} %"
    why = "all images of a class have the same prediction; computed from the numbers of patients"
    if math.isinf(high):
        why += "; the upper limit is unbounded"
    return Interval(value, low, high, method, why)

"""The calibration line: the logistic regression of truth on the logit of what was predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.metrics._inputs import Bools, Floats, Ints, group_index, known
from plainfilm.metrics.intervals import Interval, normal_quantile, undefined

__all__ = ["CLOSEST", "CalibrationLine", "calibration_line", "logits_of"]

CLOSEST = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logit is taken: float32's resolution."""

_NO_WIDTH = 1e-9  # log odds; rounding leaves less of a variance of zero


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """How predicted odds relate to true odds.

    Attributes
    ----------
    slope
        1 is right; below 1 the predictions are too extreme, above 1 too timid.
    intercept
        Of the same line, in log odds.
    in_the_large
        The intercept if the slope is held at 1: 0 is right, above 0 positives are more frequent
        than predicted.
    """

    slope: Interval
    intercept: Interval
    in_the_large: Interval


def logits_of(probabilities: ArrayLike) -> Floats:
    """Return the log odds of probabilities, which are kept `CLOSEST` away from 0 and 1."""
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), CLOSEST, 1 - CLOSEST)
    logits: Floats = np.log(clipped) - np.log1p(-clipped)
    return logits


def calibration_line(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    level: float = 0.95,
) -> CalibrationLine:
    """Fit the calibration line, with intervals that allow for several images per patient.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    probabilities
        (n,), 0 to 1.
    patients
        (n,) keys, or None for one patient per image.

    Returns
    -------
    Slope and intercepts; undefined, with the reason, where a class is missing, the probabilities
    are all the same or separate the classes perfectly (the slope has no finite best value then).

    References
    ----------
    D. R. Cox, Biometrika 45 (1958) 562-565; B. Van Calster et al., BMC Med. 17 (2019) 230.
    Variance: the sandwich over patients, K.-Y. Liang & S. L. Zeger, Biometrika 73 (1986) 13-22.
    """
    positive, values, _ = known(labels, probabilities, probabilities=True)
    everyone, _ = group_index(patients, np.shape(labels)[0])
    groups = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    unit = "images" if patients is None else "patients"
    method = f"logistic regression, sandwich variance over {unit}, t, {100 * level:g} %"
    if not positive.any() or positive.all():
        missing = undefined(method, "only one class is there")
        return CalibrationLine(missing, missing, missing)
    logits = logits_of(values)
    alone = np.ones((len(logits), 1))
    large = _fit(alone, logits, positive, groups, method, level)
    why = _no_slope(logits, positive)
    if why is not None:
        return CalibrationLine(undefined(method, why), undefined(method, why), large[0])
    both = np.column_stack([alone, logits])
    intercept, slope = _fit(both, np.zeros_like(logits), positive, groups, method, level)
    return CalibrationLine(slope, intercept, large[0])


def _no_slope(logits: Floats, positive: Bools) -> str | None:
    up, down = logits[positive], logits[~positive]
    if np.ptp(logits) == 0:
        return "all probabilities are the same"
    if down.max() <= up.min() or up.max() <= down.min():
        return "the probabilities separate the classes perfectly"
    return None


def _fit(
    design: Floats, offset: Floats, positive: Bools, groups: Ints, method: str, level: float
) -> list[Interval]:
    """Fit by Newton's method with step halving; one interval per column of the design (n, k)."""
    from scipy.special import stdtrit

    weights = np.zeros(design.shape[1])

    def loss(candidate: Floats) -> float:
        signed = np.where(positive, -1, 1) * (design @ candidate + offset)
        return float(np.logaddexp(0, signed).sum())

    for _ in range(100):
        expected = 0.5 * (1 + np.tanh((design @ weights + offset) / 2))
        spread = np.maximum(expected * (1 - expected), 1e-300)
        gradient = design.T @ (positive - expected)
        information = design.T @ (design * spread[:, None])
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        # Saturated predictions make the first steps far too long.
        scale = 1.0
        while scale > 1e-10 and loss(weights + scale * step) > loss(weights):
            scale /= 2
        weights = weights + scale * step
        if np.abs(scale * step).max() < 1e-10:
            break
    expected = 0.5 * (1 + np.tanh((design @ weights + offset) / 2))
    spread = expected * (1 - expected)
    information = design.T @ (design * spread[:, None])
    _, numbers = np.unique(groups, return_inverse=True)
    count = int(numbers.max()) + 1
    scores = np.zeros((count, design.shape[1]))
    np.add.at(scores, numbers, design * (positive - expected)[:, None])
    if count < 2 or np.linalg.cond(information) > 1e14:
        return [undefined(method, "the data do not determine it")] * design.shape[1]
    bread = np.linalg.inv(information)
    covariance = bread @ (scores.T @ scores) @ bread * count / (count - 1)
    # Few patients of a class know the variance badly: Student's t, by the rarer class.
    sides = (np.unique(groups[positive]).size, np.unique(groups[~positive]).size)
    normal_quantile(level)  # checks the level
    factor = float(stdtrit(max(min(sides) - 1, 1), (1 + level) / 2))
    half = factor * np.sqrt(np.diag(covariance))
    return [
        Interval(float(value), float(value - wide), float(value + wide), method)
        if wide > _NO_WIDTH
        else Interval(float(value), math.nan, math.nan, method, "all patients are alike in it")
        for value, wide in zip(weights, half, strict=True)
    ]

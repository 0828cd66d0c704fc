"""Fits the calibration line: logistic regression of the labels on the predicted log odds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, known, known_groups
from plainfilm.metrics.intervals import Interval, normal_quantile, undefined

CLOSEST = 1e-7
"""Distance from 0 and 1 at which probabilities are clipped for logits: float32's resolution."""

_SHORT = 1e-4  # length of a step of Newton's method that is taken whole
_SUBSET = 20  # very many images are fitted from the optimum of every 20th
_ENOUGH = 1000  # images of each class in that subset
_NO_WIDTH = 1e-9  # log odds; a variance of zero is below this after rounding


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Calibration slope and intercepts.

    Attributes
    ----------
    slope
        1 is ideal; below 1 the predictions are too extreme, above 1 too moderate.
    intercept
        Intercept of the same line, in log odds.
    in_the_large
        Intercept with the slope fixed at 1: 0 is ideal, above 0 positives are more frequent than
        predicted.
    """

    slope: Interval
    intercept: Interval
    in_the_large: Interval


def logits_of(y_prob: ArrayLike) -> Floats:
    """Return the log odds of probabilities, clipped `CLOSEST` away from 0 and 1."""
    from scipy.special import logit

    clipped = np.clip(np.asarray(y_prob, dtype=np.float64), CLOSEST, 1 - CLOSEST)
    logits: Floats = logit(clipped)
    return logits


def calibration_line(
    y_true: ArrayLike, y_prob: ArrayLike, *, patients: Patients = None, level: float = 0.95
) -> CalibrationLine:
    """Fit the calibration line with intervals that allow for several images per patient.

    It is undefined, with the reason, if a class is missing or all probabilities are equal. The
    slope is undefined if the probabilities separate the classes perfectly, because the likelihood
    then has no finite maximum. See `plainfilm.metrics` for the parameters.

    References
    ----------
    D. R. Cox, Biometrika 45 (1958) 562-565; B. Van Calster et al., BMC Med. 17 (2019) 230.
    Variance: the sandwich over patients, K.-Y. Liang & S. L. Zeger, Biometrika 73 (1986) 13-22.
    """
    positive, values, _ = known(y_true, y_prob, probabilities=True)
    groups, _ = known_groups(y_true, patients)
    unit = "images" if patients is None else "patients"
    method = f"logistic regression, sandwich variance over {unit}, t, {100 * level:g} %"
    if not positive.any() or positive.all():
        missing = undefined(method, "there is only one class")
        return CalibrationLine(missing, missing, missing)
    logits = logits_of(values)
    ones = np.ones((len(logits), 1))
    large = _fit(ones, logits, positive, groups, method, level)
    why = _no_slope(logits, positive)
    if why is not None:
        return CalibrationLine(undefined(method, why), undefined(method, why), large[0])
    both = np.column_stack([ones, logits])
    intercept, slope = _fit(both, np.zeros_like(logits), positive, groups, method, level)
    return CalibrationLine(slope, intercept, large[0])


def _no_slope(logits: Floats, positive: Bools) -> str | None:
    up, down = logits[positive], logits[~positive]
    if np.ptp(logits) == 0:
        return "all probabilities are equal"
    if down.max() <= up.min() or up.max() <= down.min():
        return "the probabilities separate the classes perfectly"
    return None


def _fit(
    design: Floats, offset: Floats, positive: Bools, groups: Ints, method: str, level: float
) -> list[Interval]:
    """Fit by maximum likelihood; return an interval per column of the design."""
    from scipy.special import expit, stdtrit

    weights = _maximise(design, offset, positive)
    expected = expit(design @ weights + offset)
    spread = expected * (1 - expected)
    information = design.T @ (design * spread[:, None])
    present = np.bincount(groups) > 0
    count = int(present.sum())
    parts = design * (positive - expected)[:, None]
    scores = np.stack([np.bincount(groups, weights=part)[present] for part in parts.T], axis=1)
    if count < 2 or np.linalg.cond(information) > 1e14:
        return [undefined(method, "the data do not determine it")] * design.shape[1]
    bread = np.linalg.inv(information)
    covariance = bread @ (scores.T @ scores) @ bread * count / (count - 1)
    # With few patients the variance is uncertain: Student's t with those of the rarer class.
    sides = [np.count_nonzero(np.bincount(groups[side])) for side in (positive, ~positive)]
    normal_quantile(level)  # checks the level
    factor = float(stdtrit(max(min(sides) - 1, 1), (1 + level) / 2))
    half = factor * np.sqrt(np.diag(covariance))
    return [
        Interval(float(value), float(value - wide), float(value + wide), method)
        if wide > _NO_WIDTH
        else Interval(float(value), math.nan, math.nan, method, "all patients are alike")
        for value, wide in zip(weights, half, strict=True)
    ]


def _maximise(design: Floats, offset: Floats, positive: Bools) -> Floats:
    """Return the coefficients with the highest likelihood, by Newton's method with step halving."""
    from scipy.special import expit

    def loss(candidate: Floats) -> float:
        signed = np.where(positive, -1, 1) * (design @ candidate + offset)
        return float(np.logaddexp(0, signed).sum())

    weights, last, smallest = np.zeros(design.shape[1]), math.inf, math.inf
    part = slice(None, None, _SUBSET)
    if min(positive[part].sum(), (~positive[part]).sum()) > _ENOUGH:
        weights = _maximise(design[part], offset[part], positive[part])  # close to the optimum
    for _ in range(100):
        expected = expit(design @ weights + offset)
        gradient = design.T @ (positive - expected)
        size = float(np.abs(gradient).max())
        if size == 0 or (last <= _SHORT and size >= smallest):
            break  # only rounding remains
        smallest = min(size, smallest)
        spread = np.maximum(expected * (1 - expected), 1e-300)
        step = np.linalg.lstsq(design.T @ (design * spread[:, None]), gradient, rcond=None)[0]
        last = float(np.abs(step).max())
        scale = 1.0
        # With saturated predictions the first steps are far too long. Short steps are in the region
        # where Newton's method converges, and losses differ by less than their rounding.
        if last > _SHORT:
            before = loss(weights)
            while scale > 1e-10 and loss(weights + scale * step) > before:
                scale /= 2
        weights = weights + scale * step
    return weights

"""Estimates the share of each class in unlabelled images, and corrects probabilities for it.

Both assume label shift: the images of each class look like those of the same class in validation,
and only the share of each class differs. `plainfilm.metrics.label_shift_test` tests it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, Ints, Patients, as_scores, group_index
from plainfilm.metrics.intervals import Interval, normal_quantile
from plainfilm.metrics.regression import CLOSEST

_ITERATIONS = 5000
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class ClassShares:
    """The estimated share of each class.

    Attributes
    ----------
    shares
        Share of each class, 0 to 1, with its interval.
    iterations, converged
        Number of steps of the EM algorithm, and whether it converged.
    """

    shares: tuple[Interval, ...]
    iterations: int
    converged: bool


def estimate_class_shares(
    probabilities: ArrayLike,
    assumed: Sequence[float],
    *,
    patients: Patients = None,
    level: float = 0.95,
) -> ClassShares:
    """Estimate the share of each class from the probabilities of unlabelled images.

    The shares maximise the likelihood of a mixture (EM algorithm). The interval contains the
    shares that a score test with a variance clustered by patient does not reject. It takes the
    probabilities as calibrated for the assumed shares: an error of calibration is not included.

    Parameters
    ----------
    probabilities
        Probabilities (n, classes), 0 to 1, each row with a sum of 1.
    assumed
        Shares of the classes (classes,) that the probabilities assume, above 0, with a sum of 1.
    patients, level
        See `plainfilm.metrics`.

    References
    ----------
    M. Saerens, P. Latinne & C. Decaestecker, Neural Comput. 14 (2002) 21-41. The score test with
    estimated nuisance parameters: J. Neyman, C(alpha), in Probability and Statistics, 1959.
    """
    values = np.asarray(probabilities, np.float64)
    values = as_scores(values, values.shape, name="probabilities", low=0, high=1)
    prior = np.asarray(assumed, np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or prior.shape != values.shape[1:]:
        raise MetricError(
            "there must be one column of probabilities and one assumed share for each class",
            received=f"shapes {values.shape} and {prior.shape}",
        )
    if np.any(prior <= 0) or abs(prior.sum() - 1) > 1e-6:
        raise MetricError("assumed shares must be above 0 with a sum of 1", received=assumed)
    if np.any(np.abs(values.sum(axis=1) - 1) > 1e-4):
        raise MetricError("the probabilities of an image must have a sum of 1")
    if not len(values):
        raise MetricError("there is no image to estimate shares from")
    groups, count = group_index(patients, len(values))
    ratios = np.clip(values, CLOSEST, 1) / prior
    shares, iterations, converged = _maximise(ratios, prior / prior.sum())
    unit = "images" if patients is None else "patients"
    method = f"EM; score test with a variance over {unit}, t, {100 * level:g} %"
    normal_quantile(level)  # checks the level
    intervals = tuple(
        _interval(ratios, shares, column, groups, count, level, method)
        for column in range(len(shares))
    )
    return ClassShares(intervals, iterations, converged)


def _maximise(ratios: Floats, start: Floats) -> tuple[Floats, int, bool]:
    """Return the shares with the highest likelihood, the number of steps, and convergence."""
    shares = start
    for step in range(1, _ITERATIONS + 1):
        weights = ratios * shares
        weights /= weights.sum(axis=1, keepdims=True)
        following = weights.mean(axis=0)
        if np.abs(following - shares).max() < _TOLERANCE:
            return following, step, True
        shares = following
    return shares, _ITERATIONS, False


def _interval(
    ratios: Floats,
    shares: Floats,
    column: int,
    groups: Ints,
    count: int,
    level: float,
    method: str,
) -> Interval:
    from scipy.special import stdtrit

    value = float(shares[column])
    others = np.delete(ratios, column, axis=1)
    rest = np.delete(shares, column)
    # The maximum may put all images in one class.
    rest = rest / rest.sum() if rest.sum() > 0 else np.full(len(rest), 1 / len(rest))
    mixed, own = others @ rest, ratios[:, column]
    # With few patients of the class, the variance of the score is uncertain.
    freedom = max(2 * count * min(value, 1 - value) - 1, 2)
    limit = float(stdtrit(freedom, (1 + level) / 2)) ** 2
    fitted = value * own + (1 - value) * mixed

    def rejected(share: float) -> bool:
        density = share * own + (1 - share) * mixed
        score = (own - mixed) / density
        if others.shape[1] > 1:  # remove what the uncertain shares of the other classes explain
            nuisance = (1 - share) * (others[:, :-1] - others[:, -1:]) / density[:, None]
            information = nuisance.T @ nuisance
            score = (
                score - nuisance @ np.linalg.lstsq(information, nuisance.T @ score, rcond=None)[0]
            )
        summed = np.bincount(groups, weights=score, minlength=count)
        # The variance is that of images with this share, not with the estimated one.
        weights = density / fitted
        squares = float(score @ score)
        if squares == 0:
            return False
        variance = float(summed @ summed) * float(weights @ score**2) / squares
        return variance > 0 and float(summed.sum()) ** 2 > limit * variance

    if rejected(value):  # at 0 or 1, where a better fit would be beyond
        why = "no shares of the classes fit: the probabilities are not calibrated for these images"
        return Interval(value, math.nan, math.nan, method, why)

    def end(outer: float) -> float:
        if not rejected(outer):
            return outer
        near, far = value, outer
        for _ in range(50):
            middle = (near + far) / 2
            near, far = (near, middle) if rejected(middle) else (middle, far)
        return near

    return Interval(value, end(0.0), end(1.0), method)


def shift_class_shares(
    probabilities: ArrayLike, *, from_: Sequence[float], to: Sequence[float]
) -> Floats:
    """Return probabilities (n, classes) corrected for other shares of the classes.

    It is `shift_prevalence` for several classes; shares are above 0 with a sum of 1.
    """
    weighted = np.asarray(probabilities, np.float64) * (np.asarray(to) / np.asarray(from_))
    shifted: Floats = weighted / weighted.sum(axis=1, keepdims=True)
    return shifted

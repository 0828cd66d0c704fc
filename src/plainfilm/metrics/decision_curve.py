"""Whether acting on a model's calls does more good than acting on everybody or on nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, group_index, known
from plainfilm.metrics.bootstrap import replicate
from plainfilm.metrics.statistics import Statistic

__all__ = ["THRESHOLDS", "DecisionCurve", "decision_curve", "decision_statistic", "read_decision"]

THRESHOLDS: tuple[float, ...] = tuple(round(step / 100, 2) for step in range(1, 100))
"""Threshold probabilities at which a decision curve is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurve:
    """Net benefit over threshold probability; every array is (k,).

    Attributes
    ----------
    threshold
        From which probability on one would act, 0 to 1.
    model, low, high
        Net benefit of acting on the model's calls, with 95 % limits: true positives less false
        positives at the threshold's odds, per image.
    treat_all, treat_all_low, treat_all_high
        The same of acting on everybody; acting on nobody is 0.
    better
        Whether the model beats both with 95 % confidence at this threshold.
    """

    threshold: Floats
    model: Floats
    low: Floats
    high: Floats
    treat_all: Floats
    treat_all_low: Floats
    treat_all_high: Floats
    better: Bools

    @property
    def useful(self) -> list[tuple[float, float]]:
        """Return the ranges of neighbouring thresholds in which the model beats both."""
        edges = np.diff(np.r_[0, self.better.astype(np.int8), 0])
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
        return [
            (float(self.threshold[a]), float(self.threshold[b]))
            for a, b in zip(starts, stops, strict=True)
        ]


def decision_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> DecisionCurve:
    """Return the net benefit of a model's probabilities, with intervals over resampled patients.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    probabilities
        (n,), 0 to 1. Net benefit asks for calibrated ones: at a threshold of 0.2 it takes a false
        positive to cost a quarter of what a missed positive costs.
    patients
        (n,) keys, or None for one patient per image.
    thresholds
        Rising, between 0 and 1.
    replicates, level, seed
        As for `clustered_bootstrap`.

    Raises
    ------
    MetricError
        If an input is out of range, or no label is known.

    References
    ----------
    A. J. Vickers & E. B. Elkin, Med. Decis. Making 26 (2006) 565-574; intervals: A. J. Vickers et
    al., BMC Med. Inform. Decis. Mak. 8 (2008) 53.
    """
    at = np.asarray(thresholds, np.float64)
    if at.ndim != 1 or not at.size or np.any((at <= 0) | (at >= 1)) or np.any(np.diff(at) <= 0):
        raise MetricError(
            "thresholds of a decision curve must rise within 0 to 1", received=str(thresholds)[:80]
        )
    positive, values, _ = known(labels, probabilities, probabilities=True)
    if not values.size:
        raise MetricError("a decision curve needs images of known label")
    everyone, count = group_index(patients, np.shape(labels)[0])
    groups = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    statistic = decision_statistic(positive, values, groups, count, at)
    [drawn] = replicate(
        [statistic],
        patients=count,
        images=at.size,
        replicates=replicates,
        rng=np.random.default_rng(seed),
    )
    return read_decision(statistic(np.ones((1, count))), drawn, at, level=level)


def decision_statistic(
    positive: Bools, probabilities: Floats, groups: Ints, patients: int, thresholds: Floats
) -> Statistic:
    """Return the statistic (net benefit of the model at each threshold, prevalence)."""
    index = np.searchsorted(thresholds, probabilities, side="right")
    columns = np.zeros((patients, 2 * (len(thresholds) + 1)))
    # Counted by patient and by the highest threshold that still calls the image.
    for side, mask in enumerate((positive, ~positive)):
        flat = groups[mask] * (len(thresholds) + 1) + index[mask]
        counts = np.bincount(flat, minlength=patients * (len(thresholds) + 1))
        begin = side * (len(thresholds) + 1)
        columns[:, begin : begin + len(thresholds) + 1] = counts.reshape(patients, -1)
    odds = thresholds / (1 - thresholds)

    def statistic(draws: Floats) -> Floats:
        summed = draws @ columns
        up, down = np.split(summed, 2, axis=1)
        total = summed.sum(axis=1, keepdims=True)
        # Called at threshold t are those whose index is above t's position.
        hits = up[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        alarms = down[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        with np.errstate(invalid="ignore"):
            benefit = (hits - alarms * odds) / total
            prevalence = up.sum(axis=1, keepdims=True) / total
        values: Floats = np.concatenate([benefit, prevalence], axis=1).T
        return values

    return statistic


def read_decision(
    value: Floats, drawn: Floats, thresholds: Floats, *, level: float = 0.95
) -> DecisionCurve:
    """Make the curve of what `decision_statistic` gave: values (k + 1, 1), replicates (k + 1, R).

    Where replicates do not differ (nothing was called, or everything) the limits are the value.
    """
    odds = (thresholds / (1 - thresholds))[:, None]
    everybody = drawn[-1] - (1 - drawn[-1]) * odds
    all_value = (value[-1] - (1 - value[-1]) * odds)[:, 0]
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = _limits(drawn[:-1], tails)
    all_low, all_high = _limits(everybody, tails)
    gain = drawn[:-1] - np.maximum(everybody, 0.0)
    worst, _ = _limits(gain, tails)
    better = np.where(np.isnan(worst), False, worst > 1e-12)
    return DecisionCurve(thresholds, value[:-1, 0], low, high, all_value, all_low, all_high, better)


def _limits(values: Floats, tails: Sequence[float]) -> tuple[Floats, Floats]:
    there = values[:, ~np.isnan(values).any(axis=0)]
    if not there.shape[1]:
        missing = np.full(len(values), math.nan)
        return missing, missing
    low, high = np.quantile(there, tails, axis=1, method="nearest")
    return low, high

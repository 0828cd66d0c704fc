"""Computes decision curves: the net benefit of acting on a model's predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, known, known_groups
from plainfilm.metrics.bootstrap import replicate
from plainfilm.metrics.decision_band import DecisionOutcomes, gain_limits
from plainfilm.metrics.statistics import Statistic, counts_by_patient

THRESHOLDS: tuple[float, ...] = tuple(round(step / 100, 2) for step in range(1, 100))
"""Threshold probabilities of a decision curve."""


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurve:
    """Net benefit by threshold probability; every array is (k,).

    Attributes
    ----------
    threshold
        Smallest probability at which one would act, 0 to 1.
    model, low, high
        Net benefit of acting on the model's predictions with 95 % limits: true positives minus
        false positives weighted with the odds of the threshold, per image.
    treat_all, treat_all_low, treat_all_high
        Net benefit of acting on all images; that of acting on none is 0.
    band_low, band_high
        Limits of the net benefit of the model that hold at all thresholds at once with 95 %
        confidence; never within ``low`` and ``high``, which hold at each threshold alone.
    better
        Whether the model is better than acting on all images and than acting on none. With 95 %
        confidence this is true at all of these thresholds.
    """

    threshold: Floats
    model: Floats
    low: Floats
    high: Floats
    treat_all: Floats
    treat_all_low: Floats
    treat_all_high: Floats
    band_low: Floats
    band_high: Floats
    better: Bools

    @property
    def useful(self) -> list[tuple[float, float]]:
        """Return the ranges of adjacent thresholds at which ``better`` is true."""
        edges = np.diff(np.r_[0, self.better.astype(np.int8), 0])
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
        return [
            (float(self.threshold[a]), float(self.threshold[b]))
            for a, b in zip(starts, stops, strict=True)
        ]


def decision_curve(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    patients: Patients = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> DecisionCurve:
    """Return the net benefit of a model's probabilities with intervals over patients.

    Parameters
    ----------
    y_true, patients, n_bootstrap, level, seed
        See `plainfilm.metrics`.
    y_prob
        Calibrated probabilities (n,), 0 to 1. At a threshold of 0.2, net benefit weighs a false
        positive as a quarter of a missed positive.
    thresholds
        Threshold probabilities between 0 and 1, increasing.

    Raises
    ------
    MetricError
        If an input is out of range, or no label is known.

    References
    ----------
    A. J. Vickers & E. B. Elkin, Med. Decis. Making 26 (2006) 565-574; intervals: A. J. Vickers et
    al., BMC Med. Inform. Decis. Mak. 8 (2008) 53; band: see `simultaneous_limits`.
    """
    at = np.asarray(thresholds, np.float64)
    if at.ndim != 1 or not at.size or np.any((at <= 0) | (at >= 1)) or np.any(np.diff(at) <= 0):
        raise MetricError(
            "thresholds of a decision curve must increase between 0 and 1",
            received=str(thresholds)[:80],
        )
    positive, values, _ = known(y_true, y_prob, probabilities=True)
    if not values.size:
        raise MetricError("a decision curve needs images with known labels")
    groups, count = known_groups(y_true, patients)
    statistic = decision_statistic(positive, values, groups, count, at)
    rng = np.random.default_rng(seed)
    [drawn] = replicate(
        [statistic], patients=count, images=at.size, n_bootstrap=n_bootstrap, rng=rng
    )
    outcomes = DecisionOutcomes.of(positive, values, groups, at)
    return read_decision(statistic(np.ones((1, count))), drawn, at, outcomes, level=level)


def decision_statistic(
    positive: Bools, y_prob: Floats, groups: Ints, patients: int, thresholds: Floats
) -> Statistic:
    """Return the statistic (net benefit of the model at each threshold, prevalence)."""
    # Counts by patient and by the highest threshold at which the image is predicted positive.
    index, size = np.searchsorted(thresholds, y_prob, side="right"), len(thresholds) + 1
    sides = [
        counts_by_patient(groups[on], index[on], patients, size) for on in (positive, ~positive)
    ]
    columns = np.concatenate(sides, axis=1).astype(np.float64)
    odds = thresholds / (1 - thresholds)

    def statistic(draws: Floats) -> Floats:
        summed = draws @ columns
        up, down = np.split(summed, 2, axis=1)
        total = summed.sum(axis=1, keepdims=True)
        # Predicted positive at threshold t: the index is above t's position.
        hits = up[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        alarms = down[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        with np.errstate(invalid="ignore"):
            benefit = (hits - alarms * odds) / total
            prevalence = up.sum(axis=1, keepdims=True) / total
        values: Floats = np.concatenate([benefit, prevalence], axis=1).T
        return values

    return statistic


def read_decision(
    value: Floats,
    drawn: Floats,
    thresholds: Floats,
    outcomes: DecisionOutcomes,
    *,
    level: float = 0.95,
) -> DecisionCurve:
    """Return the curve from values (k + 1, 1) and replicates (k + 1, R) of `decision_statistic`.

    Where replicates do not differ (no image or every image is predicted positive), both limits
    equal the value.
    """
    odds = (thresholds / (1 - thresholds))[:, None]
    treat_all, all_value = (row[-1] - (1 - row[-1]) * odds for row in (drawn, value))
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = _limits(drawn[:-1], tails)
    all_low, all_high = _limits(treat_all, tails)
    defined = drawn[:, ~np.isnan(drawn).any(axis=0)]
    band_low, band_high, over_none, over_all = gain_limits(
        value[:, 0], defined, thresholds, outcomes, level=level
    )
    return DecisionCurve(
        threshold=thresholds,
        model=value[:-1, 0],
        low=low,
        high=high,
        treat_all=all_value[:, 0],
        treat_all_low=all_low,
        treat_all_high=all_high,
        band_low=np.fmin(band_low, low),
        band_high=np.fmax(band_high, high),
        better=np.minimum(over_none, over_all) > 1e-12,
    )


def _limits(values: Floats, tails: Sequence[float]) -> tuple[Floats, Floats]:
    defined = values[:, ~np.isnan(values).any(axis=0)]
    if not defined.shape[1]:
        missing = np.full(len(values), math.nan)
        return missing, missing
    low, high = np.quantile(defined, tails, axis=1, method="nearest")
    return low, high

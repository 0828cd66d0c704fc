"""Computes calibration: Brier score, log loss, reliability curve, calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, known
from plainfilm.metrics.intervals import Interval, wilson

Binning = Literal["uniform", "quantile"]


def brier_score_loss(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean squared difference of probability and label, 0 (best) to 1.

    Parameters
    ----------
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_prob
        Probabilities (n,), 0 to 1.
    sample_weight
        Weights (n,), 0 or more; 1 by default.

    Returns
    -------
    float
        NaN without known labels.
    """
    positive, values, weights = known(y_true, y_prob, sample_weight, probabilities=True)
    return _mean((values - positive) ** 2, weights)


def log_losses(positive: Bools, y_prob: Floats, epsilon: float | None = None) -> Floats:
    """Return the negative log likelihood of each label, in nats.

    Probabilities are clipped ``epsilon`` away from 0 and 1, so that the loss stays finite. The
    default is the resolution of float64, as in scikit-learn.
    """
    least = float(np.finfo(np.float64).eps) if epsilon is None else epsilon
    clipped = np.clip(y_prob, least, 1 - least)
    losses: Floats = -np.log(np.where(positive, clipped, 1 - clipped))
    return losses


def log_loss(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean of `log_losses`, 0 (best) or more; see `brier_score_loss`.

    As in scikit-learn, the clipping depends on the precision of the probabilities' type.
    """
    positive, values, weights = known(y_true, y_prob, sample_weight, probabilities=True)
    kind = np.asarray(y_prob).dtype
    epsilon = float(np.finfo(kind).eps) if np.issubdtype(kind, np.floating) else None
    return _mean(log_losses(positive, values, epsilon), weights)


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights)) if weights.sum() > 0 else math.nan


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The images with probabilities in one bin.

    Attributes
    ----------
    low, high
        Edges of the bin; a value on an inner edge belongs to the bin above it.
    count
        Number of images.
    predicted
        Mean probability; NaN without images.
    observed
        Share of positive images, with Wilson's interval.
    """

    low: float
    high: float
    count: int
    predicted: float
    observed: Interval


def bin_edges(y_prob: Floats, bins: int, strategy: Binning) -> Floats:
    """Return the edges of at most ``bins`` bins, from 0 to 1."""
    if bins < 1:
        raise MetricError("there must be at least one bin", received=bins)
    if strategy == "uniform":
        # Division gives exactly 0.3 for 3 / 10; np.linspace does not.
        edges: Floats = np.arange(bins + 1) / bins
        return edges
    if strategy == "quantile":
        inner = np.quantile(y_prob, np.linspace(0, 1, bins + 1)[1:-1])
        return np.unique(np.r_[0.0, inner, 1.0])
    raise MetricError("the strategy of bins must be uniform or quantile", received=strategy)


def bin_index(y_prob: Floats, edges: Floats) -> Ints:
    """Return the bin of each probability."""
    return np.searchsorted(edges[1:-1], y_prob, side="right")


def reliability_curve(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
    level: float = 0.95,
) -> tuple[ReliabilityBin, ...]:
    """Return predicted and observed frequencies by bin, including empty bins.

    Parameters
    ----------
    y_true, y_prob
        Labels and probabilities, see `brier_score_loss`.
    bins
        Number of bins; there may be fewer ``quantile`` bins if probabilities are tied.
    strategy
        ``uniform`` for bins of equal width, ``quantile`` for bins of equal count.
    level
        Confidence level of the intervals, between 0 and 1.
    """
    positive, values, _ = known(y_true, y_prob, probabilities=True)
    if not values.size:
        return ()
    edges = bin_edges(values, bins, strategy)
    index, size = bin_index(values, edges), len(edges) - 1
    counts = np.bincount(index, minlength=size)
    hits = np.bincount(index, weights=positive, minlength=size)
    sums = np.bincount(index, weights=values, minlength=size)
    return tuple(
        ReliabilityBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            predicted=float(sums[i] / counts[i]) if counts[i] else math.nan,
            observed=wilson(float(hits[i]), int(counts[i]), level=level),
        )
        for i in range(size)
    )


def expected_calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
) -> float:
    """Return the mean distance of predicted and observed frequency over the bins, 0 (best) to 1.

    It refers to the probability of the positive label, not of the more probable class. It is
    biased upwards: a perfectly calibrated model, too, has an error above 0 in a finite sample.

    References
    ----------
    M. P. Naeini, G. Cooper & M. Hauskrecht, AAAI 2015.
    """
    curve = reliability_curve(y_true, y_prob, bins=bins, strategy=strategy)
    total = sum(part.count for part in curve)
    if not total:
        return math.nan
    gaps = (part.count * abs(part.predicted - part.observed.value) for part in curve if part.count)
    return sum(gaps) / total

"""Whether a probability of 0.8 comes true in eight of ten: losses and curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, known
from plainfilm.metrics.intervals import Interval, wilson

__all__ = [
    "ReliabilityBin",
    "bin_edges",
    "bin_index",
    "brier_score_loss",
    "expected_calibration_error",
    "log_loss",
    "log_losses",
    "reliability_curve",
]

Binning = Literal["uniform", "quantile"]


def brier_score_loss(
    labels: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Return the mean squared difference of probability and truth, 0 (best) to 1.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    probabilities
        (n,), 0 to 1.
    weights
        (n,), not negative; ones by default.

    Returns
    -------
    The loss, or NaN if there is no known label.
    """
    positive, values, mass = known(labels, probabilities, weights, probabilities=True)
    return _mean((values - positive) ** 2, mass)


def log_losses(positive: Bools, probabilities: Floats, epsilon: float | None = None) -> Floats:
    """Return minus the log of the probability that each image's truth was given, in nats.

    Probabilities are kept ``epsilon`` away from 0 and 1, so that one sure mistake costs much and
    not everything; by default that is the resolution of float64, as in scikit-learn.
    """
    least = float(np.finfo(np.float64).eps) if epsilon is None else epsilon
    clipped = np.clip(probabilities, least, 1 - least)
    losses: Floats = -np.log(np.where(positive, clipped, 1 - clipped))
    return losses


def log_loss(
    labels: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Return the mean of `log_losses`, 0 (best) and up; arguments as in `brier_score_loss`.

    As in scikit-learn the clipping follows the precision of the probabilities' type.
    """
    positive, values, mass = known(labels, probabilities, weights, probabilities=True)
    kind = np.asarray(probabilities).dtype
    epsilon = float(np.finfo(kind).eps) if np.issubdtype(kind, np.floating) else None
    return _mean(log_losses(positive, values, epsilon), mass)


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights)) if weights.sum() > 0 else math.nan


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The images whose probability lies in one interval.

    Attributes
    ----------
    low, high
        Ends of the bin; an image on an inner edge belongs to the bin above.
    count
        Number of images.
    predicted
        Their mean probability; NaN if there are none.
    observed
        The share of positives among them, with Wilson's interval.
    """

    low: float
    high: float
    count: int
    predicted: float
    observed: Interval


def bin_edges(probabilities: Floats, bins: int, strategy: Binning) -> Floats:
    """Return the edges of at most ``bins`` bins, from 0 to 1."""
    if bins < 1:
        raise MetricError("there must be one bin at least", received=bins)
    if strategy == "uniform":
        # Divided, not spaced: 3 / 10 is the very number 0.3, which np.linspace misses.
        edges: Floats = np.arange(bins + 1) / bins
        return edges
    if strategy == "quantile":
        inner = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1])
        return np.unique(np.r_[0.0, inner, 1.0])
    raise MetricError("bins are uniform or quantile", received=strategy)


def bin_index(probabilities: Floats, edges: Floats) -> Ints:
    """Return the bin of each probability."""
    return np.searchsorted(edges[1:-1], probabilities, side="right")


def reliability_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
    level: float = 0.95,
) -> tuple[ReliabilityBin, ...]:
    """Return what was predicted and what came true, bin by bin; empty bins are listed too.

    Parameters
    ----------
    labels, probabilities
        As in `brier_score_loss`.
    bins, strategy
        ``uniform`` bins are of equal width, ``quantile`` bins of equal count (fewer than ``bins``
        where probabilities are tied).
    """
    positive, values, _ = known(labels, probabilities, probabilities=True)
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
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
) -> float:
    """Return the mean distance of predicted and observed share over the bins, 0 (best) to 1.

    It is about the probability of the positive label, not of the likelier one. It is biased
    upwards: even a perfectly calibrated model has some at finite n.

    References
    ----------
    M. P. Naeini, G. Cooper & M. Hauskrecht, AAAI 2015.
    """
    curve = reliability_curve(labels, probabilities, bins=bins, strategy=strategy)
    total = sum(part.count for part in curve)
    if not total:
        return math.nan
    gaps = (part.count * abs(part.predicted - part.observed.value) for part in curve if part.count)
    return sum(gaps) / total

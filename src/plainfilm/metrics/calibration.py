"""Computes calibration: Brier score and its parts, log loss, reliability curve, their errors."""

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

_DRAWS = 1000


def brier_score_loss(
    y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean squared difference of probability and label, 0 (best) to 1.

    It is NaN without known labels. See `plainfilm.metrics` for the parameters.
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
    y_true, y_prob, level
        See `plainfilm.metrics`.
    bins
        Number of bins; there may be fewer ``quantile`` bins if probabilities are tied.
    strategy
        ``uniform`` for bins of equal width, ``quantile`` for bins of equal count.
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
    y_true: ArrayLike, y_prob: ArrayLike, *, bins: int = 10, strategy: Binning = "uniform"
) -> float:
    """Return the mean distance of predicted and observed frequency over the bins, 0 (best) to 1.

    It refers to the probability of the positive label, not of the more probable class. It is
    biased upwards: a perfectly calibrated model, too, has an error above 0 in a finite sample. See
    `reliability_curve` for the parameters.

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


@dataclass(frozen=True, slots=True)
class BrierParts:
    """The Brier score as ``reliability - resolution + uncertainty``.

    Attributes
    ----------
    reliability
        Mean squared distance of predicted and observed frequencies, 0 (best) or more.
    resolution
        Spread of the observed frequencies, higher is better. It includes the spread of predictions
        within a bin and may therefore be slightly below 0.
    uncertainty
        Variance of the labels, whatever the model: prevalence times one minus prevalence.
    """

    reliability: float
    resolution: float
    uncertainty: float


def brier_parts(
    y_true: ArrayLike, y_prob: ArrayLike, *, bins: int = 10, strategy: Binning = "uniform"
) -> BrierParts:
    """Decompose the Brier score; see `reliability_curve` for the parameters.

    The parts add up to the Brier score exactly, because resolution includes the within-bin terms.
    They are NaN without known labels.

    References
    ----------
    A. H. Murphy, J. Appl. Meteorol. 12 (1973) 595-600; the within-bin terms: D. B. Stephenson,
    C. A. S. Coelho & I. T. Jolliffe, Weather Forecast. 23 (2008) 752-757.
    """
    positive, values, _ = known(y_true, y_prob, probabilities=True)
    if not values.size:
        return BrierParts(math.nan, math.nan, math.nan)
    edges = bin_edges(values, bins, strategy)
    index, size = bin_index(values, edges), len(edges) - 1
    counts = np.maximum(np.bincount(index, minlength=size), 1)
    predicted = np.bincount(index, weights=values, minlength=size) / counts
    observed = np.bincount(index, weights=positive, minlength=size) / counts
    base = float(positive.mean())
    reliability = float(np.mean((predicted - observed)[index] ** 2))
    between = float(np.mean((observed[index] - base) ** 2))
    from_bin = values - predicted[index]
    within = float(np.mean(from_bin**2))
    agreement = 2 * float(np.mean(from_bin * (positive - observed[index])))
    return BrierParts(reliability, between - within + agreement, base * (1 - base))


def calibration_error_bias(
    y_prob: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
    seed: int | np.random.Generator = 0,
) -> float:
    """Return the expected calibration error that a perfectly calibrated model has by chance.

    The expected calibration error sums absolute gaps, so chance alone makes it larger than 0. This
    draws labels a thousand times from the probabilities themselves, which are those of the images
    with known label, and averages the error. It is smaller for more images, and NaN without images.

    References
    ----------
    J. Broecker, Clim. Dyn. 39 (2012) 655-667; R. Roelofs et al., AISTATS 2022.
    """
    _, values, _ = known(np.zeros(np.shape(y_prob)), y_prob, probabilities=True)
    if not values.size:
        return math.nan
    edges = bin_edges(values, bins, strategy)
    index, size = bin_index(values, edges), len(edges) - 1
    rng = np.random.default_rng(seed)
    total = sum(_gaps(values[index == number], rng) for number in range(size))
    return float(np.mean(total)) / values.size


def _gaps(own: Floats, rng: np.random.Generator) -> Floats:
    """Return |drawn positives - expected positives| of one bin for each draw."""
    if not own.size:
        return np.zeros(_DRAWS)
    expected, variance = float(own.sum()), float((own * (1 - own)).sum())
    if own.size > 2000:  # the sum of so many is normal for all practical purposes
        return np.abs(rng.normal(0.0, math.sqrt(variance), _DRAWS))
    counts = np.zeros(_DRAWS)
    for start in range(0, own.size, 256):
        part = own[start : start + 256]
        counts += (rng.random((_DRAWS, part.size)) < part).sum(axis=1)
    return np.abs(counts - expected)

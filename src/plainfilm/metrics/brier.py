"""Decomposes the Brier score and estimates the bias of the calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Floats, known
from plainfilm.metrics.calibration import Binning, bin_edges, bin_index

_DRAWS = 1000


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
        Variance of the labels: prevalence times one minus prevalence. It does not depend on the
        model.
    """

    reliability: float
    resolution: float
    uncertainty: float


def brier_parts(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
) -> BrierParts:
    """Decompose the Brier score.

    Parameters
    ----------
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_prob
        Probabilities (n,), 0 to 1.
    bins, strategy
        Bins, see `reliability_curve`.

    Returns
    -------
    BrierParts
        The parts add up to the Brier score exactly, because resolution includes the within-bin
        terms. NaN without known labels.

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
    draws labels a thousand times from the probabilities themselves and averages the error.

    Parameters
    ----------
    y_prob
        Probabilities (n,) of the images with known label, 0 to 1.
    bins, strategy
        Bins, see `expected_calibration_error`.
    seed
        Seed or generator.

    Returns
    -------
    float
        0 or more, smaller for more images; NaN without images.

    References
    ----------
    J. Broecker, Clim. Dyn. 39 (2012) 655-667; R. Roelofs et al., AISTATS 2022.
    """
    _, values, _ = known(np.zeros(np.shape(y_prob)), y_prob, probabilities=True)
    if not values.size:
        return math.nan
    edges = bin_edges(values, bins, strategy)
    index, size = bin_index(values, edges), len(edges) - 1
    total = np.zeros(_DRAWS)
    rng = np.random.default_rng(seed)
    for number in range(size):
        total += _gaps(values[index == number], rng)
    return float(total.mean()) / values.size


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

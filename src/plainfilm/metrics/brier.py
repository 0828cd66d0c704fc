"""What the Brier score and the calibration error are made of, and how far chance goes in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Floats, known
from plainfilm.metrics.calibration import Binning, bin_edges, bin_index

__all__ = ["BrierParts", "brier_parts", "calibration_error_bias"]

_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class BrierParts:
    """The Brier score as ``reliability - resolution + uncertainty``.

    Attributes
    ----------
    reliability
        How far the predictions are from what came true, 0 (best) and up.
    resolution
        How far the predictions tell images apart, higher is better; the spread of predictions
        within a bin counts here, so it may fall below 0 by a little.
    uncertainty
        How far the truth varies: prevalence times one minus prevalence, no merit of the model.
    """

    reliability: float
    resolution: float
    uncertainty: float

    def to_json(self) -> dict[str, float | None]:
        """Return the three by name, None where undefined."""
        parts = {"reliability": self.reliability, "resolution": self.resolution}
        parts["uncertainty"] = self.uncertainty
        return {name: part if math.isfinite(part) else None for name, part in parts.items()}


def brier_parts(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
) -> BrierParts:
    """Return what the Brier score is made of.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    probabilities
        (n,), 0 to 1.
    bins, strategy
        As for `reliability_curve`.

    Returns
    -------
    The parts; they add up to the Brier score exactly, since the within-bin terms are counted with
    the resolution. NaN if there is no known label.

    References
    ----------
    A. H. Murphy, J. Appl. Meteorol. 12 (1973) 595-600; the within-bin terms: D. B. Stephenson,
    C. A. S. Coelho & I. T. Jolliffe, Weather Forecast. 23 (2008) 752-757.
    """
    positive, values, _ = known(labels, probabilities, probabilities=True)
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
    spread = float(np.mean(from_bin**2))
    agreement = 2 * float(np.mean(from_bin * (positive - observed[index])))
    return BrierParts(reliability, between - spread + agreement, base * (1 - base))


def calibration_error_bias(
    probabilities: ArrayLike,
    *,
    bins: int = 10,
    strategy: Binning = "uniform",
    seed: int | np.random.Generator = 0,
) -> float:
    """Return the calibration error that a perfectly calibrated model has on average by chance.

    The expected calibration error sums absolute gaps, which chance alone makes larger than 0:
    here truth is drawn a thousand times from the very probabilities, and the error's mean is
    taken.

    Parameters
    ----------
    probabilities
        (n,) of the images of known label, 0 to 1.
    bins, strategy
        As for `expected_calibration_error`.
    seed
        A seed or a generator.

    Returns
    -------
    0 and up, falling with the number of images; NaN if there is none.

    References
    ----------
    J. Broecker, Clim. Dyn. 39 (2012) 655-667; R. Roelofs et al., AISTATS 2022.
    """
    _, values, _ = known(np.zeros(np.shape(probabilities)), probabilities, probabilities=True)
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
    """Return |drawn positives - expected positives| of one bin, for each draw."""
    if not own.size:
        return np.zeros(_DRAWS)
    expected, variance = float(own.sum()), float((own * (1 - own)).sum())
    if own.size > 2000:
        # A sum of so many: normal, as good as drawn, at no cost.
        drawn = rng.normal(0.0, math.sqrt(variance), _DRAWS)
        return np.abs(drawn)
    counts = np.zeros(_DRAWS)
    for start in range(0, own.size, 256):
        part = own[start : start + 256]
        counts += (rng.random((_DRAWS, part.size)) < part).sum(axis=1)
    return np.abs(counts - expected)

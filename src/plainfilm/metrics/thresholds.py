"""Computes thresholds in log odds for the original images and for each draw of patients.

In all functions ``logits`` (n,) increase, ``up`` (n,) marks the positives, ``groups`` (n,) is the
patient of each image, and ``drawn`` (R, patients) the number of draws of each patient.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.metrics._inputs import Bools, Floats, Ints
from plainfilm.metrics.statistics import draw_counts

Counts: TypeAlias = NDArray[np.uint16]

_AT_ONCE = 1 << 21  # floats
_GRID = 257


def silverman_bandwidth(values: ArrayLike) -> float:
    """Return 0.9 min(standard deviation, interquartile range / 1.34) n^(-1/5); 0 without spread."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return 0.0
    spreads = (array.std(ddof=1), np.subtract(*np.quantile(array, [0.75, 0.25])) / 1.34)
    # With saturated scores more than half of the values may be equal, and the range 0.
    spread = min((float(one) for one in spreads if one > 0), default=0.0)
    return float(0.9 * spread * array.size**-0.2)


def draw_patients(
    groups: Ints, up: Bools, patients: int, n_bootstrap: int, rng: np.random.Generator
) -> Counts:
    """Return the weight of each patient, (R, patients): 1 in the first row, then as drawn.

    Draws without a positive or a negative image are left out, so R is at most 1 + n_bootstrap.
    """
    # No patient is drawn 65,536 times: there are fewer patients, or each is drawn rarely.
    counts = draw_counts(patients, n_bootstrap, rng).astype(np.uint16)
    every = np.vstack([np.ones((1, patients), np.uint16), counts])
    has_up, has_down = (every[:, np.unique(groups[side])].any(axis=1) for side in (up, ~up))
    return every[has_up & has_down]


def _blocks(rows: int, width: int) -> list[slice]:
    """Return slices of rows of limited size: all rows as floats could take gigabytes."""
    step = max(1, _AT_ONCE // max(width, 1))
    return [slice(at, at + step) for at in range(0, rows, step)]


def _bandwidths(logits: Floats, up: Bools) -> tuple[float, float]:
    """Return the bandwidths for positives and negatives, both above 0.

    A class without spread (one image, or equal scores) takes that of the other class.
    """
    wide_up, wide_down = silverman_bandwidth(logits[up]), silverman_bandwidth(logits[~up])
    least = 1e-3 * max(float(np.ptp(logits)), 1e-3)
    wide_up, wide_down = wide_up or wide_down, wide_down or wide_up
    return max(wide_up, least), max(wide_down, least)


def balanced_thresholds(logits: Floats, up: Bools, groups: Ints, drawn: Counts) -> Floats:
    """Return the threshold with the highest smoothed balanced accuracy per row, in log odds.

    The bandwidths are those of the original images. They hardly vary between resamples, and fixed
    bandwidths let all resamples use the same kernel sums.
    """
    widths = _bandwidths(logits, up)
    reach = 3 * max(widths)
    grid = np.linspace(logits[0] - reach, logits[-1] + reach, _GRID)
    first = _lowest(grid, _log_error(grid, logits, up, groups, drawn, widths))
    # A finer grid around the minima.
    step = grid[1] - grid[0]
    fine = np.linspace(first.min() - step, first.max() + step, _GRID)
    return _lowest(fine, _log_error(fine, logits, up, groups, drawn, widths))


def _log_error(
    grid: Floats,
    logits: Floats,
    up: Bools,
    groups: Ints,
    drawn: Counts,
    widths: tuple[float, float],
) -> Floats:
    """Return the log of the smoothed, class-balanced error (R, grid).

    In a gap the error itself would be too small for a float.
    """
    from scipy.special import log_ndtr

    parts = []
    for own, sign, width in ((up, 1.0, widths[0]), (~up, -1.0, widths[1])):
        # Sums by patient, so that a resample adds patients instead of images.
        by_patient = np.argsort(groups[own], kind="stable")
        members, first, images = np.unique(
            groups[own][by_patient], return_index=True, return_counts=True
        )
        values, counts = logits[own][by_patient], drawn[:, members]
        blocks = _blocks(len(counts), len(members))
        total = np.concatenate([counts[rows].astype(np.float64) @ images for rows in blocks])
        columns = []
        block = max(1, _AT_ONCE // len(values))
        for start in range(0, len(grid), block):
            at = grid[None, start : start + block]
            tails = log_ndtr(sign * (at - values[:, None]) / width)
            top = tails.max(axis=0)
            kernel = np.add.reduceat(np.exp(tails - top), first, axis=0)
            sums = np.vstack([counts[rows].astype(np.float64) @ kernel for rows in blocks])
            columns.append(top + np.log(np.maximum(sums / total[:, None], 1e-300)))
        parts.append(np.concatenate(columns, axis=1))
    errors: Floats = np.logaddexp(*parts)
    return errors


def _lowest(grid: Floats, errors: Floats) -> Floats:
    """Return the minimum of each row of errors (R, grid), refined by a parabola."""
    at = np.clip(errors.argmin(axis=1), 1, len(grid) - 2)
    rows = np.arange(len(errors))
    left, middle, right = (errors[rows, at + shift] for shift in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.divide(left - right, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    refined: Floats = grid[at] + np.clip(shift, -1, 1) * (grid[1] - grid[0])
    return refined


def reaching_thresholds(
    logits: Floats, up: Bools, groups: Ints, drawn: Counts, target: float
) -> Floats:
    """Return the highest threshold that keeps ``target`` of the positives, per row of counts.

    It is halfway between the positive image that determines it and the next image below.
    """
    values, owners, setters = logits[up], groups[up], []
    for rows in _blocks(len(drawn), len(values)):
        mass = drawn[rows][:, owners]
        # The mass at or above each positive.
        kept = np.cumsum(mass[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
        enough = (kept >= target * kept[:, :1] - 1e-9) & (mass > 0)
        setters.append(len(values) - 1 - np.argmax(enough[:, ::-1], axis=1))
    edge = values[np.concatenate(setters)]
    below = np.searchsorted(logits, edge, side="left") - 1
    # Below the lowest image there is no next image: keep a distance of one bandwidth instead.
    distant = edge - 2 * _bandwidths(logits, up)[0]
    nearest: Floats = np.where(below >= 0, logits[np.maximum(below, 0)], distant)
    halfway: Floats = (edge + nearest) / 2
    return halfway

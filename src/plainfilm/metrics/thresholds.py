"""Where thresholds lie in log odds: for images as they are, and for every draw of their patients.

Everywhere ``logits`` (n,) rise, ``up`` (n,) tells the positives, ``groups`` (n,) numbers the
patients, and ``drawn`` (R, patients) says how often each patient counts.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.metrics._inputs import Bools, Floats, Ints

__all__ = [
    "balanced_thresholds",
    "draw_patients",
    "reaching_thresholds",
    "silverman_bandwidth",
]

Counts: TypeAlias = NDArray[np.uint16]

_AT_ONCE = 1 << 21  # floats
_GRID = 257


def silverman_bandwidth(values: ArrayLike) -> float:
    """Return 0.9 min(standard deviation, interquartile range / 1.34) n^(-1/5); 0 if no spread."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return 0.0
    spreads = [
        float(array.std(ddof=1)),
        float(np.subtract(*np.quantile(array, [0.75, 0.25])) / 1.34),
    ]
    # More than half of the values may coincide (saturated scores), which leaves no range.
    spread = min((one for one in spreads if one > 0), default=0.0)
    return float(0.9 * spread * array.size**-0.2)


def draw_patients(
    groups: Ints, up: Bools, patients: int, replicates: int, rng: np.random.Generator
) -> Counts:
    """Return how often each patient counts, (R, patients): first once, then as drawn.

    Of patients, not of images: there are fewer, by far where each image is shown several times.
    Draws without any positive (``up``) or negative are left out; so R is 1 + replicates or fewer.
    ``groups`` numbers the patient of each image.
    """
    drawn = rng.integers(0, patients, (replicates, patients))
    drawn += np.arange(replicates)[:, None] * patients
    tally = np.bincount(drawn.ravel(), minlength=replicates * patients)
    # Nobody is drawn 65,536 times: there are fewer patients than that, or each is drawn rarely.
    counts = tally.reshape(replicates, patients).astype(np.uint16)
    every = np.vstack([np.ones((1, patients), np.uint16), counts])
    return every[_any(every, groups[up]) & _any(every, groups[~up])]


def _any(drawn: Counts, groups: Ints) -> Bools:
    """Return of each row of counts whether it has any of these patients."""
    return np.asarray(drawn[:, np.unique(groups)].any(axis=1))


def _blocks(rows: int, width: int) -> list[slice]:
    """Return some rows at a time: as floats, all of many images would take gigabytes."""
    step = max(1, _AT_ONCE // max(width, 1))
    return [slice(at, at + step) for at in range(0, rows, step)]


def _bandwidths(logits: Floats, up: Bools) -> tuple[float, float]:
    """Return the kernel's width for positives and negatives, both above 0.

    A class without spread (one image, or all alike) borrows the other's.
    """
    wide_up, wide_down = silverman_bandwidth(logits[up]), silverman_bandwidth(logits[~up])
    least = 1e-3 * max(float(np.ptp(logits)), 1e-3)
    wide_up, wide_down = wide_up or wide_down, wide_down or wide_up
    return max(wide_up, least), max(wide_down, least)


def balanced_thresholds(logits: Floats, up: Bools, groups: Ints, drawn: Counts) -> Floats:
    """Return where the smoothed balanced accuracy is highest, in log odds, per row of counts.

    The bandwidths are those of the images as they are: they hardly vary between resamples, and
    holding them lets every resample use the same kernel sums.
    """
    widths = _bandwidths(logits, up)
    reach = 3 * max(widths)
    grid = np.linspace(logits[0] - reach, logits[-1] + reach, _GRID)
    first = _lowest(grid, _log_error(grid, logits, up, groups, drawn, widths))
    # Once more, where the minima are.
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

    In logs, because inside a gap the error itself is too small for a float.
    """
    from scipy.special import log_ndtr

    parts = []
    for own, sign, width in ((up, 1.0, widths[0]), (~up, -1.0, widths[1])):
        # Patient by patient, so that a resample adds up patients and not their images.
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
    """Return where each row of errors (R, grid) is lowest, refined by a parabola."""
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

    Logits (n,) rise. It lies halfway between the positive that sets it and the next image below.
    """
    values, owners, setters = logits[up], groups[up], []
    for rows in _blocks(len(drawn), len(values)):
        mass = drawn[rows][:, owners]
        kept = np.cumsum(mass[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]  # at or above each one
        enough = (kept >= target * kept[:, :1] - 1e-9) & (mass > 0)
        setters.append(len(values) - 1 - np.argmax(enough[:, ::-1], axis=1))
    edge = values[np.concatenate(setters)]
    below = np.searchsorted(logits, edge, side="left") - 1
    # Below the lowest image there is no next one: keep a bandwidth away instead.
    away = edge - 2 * _bandwidths(logits, up)[0]
    nearest: Floats = np.where(below >= 0, logits[np.maximum(below, 0)], away)
    halfway: Floats = (edge + nearest) / 2
    return halfway

"""Finds the range of grey values that few extreme pixels do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 0.001  # share of the pixels that may be outliers
FEW_BEYOND_GAP = 0.02  # the same, if a gap separates them from all others
_DISTINCT = 64  # values: an image with fewer is a mask, or of one grey
_CLEAR = 0.04  # share of a sample at both ends: there is no outlier
_SAMPLE = 1 << 14  # pixels
_MOST = 1 << 20  # values to sort
_AT_ONCE = 1 << 15  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class Occurrence:
    """Where the values of a table occur in an image."""

    codes: NDArray[Any] | None
    """Position in the table of each pixel (rows, columns). None if the table is the image."""
    ignored: NDArray[np.bool_]
    """Entries of the table that do not count, such as padding."""

    def sample(self) -> NDArray[np.intp]:
        """Return the positions in the table of some ten thousand pixels on a grid."""
        rows, columns = np.atleast_2d(self.ignored if self.codes is None else self.codes).shape
        step = max(1, int((rows * columns / _SAMPLE) ** 0.5))
        if self.codes is None:
            grid = np.arange(0, rows, step)[:, None] * columns + np.arange(0, columns, step)
        else:
            grid = self.codes[::step, ::step]
        positions: NDArray[np.intp] = grid.ravel().astype(np.intp)
        return positions[~self.ignored.ravel()[positions]]

    def seen(self) -> NDArray[np.bool_]:
        """Return which entries of the table occur in the image."""
        if self.codes is None:
            return ~self.ignored
        occurs = np.zeros(len(self.ignored), dtype=bool)
        occurs[self.codes] = True
        return occurs & ~self.ignored

    def counts(self, seen: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return how often each of the ``seen`` entries occurs."""
        if self.codes is None:
            return np.ones(int(seen.sum()), np.intp)
        total = np.zeros(len(self.ignored), np.intp)
        rows = max(1, _AT_ONCE // self.codes.shape[1])
        for at in range(0, len(self.codes), rows):
            total += np.bincount(self.codes[at : at + rows].ravel(), minlength=len(total))
        return total[seen]


def range_of(
    values: NDArray[Any], pixels: Occurrence, sample: NDArray[np.intp]
) -> tuple[float, float, bool]:
    """Return the lowest and the highest value, and whether outliers were left out.

    Values at one end are outliers if they take more than half of the range and are at most 0.1 % of
    the pixels, or at most 2 % behind a gap as wide as the range of all others. An image of fewer
    than 64 values has none. ``values`` is the table, ``sample`` that of ``pixels``.
    """
    seen = pixels.seen()
    found = values[seen]
    if not found.size:
        return 0.0, 0.0, False
    low, high = float(found.min()), float(found.max())
    middle = low + (high - low) / 2
    share = float(np.mean(values.ravel()[sample] > middle)) if sample.size else 0.0
    if high <= low or _CLEAR < share < 1 - _CLEAR:
        return low, high, False
    weights = pixels.counts(seen)
    some = found
    if found.size > _MOST:  # a sample with both ends: sorting all would take memory and time
        some = np.concatenate((found[:: -(-found.size // _MOST)], [low, high]))
        weights = np.ones(some.size, np.intp)
    order = np.argsort(some, kind="stable")
    ordered, weights = some[order].astype(np.float64), weights[order]
    if share < 0.5:
        limit = _limit(ordered, weights)
        return low, float(found[found <= limit].max()), limit < high
    limit = -_limit(-ordered[::-1], weights[::-1])
    return float(found[found >= limit].min()), high, limit > low


def _limit(ordered: NDArray[np.float64], weights: NDArray[np.intp]) -> float:
    """Return a limit between the highest value that is no outlier and the lowest that is one."""
    last = len(ordered) - 1
    share = np.cumsum(weights) / weights.sum()
    inner = int(np.searchsorted(share, 1 - FEW))
    top = 2 * ordered[inner] - ordered[0]
    kept = int(np.searchsorted(ordered, top, side="right")) - 1
    if kept == last:
        wide = np.diff(ordered) >= ordered[:-1] - ordered[0]
        behind = wide & (share[:-1] >= 1 - FEW_BEYOND_GAP)
        kept = int(np.argmax(behind)) if behind.any() else last
    if kept == last or len(np.unique(ordered[: kept + 1])) < _DISTINCT:
        return float(ordered[last])
    return float(ordered[kept] + ordered[kept + 1]) / 2

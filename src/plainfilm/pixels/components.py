"""Connected components of a mask, without a library that takes long to import."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Components of a mask, whose pixels share a side, as runs of pixels in a row.

    Attributes
    ----------
    boxes
        Left, top, right and bottom of each component, (k, 4); right and bottom are exclusive.
    """

    boxes: Ints
    _rows: Ints
    _starts: Ints
    _stops: Ints
    _order: Ints  # the runs, sorted by component
    _first: Ints  # (k + 1) where the runs of each component begin in that order

    def mask(self, number: int) -> Mask:
        """Return the pixels of a component within its box."""
        left, top, right, bottom = self.boxes[number].tolist()
        own = np.zeros((bottom - top, right - left), bool)
        for run in self._order[self._first[number] : self._first[number + 1]].tolist():
            own[self._rows[run] - top, self._starts[run] - left : self._stops[run] - left] = True
        return own


def find_components(mask: Mask) -> Components:
    """Find the components of a mask (height, width)."""
    width = mask.shape[1] + 2  # a column on each side ends every run
    padded = np.zeros((mask.shape[0], width), bool)
    padded[:, 1:-1] = mask
    flat = padded.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begins, ends = changes[::2], changes[1::2]
    rows = begins // width
    starts, stops = begins - rows * width - 1, ends - rows * width - 1
    labels = _labels(begins, ends, width)
    order = np.argsort(labels, kind="stable")
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))
    if len(order):
        lows = [np.minimum.reduceat(values[order], first) for values in (starts, rows)]
        highs = [np.maximum.reduceat(values[order], first) for values in (stops, rows + 1)]
        boxes = np.stack([*lows, *highs], axis=1)
    else:
        boxes = np.empty((0, 4), np.intp)
    return Components(boxes, rows, starts, stops, order, np.append(first, len(order)))


def _labels(begins: Ints, ends: Ints, width: int) -> Ints:
    """Return for each run the number of the first run of its component."""
    # A run touches those of the next row that end after its first and begin before its last pixel.
    low = np.searchsorted(ends, begins + width, side="right")
    counts = np.maximum(0, np.searchsorted(begins, ends + width, side="left") - low)
    upper = np.repeat(np.arange(len(begins)), counts)
    lower = np.arange(len(upper)) + np.repeat(low - np.cumsum(counts) + counts, counts)
    labels = np.arange(len(begins))
    while True:
        smaller = np.minimum(labels[upper], labels[lower])
        merged = labels.copy()
        np.minimum.at(merged, labels[upper], smaller)
        np.minimum.at(merged, labels[lower], smaller)
        merged = merged[merged]
        if np.array_equal(merged, labels):
            return labels
        labels = merged

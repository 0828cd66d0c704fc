"""Judges and matches the distribution of an image's grey levels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLANK_RANGE = 6
"""Largest number of grey levels between the 1st and the 99th percentile of a blank image."""

_MEAN, _DEVIATION = 110.0, 55.0
_LEVELS = np.arange(256)
_REFERENCE = np.array(
    [0.5 + 0.5 * math.erf((level - _MEAN) / (_DEVIATION * math.sqrt(2))) for level in range(256)]
)


def match_histogram(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image (height, width) with grey levels that are normally distributed.

    The mean is 110 and the standard deviation 55, cut to 0 to 255. A grey level becomes the
    quantile of this distribution at the share of pixels that are darker, plus half the share that
    are equal. Black lines at the edges are not counted and remain black. A blank image is not
    changed.
    """
    inside = _content(pixels)
    content = pixels[inside]
    if is_blank(content):
        return pixels
    counts = np.bincount(content.ravel(), minlength=256)
    shares = (np.cumsum(counts) - counts / 2) / content.size
    table = np.rint(np.interp(shares, _REFERENCE, _LEVELS)).astype(np.uint8)
    matched = np.zeros_like(pixels)
    matched[inside] = table[content]
    return matched


def is_blank(pixels: NDArray[np.uint8], *, padded: bool = False) -> bool:
    """Return whether nearly all pixels have the same grey level.

    ``padded`` ignores black lines at the edges, which preparation may have added.
    """
    if padded:
        pixels = pixels[_content(pixels)]
    # Counting every pixel takes ten times as long as comparing the quartiles of a grid.
    step = max(1, len(pixels) // 16)
    grid = np.sort(pixels[::step, ::step], axis=None)
    if int(grid[3 * grid.size // 4]) - int(grid[grid.size // 4]) > BLANK_RANGE:
        return False
    below = np.cumsum(np.bincount(pixels.ravel(), minlength=256)) / pixels.size
    low, high = np.searchsorted(below, (0.01, 0.99))
    return bool(high - low <= BLANK_RANGE)


def _content(pixels: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return rows and columns without the lines at the edges that are entirely black."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

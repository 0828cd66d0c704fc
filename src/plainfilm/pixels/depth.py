"""Reduces raster samples of more than 8 bits to grey levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.pixels.outliers import FEW, FEW_BEYOND_GAP, Occurrence, range_of

_SAMPLE = 10_007  # pixels; a prime does not follow the columns


def grey_from_depth(values: NDArray[Any]) -> tuple[NDArray[np.uint8], dict[str, str | float]]:
    """Reduce integers or floats (rows, columns) to grey levels.

    Integers are divided by the range of the smallest depth (8 to 16 bits) that holds all values but
    outliers, which become white. So 12-bit values in a 16-bit file look as intended, values that
    fill 16 bits become exactly their upper 8 bits, and the exposure is kept: stretching each image
    from its minimum to its maximum would let one burnt-in white letter change the whole image.
    Outliers are at most 0.1 % of the pixels, or at most 2 % where the next depth has no pixel.
    Floats within 0 to 1 keep that range. All others (negative, 32 bits, other floats) are stretched
    from minimum to maximum without outliers, and values that are not finite become black.

    The second result is metadata: ``window``, the range that became 0 to 255, such as ``0..4095``,
    and ``corrected`` if there were outliers.
    """
    if values.dtype.kind in "ui":
        lowest, highest = int(values.min()), int(values.max())
        if lowest >= 0 and highest < 1 << 16:
            bits = _depth(values, highest)
            top = (1 << bits) - 1
            # Rounded to the nearest in integers; the table is as long as the range.
            table = ((np.arange(top + 1, dtype=np.uint32) * 510 + top) // (2 * top)).astype("u1")
            if highest <= top:
                return table[values], {"window": f"0..{top}"}
            return table[np.minimum(values, top)], _notes(f"0..{top}", True)
    pixels = Occurrence(None, ~np.isfinite(values))
    low, high, outliers = range_of(values, pixels, pixels.sample())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high, outliers = 0.0, 1.0, False
    scaled = (values.astype(np.float64) - low) * (255 / (high - low or 1.0))
    scaled = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0), 0, 255)
    return np.rint(scaled).astype(np.uint8), _notes(f"{low:g}..{high:g}", outliers)


def _notes(window: str, outliers: bool) -> dict[str, str | float]:
    notes: dict[str, str | float] = {"window": window}
    return notes | {"corrected": "outliers"} if outliers else notes


def _depth(values: NDArray[Any], highest: int) -> int:
    """Return the bits, at least 8, of all values but outliers."""
    bits = max(8, highest.bit_length())
    above = 0
    some = values.ravel()[:: max(1, values.size // _SAMPLE)]
    for fewer in range(bits - 1, 7, -1):
        if np.count_nonzero(some >> fewer) > 2 * FEW_BEYOND_GAP * some.size:
            break  # nearly every image ends here
        beyond = int(np.count_nonzero(values >> fewer))
        if beyond > FEW_BEYOND_GAP * values.size:
            break
        if beyond <= FEW * values.size or beyond == above:
            bits = fewer
        above = beyond
    return bits

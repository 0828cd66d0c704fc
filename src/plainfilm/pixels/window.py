"""Maps stored values of more than 8 bits to grey levels, as pure functions.

Sources: DICOM PS3.3 C.11.1 (modality lookup table) and C.11.2 (VOI lookup table, windows).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True)
class Window:
    """Centre, width and function of a window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def is_valid(self) -> bool:
        """Whether the standard allows it: a finite width, at least 1 if LINEAR, else above 0."""
        if self.function not in _FUNCTIONS or not np.isfinite([self.center, self.width]).all():
            return False
        return self.width >= 1 if self.function == "LINEAR" else self.width > 0

    def __str__(self) -> str:
        return f"{self.function} {self.center:g}/{self.width:g}"


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A table of the modality or the VOI LUT sequence (PS3.3 C.11.1.1, C.11.2.1.1)."""

    first: int  # input value of the first entry
    entries: FloatArray  # output values, (n,)
    bits: int  # of each entry: the output is between 0 and 2**bits - 1


def window_levels(values: FloatArray, window: Window) -> FloatArray:
    """Map values through a valid window to levels of 0 to 1, the output range of the standard."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        # Beyond 700 the exponential overflows; the result is 0 or 1 long before.
        slope = np.clip(-4 * (values - center) / width, -700, 700)
        return np.asarray(1 / (1 + np.exp(slope)))
    if window.function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:  # a threshold: the ramp between the two bounds has no length
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def look_up(values: FloatArray, table: LookupTable) -> FloatArray:
    """Map values through a table; values outside of it take its first or last entry."""
    index = np.clip(np.rint(values - table.first), 0, len(table.entries) - 1)
    return table.entries[index.astype(np.intp)]


def grey_from_depth(values: NDArray[np.generic]) -> tuple[NDArray[np.uint8], str]:
    """Reduce integers or floats of more than 8 bits to grey levels.

    Integers are divided by the range of the smallest depth (8 to 16 bits) that holds the largest
    value. So 12-bit values in a 16-bit file look as intended, values that fill 16 bits become
    exactly their upper 8 bits, and the exposure is kept: stretching each image from its minimum to
    its maximum would let one burnt-in white letter change the whole image. Floats within 0 to 1
    keep that range. All others (negative, 32 bits, other floats) are stretched from minimum to
    maximum, and values that are not finite become black. The second result is the range that became
    0 to 255, such as ``"0..4095"``.
    """
    if values.dtype.kind in "ui":
        lowest, highest = int(values.min()), int(values.max())
        if lowest >= 0 and highest < 1 << 16:
            top = (1 << max(8, highest.bit_length())) - 1
            # Rounded to the nearest in integers; the table is as long as the range.
            table = ((np.arange(top + 1, dtype=np.uint32) * 510 + top) // (2 * top)).astype("u1")
            return table[values], f"0..{top}"
        low, high = float(lowest), float(highest)
    else:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
    span = high - low or 1.0
    scaled = (values.astype(np.float64) - low) * (255 / span)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(scaled).astype(np.uint8), f"{low:g}..{high:g}"

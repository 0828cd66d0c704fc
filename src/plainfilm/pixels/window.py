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

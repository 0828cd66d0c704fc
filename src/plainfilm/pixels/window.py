"""What DICOM does between a stored value and the grey that is shown, as pure functions.

Sources: DICOM PS3.3 C.11.1 (Modality LUT) and C.11.2 (VOI LUT, windows).
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
        """Whether the standard allows it: a finite width of at least 1, above 0 if not LINEAR."""
        if self.function not in _FUNCTIONS or not np.isfinite([self.center, self.width]).all():
            return False
        return self.width >= 1 if self.function == "LINEAR" else self.width > 0

    def __str__(self) -> str:
        return f"{self.function} {self.center:g}/{self.width:g}"


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A table of the Modality or the VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Attributes
    ----------
    first
        The input value that the first entry is for.
    entries
        Output values, float64 (n,).
    bits
        Bits of each entry: the output lies in 0 to 2**bits - 1.
    """

    first: int
    entries: FloatArray
    bits: int


def window_levels(values: FloatArray, window: Window) -> FloatArray:
    """Map values through a window to 0 to 1 (the standard's output range, scaled).

    Parameters
    ----------
    values
        Output of the modality step.
    window
        A valid one.

    Returns
    -------
    levels
        float64 of the same shape, 0 to 1.
    """
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        # Beyond 700 the exponential leaves the range of floats; it is 0 or 1 long before.
        slope = np.clip(-4 * (values - center) / width, -700, 700)
        return np.asarray(1 / (1 + np.exp(slope)))
    if window.function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:  # a threshold: the ramp between the two bounds has no length
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def look_up(values: FloatArray, table: LookupTable) -> FloatArray:
    """Map values through a table; those before its first or after its last entry take that one.

    Returns
    -------
    output
        float64 of the same shape.
    """
    index = np.clip(np.rint(values - table.first), 0, len(table.entries) - 1)
    return table.entries[index.astype(np.intp)]

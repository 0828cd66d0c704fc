"""Plans how many adaptation images a target precision of the calibration requires."""

from __future__ import annotations

import math

from plainfilm.adaptation.document import PlannedSize
from plainfilm.metrics import Interval, LabelFit

TARGETS = (0.5, 0.2, 0.1)
"""Half widths of the 95 % intervals of slope and intercept that are planned for."""


def plan_sizes(fit: LabelFit, images: int, patients: int) -> tuple[PlannedSize, ...]:
    """Return the adaptation images for narrower intervals of slope and intercept.

    The width of an interval falls with the square root of the number of patients, for the same
    share of positives and as many images per patient.
    """
    planned = []
    for quantity, interval in (("slope", fit.slope), ("intercept", fit.intercept)):
        half = half_width(interval)
        for target in TARGETS:
            if half is not None and target < half:
                factor = (half / target) ** 2
                planned.append(
                    PlannedSize(
                        quantity="slope" if quantity == "slope" else "intercept",
                        half_width=half,
                        target=target,
                        images=math.ceil(images * factor),
                        patients=math.ceil(patients * factor),
                    )
                )
    return tuple(planned)


def half_width(interval: Interval) -> float | None:
    """Return half the width of an interval, or None without limits."""
    width = interval.high - interval.low
    return width / 2 if math.isfinite(width) else None

"""The images of one label, and what is drawn again for their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.metrics import (
    BLOCKS,
    THRESHOLDS,
    Interval,
    Statistic,
    bin_edges,
    bin_index,
    bootstrap_interval,
    decision_statistic,
    log_losses,
    ranking_statistic,
    rates_statistic,
    totals_statistic,
)

__all__ = ["BINS", "LabelView"]

BINS = 10
"""Of the calibration error and the reliability curve."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelView:
    """The images of known label, and the statistics to draw for them.

    Attributes
    ----------
    positive, probabilities, groups
        (n,): truth, probability and patient number.
    drawn, units
        (n,): the number of what is drawn again with the image, a patient or, of very many, a
        block of patients; and how many of them the whole split has.
    clustered
        Whether some patient has several images.
    """

    positive: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.intp]
    drawn: NDArray[np.intp]
    units: int
    clustered: bool

    @property
    def unit(self) -> str:
        """Return what is drawn, in words."""
        name = "patients" if self.clustered else "images"
        return f"{name} in {BLOCKS} blocks" if self.units == BLOCKS else name

    def score_statistics(self) -> tuple[Statistic, Statistic, Statistic]:
        """Return the ranking statistic, (images, Brier sum, log-loss sum, gap per bin), and the
        net benefits.
        """
        index = bin_index(self.probabilities, bin_edges(self.probabilities, BINS, "uniform"))
        gaps = np.zeros((len(index), BINS))
        gaps[np.arange(len(index)), index] = self.probabilities - self.positive
        columns = [
            np.ones(len(index)),
            (self.probabilities - self.positive) ** 2,
            log_losses(self.positive, self.probabilities),
        ]
        sums = totals_statistic(np.column_stack([*columns, gaps]), self.drawn, self.units)
        cases = (self.positive, self.probabilities, self.drawn, self.units)
        return (
            ranking_statistic(*cases),
            sums,
            decision_statistic(*cases, np.array(THRESHOLDS)),
        )

    def rate_statistic(self, called: NDArray[np.bool_]) -> Statistic:
        """Return the statistic of all rates of the calls (n,)."""
        return rates_statistic(self.positive, called, self.drawn, self.units)

    def interval(
        self, name: str, value: float, drawn: NDArray[np.float64], called: NDArray[np.bool_]
    ) -> Interval:
        """Return the interval of a value from its replicates (R,), at the calls (n,)."""
        return bootstrap_interval(
            name,
            value,
            drawn,
            positive=self.positive,
            called=called,
            groups=self.groups,
            unit=self.unit,
        )

    def at_once(self, statistic: Statistic) -> NDArray[np.float64]:
        """Return a statistic (k,) of the images as they are."""
        return statistic(np.ones((1, self.units)))[:, 0]

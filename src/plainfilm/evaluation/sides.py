"""The two sides of a comparison of images: a subgroup and the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm import metrics
from plainfilm.evaluation.view import Bools, Floats, LabelView

MINIMUM = 10
"""Number of patients of a class that results for the class take."""


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """The images of known label, with their predicted class and the size of the bootstrap."""

    view: LabelView
    predicted: Bools | None  # at the default operating point
    others: Mapping[str, Bools]  # at the others, by name
    bins: NDArray[np.intp] | None  # of the scores, where there are very many
    n_bootstrap: int

    @property
    def positive(self) -> Bools:
        return self.view.positive

    def patients(self, rows: Bools) -> int:
        return self.view.clusters[rows].patients

    def side(self, rows: Bools) -> Side:
        """Return some of the images, to be compared with others."""
        predicted = None if self.predicted is None else self.predicted[rows]
        bins = None if self.bins is None else self.bins[rows]
        return Side.of(self.view[rows], predicted, bins)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The images on one side of a comparison, and their patients by number."""

    view: LabelView
    predicted: Bools | None
    bins: NDArray[np.intp] | None
    positives: int  # patients with a positive image
    negatives: int
    present: Bools

    @classmethod
    def of(cls, view: LabelView, predicted: Bools | None, bins: NDArray[np.intp] | None) -> Side:
        groups, positive = view.clusters.groups, view.positive
        up, down = (np.bincount(groups[side]) > 0 for side in (positive, ~positive))
        size = max(len(up), len(down))
        up, down = (np.pad(one, (0, size - len(one))) for one in (up, down))
        return cls(view, predicted, bins, int(up.sum()), int(down.sum()), up | down)

    def statistics(self) -> list[metrics.Statistic]:
        """Return the statistic of the AUROC and, at an operating point, of the rates."""
        called = () if self.predicted is None else (self.predicted,)
        area = self.view.area_statistic(self.bins)
        return [area, *(self.view.rate_statistic(one) for one in called)]

    def interval(
        self, name: str, value: float, drawn: Floats, predicted: Bools | None
    ) -> metrics.Interval:
        """Return the interval of a metric, undefined where the patients are too few."""
        up, down, positive = self.positives, self.negatives, self.view.positive
        needed = {"auroc": min(up, down), "sensitivity": up, "specificity": down}[name]
        if needed < MINIMUM:
            why = metrics.why_undefined(name, metrics.confusion(positive, np.zeros_like(positive)))
            return metrics.undefined("none", why or f"fewer than {MINIMUM} patients of a class")
        return self.view.interval(name, value, drawn, predicted, unit="patients")

    def shares_patients(self, other: Side) -> bool:
        """Return whether some patient is on both sides."""
        size = min(len(self.present), len(other.present))
        return bool(np.any(self.present[:size] & other.present[:size]))

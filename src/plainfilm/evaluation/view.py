"""The images of one label, and the units that the bootstrap draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm import metrics
from plainfilm.records import OperatingPoint

BINS = 10
"""Number of bins of the calibration error and the reliability curve."""


Item = TypeVar("Item")
Result = TypeVar("Result")
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = Bools | NDArray[np.intp]

NO_POINT = metrics.undefined("none", "no operating point is given or locked for this label")
ONE_CLASS = metrics.undefined("none", "one class is missing")


def default_points(points: Iterable[OperatingPoint]) -> dict[str, OperatingPoint]:
    """Return the balanced operating point of each label, or else its first one."""
    found: dict[str, OperatingPoint] = {}
    for point in points:
        if point.label not in found or point.purpose == "balanced":
            found[point.label] = point
    return found


def default_thresholds(points: Iterable[OperatingPoint]) -> dict[str, float]:
    """Return the threshold of the default operating point of each label that has one."""
    return {label: point.threshold for label, point in default_points(points).items()}


def for_each(
    function: Callable[[Item], Result], items: Iterable[Item], images: int
) -> list[Result]:
    """Return the results of a function, of very many images computed by two threads.

    numpy computes outside the interpreter's lock. Each thread takes about 100 bytes per image. The
    threads of BLAS would wait for each other: they make it three times slower.
    """
    if images <= metrics.MANY:
        return [function(item) for item in items]
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def repeated(patients: NDArray[np.str_]) -> NDArray[np.str_] | None:
    """Return patient keys (n,), or None where each patient has one image."""
    return patients if len(np.unique(patients)) < len(patients) else None


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The patients of images, and the units that the bootstrap draws.

    A unit is a patient or, of very many patients, a block of them. ``units`` is their number in the
    whole split, and ``clustered`` is whether some patient of the split has several images.
    """

    groups: NDArray[np.intp]  # (n,): number of the patient
    drawn: NDArray[np.intp]  # (n,): number of the unit
    units: int
    clustered: bool

    @classmethod
    def of(cls, patients: Sequence[str], n: int) -> Clusters:
        """Group ``n`` images by their patient keys."""
        groups, count = metrics.group_index(patients, n)
        return cls(groups, *metrics.pool(groups, count), count < n)

    def __getitem__(self, rows: Rows) -> Clusters:
        return Clusters(self.groups[rows], self.drawn[rows], self.units, self.clustered)

    @property
    def patients(self) -> int:
        """Return the number of patients."""
        return int(np.count_nonzero(np.bincount(self.groups)))

    @property
    def unit(self) -> str:
        """Return the name of the units, for the method of an interval."""
        name = "patients" if self.clustered else "images"
        return f"{name} in {metrics.BLOCKS} blocks" if self.units == metrics.BLOCKS else name

    def replicate(
        self, statistics: Sequence[metrics.Statistic], n_bootstrap: int, seed: int = 0
    ) -> list[Floats]:
        """Return each statistic on resampled units, (k, n_bootstrap)."""
        return metrics.replicate(
            statistics,
            patients=self.units,
            images=len(self.groups),
            n_bootstrap=n_bootstrap,
            rng=np.random.default_rng(seed),
        )


@dataclass(frozen=True, slots=True, eq=False)
class LabelView:
    """Images of known label: ground truth (n,), probabilities (n,) and patients."""

    positive: Bools
    probabilities: Floats
    clusters: Clusters

    @classmethod
    def of(cls, labels: Floats, probabilities: Floats, clusters: Clusters) -> LabelView:
        """Return the view of the images (n,) whose label is not NaN."""
        known = ~np.isnan(labels)
        return cls(labels[known] == 1, probabilities[known], clusters[known])

    def __getitem__(self, rows: Rows) -> LabelView:
        return LabelView(self.positive[rows], self.probabilities[rows], self.clusters[rows])

    def ranking_statistic(self) -> metrics.Statistic:
        """Return the statistic of AUROC, average precision and partial AUROC."""
        units = self.clusters.drawn, self.clusters.units
        return metrics.ranking_statistic(self.positive, self.probabilities, *units)

    def area_statistic(self, bins: NDArray[np.intp] | None = None) -> metrics.Statistic:
        """Return the statistic of the AUROC alone; ``bins`` (n,) are those of the scores."""
        units = self.clusters.drawn, self.clusters.units
        return metrics.area_statistic(self.positive, self.probabilities, *units, bins)

    def score_statistics(self) -> tuple[metrics.Statistic, metrics.Statistic, metrics.Statistic]:
        """Return the ranking statistic, the sums and the net benefits.

        The sums are the number of images, the Brier score, the log loss and the calibration gap
        of each bin.
        """
        edges = metrics.bin_edges(self.probabilities, BINS, "uniform")
        index = metrics.bin_index(self.probabilities, edges)
        errors = self.probabilities - self.positive
        losses = metrics.log_losses(self.positive, self.probabilities)
        groups, count = units = self.clusters.drawn, self.clusters.units
        columns = [np.bincount(groups, one, count) for one in (None, errors**2, losses)]
        gaps = np.bincount(groups * BINS + index, errors, count * BINS).reshape(count, BINS)
        return (
            self.ranking_statistic(),
            metrics.sums_statistic(np.column_stack([*columns, gaps])),
            metrics.decision_statistic(
                self.positive, self.probabilities, *units, np.array(metrics.THRESHOLDS)
            ),
        )

    def rate_statistic(self, predicted: Bools) -> metrics.Statistic:
        """Return the statistic of all rates of the predictions (n,)."""
        units = self.clusters.drawn, self.clusters.units
        return metrics.rates_statistic(self.positive, predicted, *units)

    def interval(
        self,
        name: str,
        value: float,
        drawn: Floats,
        predicted: Bools | None = None,
        unit: str | None = None,
    ) -> metrics.Interval:
        """Return the interval of a metric from its replicates (R,) at the predictions (n,)."""
        return metrics.bootstrap_interval(
            name,
            value,
            drawn,
            positive=self.positive,
            called=np.zeros_like(self.positive) if predicted is None else predicted,
            groups=self.clusters.groups,
            unit=unit or self.clusters.unit,
        )

    def ranking_interval(self, name: str, value: float, drawn: Floats) -> metrics.Interval:
        """Return the interval of a metric without a threshold, undefined with the reason."""
        why = metrics.why_undefined(
            name, metrics.confusion(self.positive, np.zeros_like(self.positive))
        )
        return self.interval(name, value, drawn) if why is None else metrics.undefined("none", why)

    def at_once(self, statistic: metrics.Statistic) -> Floats:
        """Return a statistic (k,) of all images, each once."""
        return statistic(np.ones((1, self.clusters.units)))[:, 0]

"""The documents about several evaluations: external validation, comparison and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from plainfilm import _files
from plainfilm._csv import records_to_csv
from plainfilm._document import Document
from plainfilm._json import to_json
from plainfilm._text import plural
from plainfilm.evaluation.document.evaluation import DatasetSummary, ModelSummary
from plainfilm.metrics import Interval, Verdict

OVERLAPPING = "overlapping"
"""Role of a data set with training images or patients: it is not external."""


@dataclass(frozen=True, slots=True)
class ExternalRow:
    """The results on one data set of an external validation.

    Attributes
    ----------
    role, folder
        ``internal validation``, ``internal test``, ``official test``, ``external``, or
        ``overlapping`` for a data set with images or patients that the bundle was trained or
        validated on; name of the folder of the evaluation.
    positives, prevalence, calibration_slope, in_the_large
        None if the task is not binary.
    rejected, indeterminate
        Number of rejected images, and by label of indeterminate ones; None without either.
    difference
        By metric: this row less the first one; None in the first row.
    overlap, without
        Number of images that the bundle was trained or validated on, or whose patient is, and the
        metrics of the others; both None in the rows of the bundle's own run.
    within
        AUROC within the values of each column that is related to the label (see
        `plainfilm.evaluation.document.subgroups.WithinStrata`); empty if the task is not binary.
    """

    name: str
    role: str
    folder: str
    n: int
    patients: int
    positives: int | None
    prevalence: float | None
    metrics: Mapping[str, Interval]
    calibration_slope: Interval | None
    in_the_large: Interval | None
    rejected: int | None
    indeterminate: Mapping[str, int] | None
    difference: Mapping[str, Interval] | None = None
    overlap: int | None = None
    without: Mapping[str, Interval] | None = None
    within: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def warning(self) -> str | None:
        """Return why the data set is not external, or None."""
        if not self.overlap:
            return None
        area, rest = (self.without or {}).get("auroc"), ""
        if area is not None and math.isfinite(area.value):
            limits = f"{area.low:.3f} to {area.high:.3f}"
            rest = f"; the AUROC of the others is {area.value:.3f} ({limits})"
        return (
            f"the data set {self.name} is not external: {self.overlap:,} of "
            f"{plural(self.n, 'image')} overlap with the training and validation images{rest}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalDocument(Document):
    """One bundle on several data sets, the content of ``external.json``.

    ``label`` is that of a binary task. The rows of the bundle's own run come first.
    """

    SCHEMA: ClassVar[int] = 3

    version: str
    model: ModelSummary
    label: str | None
    rows: tuple[ExternalRow, ...]
    note: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each data set that is not external."""
        return tuple(row.warning for row in self.rows if row.warning is not None)


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """A model that is compared: name of its folder, kind and id as in `ModelSummary`."""

    name: str
    kind: Literal["bundle", "predictions", "folds"]
    id: str
    recipe: str | None
    seed: int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class FoldComparison:
    """The comparison of two recipes over the folds of a cross-validation.

    Attributes
    ----------
    difference
        Mean over folds of the second less the first, with a 95 % interval that covers the choice of
        training images as well.
    p, test
        Two-sided p-value, not adjusted for several tests, and the name of the test; p is None if it
        is undefined.
    """

    difference: Interval
    p: float | None
    test: str


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """The comparison of two models in one metric.

    Attributes
    ----------
    difference
        Second less first, with a 95 % interval that is not adjusted for several tests.
    p, p_adjusted, test
        Two-sided p-value of the paired test, the same adjusted for all tests of the comparison
        after Holm, and the name of the test; None where there is none.
    detectable
        Difference that this many images show with a power of 80 %; None where unknown.
    margin, verdict
        Non-inferiority margin, and the conclusion from the unadjusted interval; None without a
        margin.
    folds
        The same comparison over the folds; None unless both are cross-validations.
    """

    metric: str
    higher_is_better: bool
    first: Interval
    second: Interval
    difference: Interval
    p: float | None = None
    p_adjusted: float | None = None
    test: str | None = None
    detectable: float | None = None
    margin: float | None = None
    verdict: Verdict | None = None
    folds: FoldComparison | None = None

    @property
    def limit(self) -> float | None:
        """Return the difference that a margin allows, None without a margin."""
        if self.margin is None:
            return None
        return -self.margin if self.higher_is_better else self.margin


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """The comparison of two models, given by their numbers from 0, by label."""

    first: int
    second: int
    labels: Mapping[str, tuple[ComparisonRow, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDocument(Document):
    """Two or more models on the same images, the content of ``comparison.json``.

    ``tests`` is the number of tests that the p-values are adjusted for.
    """

    SCHEMA: ClassVar[int] = 3

    version: str
    models: tuple[ComparedModel, ...]
    dataset: DatasetSummary
    n: int
    patients: int
    tests: int
    pairs: tuple[ComparedPair, ...]


@dataclass(frozen=True, slots=True)
class SeedRow:
    """The results of one training: its seed, run folder, bundle id and metrics."""

    seed: int | tuple[int, ...] | None
    folder: str
    bundle: str
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class MetricVariation:
    """Variation of a metric across seeds.

    ``sd`` is the standard deviation with n - 1. ``sampling_se`` is the standard error from the
    choice of test images, the mean half width of the 95 % intervals divided by 1.96; None if there
    are no intervals. Both are on the same scale.
    """

    mean: float
    sd: float
    minimum: float
    maximum: float
    sampling_se: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsDocument(Document):
    """Several trainings of one recipe, the content of ``seeds.json``.

    ``variation`` is by metric, where two or more trainings have a value; ``ensemble`` is the
    bundle of all of them, if there is one.
    """

    SCHEMA: ClassVar[int] = 3

    version: str
    rows: tuple[SeedRow, ...]
    variation: Mapping[str, MetricVariation]
    ensemble: SeedRow | None

    @property
    def note(self) -> str:
        """Return what the variation of the AUROC shows, in words."""
        start = f"{len(self.rows)} trainings of the same recipe on the same splits."
        auroc = self.variation.get("auroc")
        if auroc is None or auroc.sampling_se is None:
            return start
        which = (
            "the choice of test images contributes more uncertainty than the choice of seed"
            if auroc.sampling_se > auroc.sd
            else "the choice of seed matters as much as the choice of test images"
        )
        return (
            f"{start} The standard deviation of the AUROC over seeds is {auroc.sd:.3f}; its "
            "standard error from the choice of test images alone is "
            f"{auroc.sampling_se:.3f}: {which}. The interval of a single training covers the "
            "choice of test images only."
        )


def write_with_table(document: Document, path: Path, rows: Iterable[object]) -> None:
    """Write a document as JSON, and dataclasses or mappings from it as CSV, one row each.

    ``path`` has no suffix. A nested value has its path as its column, without ``metrics``:
    ``auroc_low``, ``difference_auroc_low``. The method and reason of an interval are left out.
    """
    document.write(path.with_suffix(".json"))
    flat = [dict(_flatten(to_json(row), ())) for row in rows]
    _files.write_text(path.with_suffix(".csv"), records_to_csv(flat))


def _flatten(value: object, path: tuple[str, ...]) -> Iterable[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield "_".join(path), value
        return
    for key, own in value.items():
        if key not in ("method", "reason"):
            yield from _flatten(own, path if key == "metrics" else (*path, key))

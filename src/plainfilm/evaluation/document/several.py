"""The documents about several evaluations: external validation, comparison and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from plainfilm._document import Document
from plainfilm.evaluation.document.evaluation import BundleSummary, DatasetSummary
from plainfilm.metrics import Interval, Verdict

__all__ = [
    "ComparedModel",
    "ComparisonDocument",
    "ComparisonRow",
    "ExternalDocument",
    "ExternalRow",
    "MetricVariation",
    "SeedRow",
    "SeedsDocument",
]


@dataclass(frozen=True, slots=True)
class ExternalRow:
    """The results on one data set of an external validation.

    Attributes
    ----------
    name, role, folder
        Name of the data set; ``internal validation``, ``internal test``, ``official test`` or
        ``external``; name of the folder of its evaluation.
    n, patients
        Number of images and of patients.
    positives, prevalence
        Of a binary task; None for other tasks.
    metrics
        By name.
    calibration_slope, in_the_large
        Of a binary task; None for other tasks.
    rejected, indeterminate
        Number of rejected images, and by label of indeterminate ones; None where the bundle has
        neither.
    difference
        By metric: this row less the first one; None in the first row.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalDocument(Document):
    """One bundle on several data sets, the content of ``external.json``.

    Attributes
    ----------
    version
        The version of plainfilm.
    bundle
        The bundle.
    label
        The label of a binary task; None for other tasks.
    rows
        The data sets, those of the bundle's own run first.
    note
        How to read the rows.
    """

    SCHEMA: ClassVar[int] = 2

    version: str
    bundle: BundleSummary
    label: str | None
    rows: tuple[ExternalRow, ...]
    note: str


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One of two models that are compared: its folder's name and its bundle."""

    name: str
    id: str
    recipe: str | None
    seed: int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """The comparison of two models in one metric.

    Attributes
    ----------
    metric, higher_is_better
        Name of the metric, and its direction.
    first, second, difference
        The two values, and second less first.
    p, p_adjusted, test
        Two-sided p-value of the paired test, the same adjusted for all tests of the comparison
        after Holm, and the name of the test; None where there is none.
    detectable
        Difference that this many images would show with a power of 80 %; None where unknown.
    margin, verdict
        The margin that was given for the metric, and what it shows; None without a margin.
    """

    metric: str
    higher_is_better: bool
    first: Interval
    second: Interval
    difference: Interval
    p: float | None
    p_adjusted: float | None
    test: str | None
    detectable: float | None
    margin: float | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDocument(Document):
    """Two models on the same images, the content of ``comparison.json``.

    Attributes
    ----------
    version
        The version of plainfilm.
    first, second
        The models.
    dataset, n, patients
        The images that both were evaluated on.
    tests
        Number of tests that the p-values are adjusted for.
    labels
        The metrics by label.
    """

    SCHEMA: ClassVar[int] = 2

    version: str
    first: ComparedModel
    second: ComparedModel
    dataset: DatasetSummary
    n: int
    patients: int
    tests: int
    labels: Mapping[str, tuple[ComparisonRow, ...]]


@dataclass(frozen=True, slots=True)
class SeedRow:
    """The results of one training: its seed, run folder, bundle id and metrics."""

    seed: int | tuple[int, ...] | None
    folder: str
    bundle: str
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class MetricVariation:
    """How a metric varies over seeds.

    Attributes
    ----------
    mean, sd, minimum, maximum
        Over the trainings; ``sd`` is the standard deviation with n - 1.
    sampling_half_width
        Mean half width of the 95 % intervals; None where there are none.
    """

    mean: float
    sd: float
    minimum: float
    maximum: float
    sampling_half_width: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsDocument(Document):
    """Several trainings of one recipe, the content of ``seeds.json``.

    Attributes
    ----------
    version
        The version of plainfilm.
    rows
        The trainings.
    variation
        By metric, where two or more trainings have a value.
    ensemble
        The bundle of all of them; None if there is none.
    note
        How to read the numbers.
    """

    SCHEMA: ClassVar[int] = 2

    version: str
    rows: tuple[SeedRow, ...]
    variation: Mapping[str, MetricVariation]
    ensemble: SeedRow | None
    note: str

"""The results of the further analyses: subgroups, robustness, rejection and prevalence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plainfilm.bundle import IndeterminateRange
from plainfilm.evaluation.document.label import Histogram
from plainfilm.metrics import Interval

__all__ = [
    "AtPrevalence",
    "DisturbanceResults",
    "DisturbanceStep",
    "FirstDrop",
    "LabelAtPrevalence",
    "PredictiveValuePair",
    "Rejection",
    "RejectionResults",
    "Robustness",
    "SmallSubgroup",
    "Subgroup",
    "SubgroupColumn",
    "Subgroups",
    "Undisturbed",
]


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The results of the images that share one value of a column.

    Attributes
    ----------
    value
        The value that they share.
    n, patients, positives
        Number of images, of patients and of positive images.
    metrics
        AUROC, and sensitivity and specificity at the balanced operating point.
    difference
        By metric: the subgroup less the other images.
    p, p_adjusted
        By metric: the two-sided p-value of the difference, and the same adjusted for all tests of
        the evaluation after Holm.
    """

    value: str
    n: int
    patients: int
    positives: int
    metrics: Mapping[str, Interval]
    difference: Mapping[str, Interval]
    p: Mapping[str, float]
    p_adjusted: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SmallSubgroup:
    """A subgroup that is too small for results, and the reason."""

    value: str
    n: int
    positives: int
    reason: str


@dataclass(frozen=True, slots=True)
class SubgroupColumn:
    """The subgroups that one column of the data makes.

    Attributes
    ----------
    column
        The name of the column.
    compared_with
        What is added to each subgroup and to the others, or None: where every value of the
        column has images of one class only, that is all images of the other class.
    subgroups, too_small
        The subgroups with and without results.
    missing
        Number of images without a value.
    """

    column: str
    compared_with: str | None
    subgroups: tuple[Subgroup, ...]
    too_small: tuple[SmallSubgroup, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Subgroups:
    """Results by subgroup.

    Attributes
    ----------
    minimum_patients
        Number of patients of a class that results for the class take.
    method
        How intervals and p-values were computed.
    tests
        Number of tests that the p-values are adjusted for.
    labels
        The columns by label.
    """

    minimum_patients: int
    method: str
    tests: int
    labels: Mapping[str, tuple[SubgroupColumn, ...]]


@dataclass(frozen=True, slots=True)
class RejectionResults:
    """The results on the images that are kept: their number and metrics."""

    n: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rejected and indeterminate images, and the results with and without them.

    Attributes
    ----------
    threshold, rule
        The novelty from which an image is rejected, and how it was chosen; None where the bundle
        cannot reject.
    rejected, rejected_ids
        The number of rejected images, and the ids of the first 200.
    indeterminate
        By label: number of images of known label in the indeterminate range.
    indeterminate_ranges
        By label: the range of probabilities.
    all, accepted, decided
        By label: results on all images, on those that are not rejected, and on those that are
        neither rejected nor indeterminate.
    novelty
        Histogram of the novelty; None where the bundle does not compute it.
    """

    threshold: float | None
    rule: str | None
    rejected: int
    rejected_ids: tuple[str, ...]
    indeterminate: Mapping[str, int]
    indeterminate_ranges: Mapping[str, IndeterminateRange]
    all: Mapping[str, RejectionResults]
    accepted: Mapping[str, RejectionResults]
    decided: Mapping[str, RejectionResults]
    novelty: Histogram | None


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The results on the undisturbed images; sensitivity and specificity may be undefined."""

    auroc: Interval
    brier: float
    calibration_error: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True, slots=True)
class DisturbanceStep:
    """The results under a disturbance of one strength.

    Attributes
    ----------
    strength
        In the unit of the disturbance.
    auroc, brier, calibration_error, sensitivity, specificity
        On the disturbed images; NaN where undefined.
    auroc_change
        Disturbed less undisturbed, paired.
    flipped
        Share of images whose predicted class changes, 0 to 1; NaN without a threshold.
    """

    strength: float
    auroc: Interval
    brier: float
    calibration_error: float
    sensitivity: float
    specificity: float
    auroc_change: Interval
    flipped: float


@dataclass(frozen=True, slots=True)
class DisturbanceResults:
    """The results under one kind of disturbance, from mild to severe."""

    name: str
    description: str
    unit: str
    steps: tuple[DisturbanceStep, ...]


@dataclass(frozen=True, slots=True)
class FirstDrop:
    """The mildest disturbance that lowers the AUROC by more than 0.01 with 95 % confidence.

    ``step`` counts from 1; ``strength`` and ``auroc_change`` are those of the step.
    """

    name: str
    step: int
    strength: float
    auroc_change: Interval


@dataclass(frozen=True, slots=True)
class Robustness:
    """Results on disturbed images.

    Attributes
    ----------
    images, patients
        Number of images that were disturbed, and of their patients.
    label
        The label that the results are about.
    resolution
        Side in pixels of the images that were disturbed.
    method
        How the images were disturbed and the intervals computed.
    undisturbed, disturbances
        The results without and with disturbance.
    first_drop
        The mildest disturbance that matters; None if there is none.
    """

    images: int
    patients: int
    label: str
    resolution: int
    method: str
    undisturbed: Undisturbed
    disturbances: tuple[DisturbanceResults, ...]
    first_drop: FirstDrop | None


@dataclass(frozen=True, slots=True)
class PredictiveValuePair:
    """PPV and NPV at one prevalence."""

    ppv: Interval
    npv: Interval


@dataclass(frozen=True, slots=True)
class LabelAtPrevalence:
    """The results of one label at another prevalence.

    Attributes
    ----------
    assumed_prevalence
        The prevalence that the uncorrected probabilities assume, 0 to 1.
    in_the_large_uncorrected, in_the_large_corrected
        Calibration in the large before and after the correction of the probabilities.
    brier_uncorrected, brier_corrected
        Brier score before and after the correction; NaN where a class is missing.
    operating_points
        PPV and NPV by operating point.
    """

    assumed_prevalence: float
    in_the_large_uncorrected: Interval
    in_the_large_corrected: Interval
    brier_uncorrected: float
    brier_corrected: float
    operating_points: Mapping[str, PredictiveValuePair]


@dataclass(frozen=True, slots=True)
class AtPrevalence:
    """Results where another share of the images is positive, by label."""

    prevalence: float
    note: str
    labels: Mapping[str, LabelAtPrevalence]

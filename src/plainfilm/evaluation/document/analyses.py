"""The results of further analyses: robustness, rejection and prevalence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plainfilm.bundle import IndeterminateRange
from plainfilm.evaluation.document.label import Histogram
from plainfilm.metrics import Interval


@dataclass(frozen=True, slots=True)
class RejectionResults:
    """Number and metrics of the images that are kept."""

    n: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rejected and indeterminate images, and the results with and without them.

    Attributes
    ----------
    threshold, rule
        Novelty from which an image is rejected, and how it was chosen; None where the bundle
        cannot reject by novelty.
    rejected, rejected_ids
        Number of rejected images, and the ids of the first 200.
    reasons
        Number of rejected images by the code of the reason.
    indeterminate, indeterminate_ranges
        By label: number of images of known label in the range, and the range.
    all, accepted, decided
        Results by label on all images, on those not rejected, and on those neither rejected nor
        indeterminate.
    novelty
        None where the bundle does not compute it.
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
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def other_reasons(self) -> dict[str, int]:
        """Return the reasons that do not depend on novelty."""
        return {key: count for key, count in self.reasons.items() if key != "unlike-training"}

    @property
    def unlike_training(self) -> int:
        """Return the number of images that are rejected for their novelty."""
        return self.rejected - sum(self.other_reasons.values())


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The results on the undisturbed images; NaN where undefined."""

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

    ``step`` counts from 1.
    """

    name: str
    step: int
    strength: float
    auroc_change: Interval


@dataclass(frozen=True, slots=True)
class Robustness:
    """Results on disturbed images, for one label.

    Attributes
    ----------
    images, patients
        Number of images that were disturbed, and of their patients.
    resolution
        Side in pixels of the images that were disturbed.
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
    """Calibration in the large and Brier score before and after the correction, PPV and NPV.

    ``assumed_prevalence`` is that of the uncorrected probabilities, 0 to 1.
    """

    assumed_prevalence: float
    in_the_large_uncorrected: Interval
    in_the_large_corrected: Interval
    brier_uncorrected: Interval
    brier_corrected: Interval
    operating_points: Mapping[str, PredictiveValuePair]


@dataclass(frozen=True, slots=True)
class AtPrevalence:
    """Results where another share of the images is positive, by label."""

    prevalence: float
    note: str
    labels: Mapping[str, LabelAtPrevalence]

"""The results of one label: metrics, operating points, curves and sample sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plainfilm.metrics import BrierParts, Confusion, Interval, ReliabilityBin
from plainfilm.records import Purpose

__all__ = [
    "Calibration",
    "Curves",
    "DecisionCurveValues",
    "Histogram",
    "LabelResults",
    "OperatingPointResults",
    "PrecisionRecallCurve",
    "PredictiveValueCurve",
    "RocCurve",
    "SampleSize",
    "SampleSizeTarget",
    "SampleSizes",
    "ScoreHistogram",
    "ThresholdRange",
]


@dataclass(frozen=True, slots=True)
class ThresholdRange:
    """How precisely the validation set determines a threshold.

    Attributes
    ----------
    low, high
        5th and 95th percentile of the threshold over resampled validation patients, 0 to 1.
    note
        What a reader must know about it; empty if nothing.
    """

    low: float
    high: float
    note: str


@dataclass(frozen=True, slots=True)
class PredictiveValueCurve:
    """PPV and NPV as functions of prevalence, with 95 % limits.

    Attributes
    ----------
    prevalence, ppv, ppv_low, ppv_high, npv, npv_low, npv_high
        (k,), 0 to 1; NaN where undefined.
    method
        How the values and limits were computed.
    """

    prevalence: tuple[float, ...]
    ppv: tuple[float, ...]
    ppv_low: tuple[float, ...]
    ppv_high: tuple[float, ...]
    npv: tuple[float, ...]
    npv_low: tuple[float, ...]
    npv_high: tuple[float, ...]
    method: str


@dataclass(frozen=True, slots=True)
class OperatingPointResults:
    """The results at one locked operating point.

    Attributes
    ----------
    threshold, purpose, label, rule
        The operating point, see `plainfilm.records.OperatingPoint`.
    confusion
        Counts of images by ground truth and predicted class.
    metrics
        The rates of `plainfilm.metrics.RATES`.
    predictive_values
        PPV and NPV over prevalence; None where a class is missing.
    threshold_range
        How precisely validation determines the threshold; None where this is not known.
    """

    threshold: float
    purpose: Purpose
    label: str
    rule: str
    confusion: Confusion
    metrics: Mapping[str, Interval]
    predictive_values: PredictiveValueCurve | None
    threshold_range: ThresholdRange | None = None


@dataclass(frozen=True, slots=True)
class RocCurve:
    """ROC curve, (k,) each; the first threshold is infinite and stored as null."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    threshold: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Precision-recall curve, (k,) each."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Agreement of probabilities and observed frequencies.

    Attributes
    ----------
    bins
        The reliability curve; the interval of a bin is by image.
    error
        Expected calibration error, 0 to 1.
    error_bias
        What the error of a perfectly calibrated model would be on average.
    error_corrected
        The error less its bias, at least 0.
    brier_parts
        Decomposition of the Brier score.
    brier_method
        How the decomposition was computed.
    slope, intercept
        The calibration line in log odds; slope 1 and intercept 0 are perfect.
    in_the_large
        The intercept with the slope fixed at 1; above 0 positives are more frequent than predicted.
    """

    bins: tuple[ReliabilityBin, ...]
    error: Interval
    error_bias: float
    error_corrected: float
    brier_parts: BrierParts
    brier_method: str
    slope: Interval
    intercept: Interval
    in_the_large: Interval


@dataclass(frozen=True, slots=True)
class DecisionCurveValues:
    """Net benefit over the threshold probability, per image; acting on no image has 0.

    Attributes
    ----------
    threshold
        (k,), 0 to 1.
    model, model_low, model_high
        (k,): acting on the predictions of the model, with 95 % limits.
    treat_all, treat_all_low, treat_all_high
        (k,): acting on every image, with 95 % limits.
    useful
        Ranges of thresholds in which the model is better than both, with 95 % confidence.
    method
        How the limits were computed.
    """

    threshold: tuple[float, ...]
    model: tuple[float, ...]
    model_low: tuple[float, ...]
    model_high: tuple[float, ...]
    treat_all: tuple[float, ...]
    treat_all_low: tuple[float, ...]
    treat_all_high: tuple[float, ...]
    useful: tuple[tuple[float, float], ...]
    method: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of images (k,) between edges (k + 1,)."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Counts of images (k,) by class and probability, between edges (k + 1,)."""

    edges: tuple[float, ...]
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of one label; ``decision`` is None where there is no image."""

    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    calibration: Calibration
    decision: DecisionCurveValues | None
    scores: ScoreHistogram


@dataclass(frozen=True, slots=True)
class SampleSizeTarget:
    """The test set that an interval of ``half_width`` would take."""

    half_width: float
    images: int
    patients: int
    positives: int


@dataclass(frozen=True, slots=True)
class SampleSize:
    """The precision of one metric and what a higher precision would take.

    Attributes
    ----------
    half_width
        Half the width of the 95 % interval.
    design_effect
        Variance of the interval over that of as many independent images.
    targets
        Larger test sets, by decreasing half width.
    """

    half_width: float
    design_effect: float
    targets: tuple[SampleSizeTarget, ...]


@dataclass(frozen=True, slots=True)
class SampleSizes:
    """Sample sizes by metric; None where the metric has no interval."""

    note: str
    auroc: SampleSize | None
    sensitivity: SampleSize | None
    specificity: SampleSize | None


@dataclass(frozen=True, slots=True)
class LabelResults:
    """The results of one label.

    Attributes
    ----------
    n, unknown
        Number of images whose label is known, and of those whose label is unknown.
    patients, positives
        Number of patients and of positive images among the known.
    prevalence
        Share of positives, 0 to 1; NaN without images.
    metrics
        Each metric with its interval, at the balanced operating point where it needs a threshold.
    operating_points
        By name.
    curves, sample_sizes
        The curves, and the test sets that narrower intervals would take.
    """

    n: int
    unknown: int
    patients: int
    positives: int
    prevalence: float
    metrics: Mapping[str, Interval]
    operating_points: Mapping[str, OperatingPointResults]
    curves: Curves
    sample_sizes: SampleSizes

    @property
    def balanced(self) -> OperatingPointResults | None:
        """Return the balanced operating point, or None."""
        points = self.operating_points.values()
        return next((point for point in points if point.purpose == "balanced"), None)

"""The results of one label: metrics, operating points, curves and sample sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plainfilm.metrics import BrierParts, Confusion, Interval, ReliabilityBin
from plainfilm.records import Purpose, ThresholdEvidence


@dataclass(frozen=True, slots=True)
class PredictiveValueCurve:
    """PPV and NPV with 95 % limits over prevalence, (k,) each; NaN where undefined."""

    prevalence: tuple[float, ...]
    ppv: tuple[float, ...]
    ppv_low: tuple[float, ...]
    ppv_high: tuple[float, ...]
    npv: tuple[float, ...]
    npv_low: tuple[float, ...]
    npv_high: tuple[float, ...]
    method: str

    def at(self, prevalence: float) -> tuple[Interval, Interval]:
        """Return PPV and NPV at any prevalence between 0 and 1.

        Their odds, and those of their limits, are proportional to the odds of the class.
        """
        given = np.array(self.prevalence)
        row = int(np.abs(given - prevalence).argmin())
        factor = float(prevalence * (1 - given[row]) / ((1 - prevalence) * given[row]))

        def moved(columns: tuple[tuple[float, ...], ...], by: float) -> Interval:
            old = (column[row] for column in columns)
            value, low, high = (share * by / (share * by + (1 - share)) for share in old)
            return Interval(value, low, high, self.method)

        return (
            moved((self.ppv, self.ppv_low, self.ppv_high), factor),
            moved((self.npv, self.npv_low, self.npv_high), 1 / factor),
        )


@dataclass(frozen=True, slots=True)
class OperatingPointResults:
    """The results at a locked operating point, see `plainfilm.records.OperatingPoint`.

    Attributes
    ----------
    confusion, metrics
        Counts of images, and the rates of `plainfilm.metrics.RATES`.
    predictive_values, no_predictive_values
        None where a class has fewer than `plainfilm.metrics.ENOUGH_PATIENTS` patients, and why.
    validation
        What validation shows about the threshold; None where it was not locked on validation.
    """

    threshold: float
    purpose: Purpose
    label: str
    rule: str
    confusion: Confusion
    metrics: Mapping[str, Interval]
    predictive_values: PredictiveValueCurve | None
    validation: ThresholdEvidence | None = None
    no_predictive_values: str | None = None


@dataclass(frozen=True, slots=True)
class RocCurve:
    """ROC curve, (k,) each; the first threshold is infinite."""

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
    error, error_bias, error_corrected
        Expected calibration error, 0 to 1; its mean for a perfectly calibrated model; the
        error less that, at least 0.
    brier_parts, brier_method
        Decomposition of the Brier score, and how it was computed.
    slope, intercept
        The calibration line in log odds; slope 1 and intercept 0 are perfect.
    in_the_large
        The intercept with a slope of 1; above 0, positives are more frequent than predicted.
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
    """Net benefit per image over the threshold probability, with 95 % limits, (k,) each.

    The limits hold at each threshold alone, except those of the band.

    Attributes
    ----------
    model, treat_all
        Acting on the predictions of the model, and on every image. Acting on no image gives 0.
    band_low, band_high
        Limits of the model that hold at all thresholds at once.
    useful
        Ranges of thresholds in which the model is better than both. That all of them are true has
        95 % confidence.
    """

    threshold: tuple[float, ...]
    model: tuple[float, ...]
    model_low: tuple[float, ...]
    model_high: tuple[float, ...]
    treat_all: tuple[float, ...]
    treat_all_low: tuple[float, ...]
    treat_all_high: tuple[float, ...]
    band_low: tuple[float, ...]
    band_high: tuple[float, ...]
    useful: tuple[tuple[float, float], ...]
    method: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of images (k,) between edges (k + 1,)."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Counts of images (k,) by true class and probability, between edges (k + 1,)."""

    edges: tuple[float, ...]
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of one label; the decision curve is None without images."""

    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    calibration: Calibration
    decision: DecisionCurveValues | None
    scores: ScoreHistogram


@dataclass(frozen=True, slots=True)
class SampleSizeTarget:
    """The test set that an interval of a given half width requires."""

    half_width: float
    images: int
    patients: int
    positives: int


@dataclass(frozen=True, slots=True)
class SampleSize:
    """The precision of one metric, and the larger test sets that a higher precision requires.

    Attributes
    ----------
    half_width
        Half the width of the 95 % interval.
    design_effect
        Variance of the interval relative to that of as many independent images.
    """

    half_width: float
    design_effect: float
    targets: tuple[SampleSizeTarget, ...]


@dataclass(frozen=True, slots=True)
class SampleSizes:
    """Sample sizes by metric, None where the metric has no limits, and their assumptions."""

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
        Number of images whose label is known, and whose label is unknown.
    patients, positives, prevalence
        Number of patients and of positive images, and share of positives, of the known.
    metrics
        By name. Those that need a predicted class are of the most probable class in a multi-class
        task, and at the balanced operating point in others.
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
    def worse_than_chance(self) -> bool:
        """Return whether the whole interval of the AUROC is below 0.5."""
        return self.metrics["auroc"].high < 0.5

    @property
    def default_point(self) -> OperatingPointResults | None:
        """Return the balanced operating point, else the first one, or None."""
        points = [*self.operating_points.values()]
        first = points[0] if points else None
        return next((point for point in points if point.purpose == "balanced"), first)

"""The document of an adaptation, ``adaptation.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from plainfilm._document import Document
from plainfilm.evaluation.document.label import SampleSizes
from plainfilm.metrics import Interval
from plainfilm.records import PointStatus, Purpose


@dataclass(frozen=True, slots=True)
class ParentModel:
    """The bundle that was adapted: the name of its folder, and its id."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """Number of images and patients, and of positive images by label; empty without labels."""

    images: int
    patients: int
    positives: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LeftOutCounts:
    """Number of images that were not used, by reason.

    Attributes
    ----------
    overlapping
        The bundle was trained or validated on them or on another image of their patient.
    rejected, unreadable, unlabelled
        The bundle rejects them, their file cannot be read, or they have no known label.
    unchecked
        What could not be compared with the training images, and why.
    """

    overlapping: int
    rejected: int
    unreadable: int
    unlabelled: int
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A metric before and after the adaptation on the same images, and the paired difference."""

    before: Interval
    after: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class CalibrationChange:
    """The calibration line before and after, see `plainfilm.metrics.CalibrationLine`."""

    slope_before: Interval
    slope_after: Interval
    in_the_large_before: Interval
    in_the_large_after: Interval


@dataclass(frozen=True, slots=True)
class PointChange:
    """An operating point before and after the adaptation.

    Attributes
    ----------
    threshold_before, sensitivity_before, specificity_before
        Those of the parent; None where it has no such point.
    threshold, low, high, status, note
        The new threshold, and what the adaptation images show about it; see
        `plainfilm.records.ThresholdEvidence`.
    sensitivity, specificity
        At the new threshold on the held-out images.
    """

    name: str
    purpose: Purpose
    threshold_before: float | None
    sensitivity_before: Interval | None
    specificity_before: Interval | None
    threshold: float
    low: float
    high: float
    status: PointStatus
    note: str
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, slots=True)
class PlannedSize:
    """The adaptation images that a target precision of a fitted value requires.

    Attributes
    ----------
    quantity
        ``slope`` or ``intercept``.
    half_width, target
        Half the width of the present 95 % interval, and of the target one.
    images, patients
        Required number, for as many images per patient as now.
    """

    quantity: Literal["slope", "intercept"]
    half_width: float
    target: float
    images: int
    patients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAdaptation:
    """The adaptation of one label.

    Attributes
    ----------
    changed, reason
        Whether the label was recalibrated; why not, or what the data do not determine.
    auroc
        On the adaptation images. An adaptation does not change it.
    slope, intercept
        Fitted on the adaptation images; None if unchanged.
    calibration, brier, log_loss, points
        On the held-out images.
    plan
        Adaptation images for a higher precision of slope and intercept.
    sample_sizes
        Held-out images for a higher precision of sensitivity and specificity; None if unchanged.
    """

    changed: bool
    reason: str | None
    auroc: Interval
    slope: Interval | None
    intercept: Interval | None
    calibration: CalibrationChange
    brier: Change
    log_loss: Change
    points: tuple[PointChange, ...]
    plan: tuple[PlannedSize, ...] = ()
    sample_sizes: SampleSizes | None = None


@dataclass(frozen=True, slots=True)
class ShiftedShare:
    """The share of a class: as the parent's probabilities assume, and as estimated.

    ``mixture`` is the share with which the scores of the validation classes fit best.
    """

    assumed: float
    estimated: Interval
    mixture: float


@dataclass(frozen=True, slots=True)
class ShiftTestResult:
    """The test of label shift on one label; ``p_adjusted`` is adjusted for all labels (Holm)."""

    p: float
    p_adjusted: float
    statistic: float
    freedom: int


@dataclass(frozen=True, slots=True)
class LabelShiftResults:
    """The correction for other shares of the classes, without labels.

    ``shares`` are by label; for a binary task that of the positive class.
    """

    assumption: str
    shares: Mapping[str, ShiftedShare]
    tests: Mapping[str, ShiftTestResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationDocument(Document):
    """All results of an adaptation, the content of ``adaptation.json``.

    Attributes
    ----------
    bundle
        Id of the new bundle.
    conclusion
        Whether the adaptation helps on the held-out patients, in one sentence.
    synthetic
        Whether plainfilm drew some of the images, or of the training images.
    requested_hash
        Hash of the data that were given, see `plainfilm.data.Manifest.hash`; None from a version
        that did not write it.
    held_out, brier
        The images that were not used, and the Brier score of all labels on them; None for label
        shift.
    """

    SCHEMA: ClassVar[int] = 1

    created: str
    version: str
    parent: ParentModel
    bundle: str
    dataset: str
    method: Literal["recalibration", "label shift"]
    conclusion: str
    adaptation: SampleSummary
    held_out: SampleSummary | None
    left_out: LeftOutCounts
    synthetic: bool
    requested_hash: str | None = None
    brier: Change | None = None
    labels: Mapping[str, LabelAdaptation] = field(default_factory=dict)
    label_shift: LabelShiftResults | None = None

"""The content of a report: results, images and facts, gathered from a run and its evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Provenance
from plainfilm.data.characteristics import Characteristics
from plainfilm.evaluation.document import (
    CrossValidationDocument,
    EvaluationDocument,
    ExternalDocument,
    LabelResults,
    OperatingPointResults,
    SeedsDocument,
)
from plainfilm.evaluation.document.evaluation import ModelSummary
from plainfilm.evaluation.document.several import ExternalRow
from plainfilm.metrics import Interval
from plainfilm.records import Finding
from plainfilm.report.file_counts import FileCounts
from plainfilm.report.wording import bounded
from plainfilm.training.plan import Plan

if TYPE_CHECKING:
    from plainfilm.report.audit.findings import AuditContent


@dataclass(frozen=True, slots=True)
class Sample:
    """One image to show: uint8 (h, w), the text below it, and its class."""

    pixels: NDArray[np.uint8]
    caption: str
    label: str


@dataclass(frozen=True, slots=True)
class WorstCase:
    """One misclassified image: uint8 (h, w), and its heat map, float32 (h, w) in 0..1.

    ``id`` is that of its record, and ``probability`` (0..1) is that of the label that is wrong.
    ``threshold`` is None for the most probable of several classes.
    """

    pixels: NDArray[np.uint8]
    heat: NDArray[np.float32] | None
    id: str
    true_class: str
    probability: float
    label: str
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingContent:
    """How the model was trained: plan of the run, provenance of the bundle, rows by epoch."""

    plan: Plan
    provenance: Provenance
    history: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything that a report shows; only the evaluation is required.

    ``worst`` holds misclassified images in order of decreasing error; None if they are unknown.
    ``findings`` are those of listing and splitting the data, ``audit`` is that before the training,
    ``characteristics`` describes the splits of a run and the data that were evaluated on,
    ``external`` the same bundle on several data sets, ``seeds`` several trainings of a recipe, and
    ``crossval`` the cross-validation whose pooled predictions are evaluated.
    """

    evaluation: EvaluationDocument
    training: TrainingContent | None = None
    samples: Sequence[Sample] = ()
    augmented: Sequence[Sample] = ()
    worst: Sequence[WorstCase] | None = None
    findings: Sequence[Finding] = ()
    audit: AuditContent | None = None
    external: ExternalDocument | None = None
    seeds: SeedsDocument | None = None
    crossval: CrossValidationDocument | None = None
    files: FileCounts | None = None
    characteristics: Sequence[Characteristics] = ()


def is_synthetic(evaluation: EvaluationDocument) -> bool:
    """Return whether plainfilm drew images that the model was trained or evaluated on."""
    drawn = evaluation.model.training.synthetic_images
    return bool(drawn or evaluation.dataset.synthetic_images)


def only_label(evaluation: EvaluationDocument) -> tuple[str, LabelResults] | None:
    """Return name and results of the label if there is one label, otherwise None."""
    labels = list(evaluation.labels.items())
    return labels[0] if len(labels) == 1 else None


def is_locked(model: ModelSummary) -> bool:
    """Return whether thresholds were locked on validation; a trained bundle may not say where."""
    trained = model.kind == "bundle" and model.imported_from is None
    return trained or model.locked_on is not None


def default_point(label: LabelResults) -> tuple[str, OperatingPointResults] | None:
    """Return name and results of the balanced operating point, or of the first, or None."""
    points = list(label.operating_points.items())
    return next((own for own in points if own[1].purpose == "balanced"), next(iter(points), None))


def distinct_points(label: LabelResults) -> dict[str, OperatingPointResults]:
    """Return one of the operating points with each threshold, by the names of all of them."""
    names: dict[float, list[str]] = {}
    for name, point in label.operating_points.items():
        names.setdefault(point.threshold, []).append(name)
    return {", ".join(own): label.operating_points[own[0]] for own in names.values()}


def auroc_drop(row: ExternalRow) -> Interval | None:
    """Return the difference of the AUROC if its whole interval is below 0, otherwise None."""
    change = (row.difference or {}).get("auroc")
    return change if change is not None and bounded(change) and change.high < 0 else None


def metrics_of(label: LabelResults) -> dict[str, Interval]:
    """Return the metrics of a label with those of its calibration."""
    calibration = label.curves.calibration
    return {
        **label.metrics,
        "calibration_error": calibration.error,
        "calibration_slope": calibration.slope,
        "calibration_intercept": calibration.intercept,
        "calibration_in_the_large": calibration.in_the_large,
    }

"""What a report is made from, and the few questions that every part of it asks of that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Finding

if TYPE_CHECKING:
    from plainfilm.report.audit.section import AuditContent

__all__ = [
    "ReportContent",
    "Sample",
    "WorstCase",
    "calibration_of",
    "default_point",
    "label_views",
    "left_out_rows",
    "value_of",
    "worse_than_chance",
]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image to show.

    Attributes
    ----------
    pixels
        uint8 (h, w).
    caption
        What stands below it, e.g. its id.
    label
        Its class, or what was done to it.
    """

    pixels: NDArray[np.uint8]
    caption: str
    label: str


@dataclass(frozen=True, slots=True)
class WorstCase:
    """One image that the model got badly wrong.

    Attributes
    ----------
    pixels
        uint8 (h, w).
    heat
        float32 (h, w) in 0..1 of ``explain.heatmap``, or None.
    id
        Its record's id.
    truth
        The class that it is.
    probability
        What the model gave the label, 0..1.
    label
        The label that it is wrong in; None takes the first of the evaluation.
    threshold
        From which probability on that label is called; None where there is no such threshold.
    """

    pixels: NDArray[np.uint8]
    heat: NDArray[np.float32] | None
    id: str
    truth: str
    probability: float
    label: str | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything that a report shows; only the evaluation is needed.

    Attributes
    ----------
    evaluation
        The content of ``evaluation.json``. Where ``curves.scores`` holds ``edges`` and ``counts``
        (class to numbers), the distribution of the probabilities is drawn as well.
    history
        One row an epoch: ``epoch``, ``loss``, ``accuracy``, ``auroc``, the same with ``val_``,
        ``learning_rate``, ``seconds``.
    best_epoch
        The ``epoch`` whose weights were kept.
    plan
        The run's plan; ``data`` maps a split to its counts.
    samples, augmented, worst
        Pictures: of the data, of the augmentation, and of the largest errors, the worst first;
        an empty ``worst`` says that there is none, None that nobody looked.
    findings
        What was found while listing and parting.
    audit
        The audit that went before the training.
    left_out
        Rows of ``id``, ``reason``, ``what``, besides those in the evaluation.
    external
        The content of ``external.json``, if the model was evaluated on several data sets.
    seeds
        The content of ``seeds.json``, if it was trained several times.
    listed
        What became of the files, split by split: see `plainfilm.report.figures.flow`.
    """

    evaluation: Mapping[str, Any]
    history: Sequence[Mapping[str, float]] = ()
    best_epoch: int | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    augmented: Sequence[Sample] = ()
    worst: Sequence[WorstCase] | None = None
    findings: Sequence[Finding] = ()
    audit: AuditContent | None = None
    left_out: Sequence[Mapping[str, Any]] = ()
    external: Mapping[str, Any] | None = None
    seeds: Mapping[str, Any] | None = None
    listed: Mapping[str, Any] | None = None


def label_views(evaluation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each label with its metrics, operating points and curves.

    A binary evaluation has them at its top, any other below ``labels``.
    """
    task = evaluation.get("task") or {}
    below: Mapping[str, Mapping[str, Any]] = evaluation.get("labels") or {}
    if task.get("kind") == "binary" or not below:
        names = task.get("labels") or ["positive"]
        own = dict(below.get(names[0]) or {})
        own.update({k: v for k, v in evaluation.items() if v not in (None, {}, [])})
        return [(str(names[0]), own)]
    shared = evaluation.get("operating_points") or {}
    views: list[tuple[str, Mapping[str, Any]]] = []
    for name, view in below.items():
        mine = {key: point for key, point in shared.items() if point.get("label") == name}
        views.append((str(name), {"operating_points": mine, **view}))
    return views


def default_point(view: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return the balanced operating point, or the first, or None."""
    points: Mapping[str, Mapping[str, Any]] = view.get("operating_points") or {}
    for name, point in points.items():
        if point.get("purpose") == "balanced":
            return name, point
    return next(iter(points.items()), None)


def calibration_of(view: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the numbers that sum up a calibration curve, as metrics by name."""
    curve = (view.get("curves") or {}).get("calibration") or {}
    parts = ("error", "slope", "intercept", "in_the_large")
    return {f"calibration_{part}": curve[part] for part in parts if curve.get(part)}


def value_of(metric: Mapping[str, Any] | None, part: str = "value") -> float | None:
    """Return a number of a metric, or None where it is missing, undefined or not finite."""
    value = (metric or {}).get(part)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def worse_than_chance(auroc: Mapping[str, Any] | None) -> bool:
    """Tell whether an AUROC's whole interval lies below that of guessing."""
    high = value_of(auroc, "high")
    return high is not None and high < 0.5


def left_out_rows(content: ReportContent) -> list[Mapping[str, Any]]:
    """Return the left-out files of the evaluation and of the content, each once."""
    rows = [*(content.evaluation.get("left_out") or ()), *content.left_out]
    return list({(row.get("id"), row.get("reason")): row for row in rows}.values())

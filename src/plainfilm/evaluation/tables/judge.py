"""Calibrates the scores of a table on validation rows, and describes their model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_json
from plainfilm._text import plural
from plainfilm.bundle.locking import lock_thresholds
from plainfilm.data.sources.tables.files import table_name
from plainfilm.errors import LabelError, UsageError
from plainfilm.evaluation.document.evaluation import ModelSummary, TrainingSummary
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.tables.cells import hash_table
from plainfilm.evaluation.tables.rows import ScoredTable
from plainfilm.evaluation.tables.scores import Scale
from plainfilm.metrics import apply_temperature
from plainfilm.records import OperatingPoint, Task

Thresholds = Mapping[str, float]
"""Threshold by label; the label ``*`` stands for all."""


def judge(
    table: ScoredTable,
    scale: Scale,
    validation: ScoredTable | None,
    thresholds: Thresholds,
    points: tuple[OperatingPoint, ...] = (),
) -> JudgedModel:
    """Return the model of a table: with thresholds locked on validation rows, or given.

    Given thresholds are about the probabilities that are evaluated. ``points`` are used if there
    are no others.
    """
    task = table.task
    given = _given_points(task, thresholds, scale) or points
    content: list[object] = [hash_table(table.path), scale.words, sorted(thresholds.items())]
    summary = ModelSummary(
        name=table_name(table.path),
        kind="predictions",
        id=hash_json(content),
        recipe=None,
        created=None,
        backend=None,
        seed=None,
        temperature=None,
        locked_on=None,
        assumed_prevalence=None,
        training=TrainingSummary(None, None, None),
        scores=scale.words,
    )
    if validation is None:
        return JudgedModel(summary=summary, task=task, operating_points=given)
    return _lock(summary, task, scale, validation, given, content)


def _lock(
    summary: ModelSummary,
    task: Task,
    scale: Scale,
    validation: ScoredTable,
    given: tuple[OperatingPoint, ...],
    content: list[object],
) -> JudgedModel:
    labels = validation.labels
    if labels is None or not len(labels):
        raise LabelError(
            "the validation table has no ground truth",
            received=validation.path,
            remedy="name its column with labels=",
        )
    locked = lock_thresholds(
        scale.as_logits(validation.scores, task), labels, validation.patients, task
    )
    known = ~np.isnan(labels)
    shares = {
        label: float(labels[known[:, n], n].mean()) if known[:, n].any() else None
        for n, label in enumerate(task.labels)
    }
    images = plural(len(validation), "validation image")
    summary = replace(
        summary,
        id=hash_json([*content, hash_table(validation.path), sorted(validation.ids)]),
        temperature=locked.temperature.value,
        locked_on=f"{images} of {plural(len({*validation.patients}), 'patient')}",
        assumed_prevalence="validation",
        training=TrainingSummary(None, None, len(validation)),
    )
    points = () if task.kind == "multiclass" else locked.points
    return JudgedModel(
        summary=summary,
        task=task,
        operating_points=(*(one.point for one in points), *given),
        validation={(one.point.label, one.point.name): one.validation for one in points},
        indeterminate=locked.indeterminate,
        training_prevalence=shares,
    )


def probabilities_of(
    model: JudgedModel, scale: Scale, scores: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """Return the probabilities (n, labels) that are evaluated, calibrated if validation allows.

    Those of logits are float64: in float32 all logits above 17 would be one probability.
    """
    temperature = model.summary.temperature
    if scale.logits:
        return apply_temperature(scores, temperature or 1.0, kind=model.task.kind)
    if temperature is None:
        return scale.probabilities(scores, model.task).astype(np.float32)
    logits = scale.as_logits(scores, model.task)
    return apply_temperature(logits, temperature, kind=model.task.kind).astype(np.float32)


def _given_points(task: Task, thresholds: Thresholds, scale: Scale) -> tuple[OperatingPoint, ...]:
    if thresholds and task.kind == "multiclass":
        raise UsageError(
            "a task of several classes has no thresholds: the most probable class is predicted",
            received=", ".join(f"{name}={value:g}" for name, value in thresholds.items()),
            remedy="leave them out",
        )
    if unknown := sorted(thresholds.keys() - {"*", *task.labels}):
        raise UsageError(
            "a threshold is given for a label that the task does not have",
            received=", ".join(unknown),
            remedy=f"use {', '.join(task.labels)}",
        )
    for name, value in thresholds.items():
        if not 0 <= value <= 1:
            raise UsageError(
                f"the threshold of {'all labels' if name == '*' else name} must be between 0 and 1",
                received=value,
                remedy="give it as a probability",
            )
    if scale.calls and not thresholds and task.kind != "multiclass":
        return tuple(
            OperatingPoint("calls", "custom", label, 0.5, "the predicted classes of the table")
            for label in task.labels
        )
    everywhere = thresholds.get("*")
    chosen = {label: thresholds.get(label, everywhere) for label in task.labels}
    return tuple(
        OperatingPoint("given", "custom", label, value, "given by the user")
        for label, value in chosen.items()
        if value is not None
    )

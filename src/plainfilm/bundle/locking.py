"""Locks temperature, operating points and indeterminate ranges on validation images.

Everything that makes or changes a bundle calls `lock_thresholds`: training, ensembles, imported
models, and evaluations of tables of predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle.description import IndeterminateRange
from plainfilm.metrics import (
    Temperature,
    apply_temperature,
    count_scores,
    fit_temperature,
    lock_operating_points,
)
from plainfilm.records import LockedPoint, ScoreCounts, Task


@dataclass(frozen=True, slots=True, eq=False)
class LockedThresholds:
    """Temperature, operating points and indeterminate ranges.

    ``probabilities`` (copies * n, labels) are those of the images that they were selected on.
    ``scores`` is the distribution of the probabilities of the unchanged images, by label.
    """

    temperature: Temperature
    points: tuple[LockedPoint, ...]
    indeterminate: Mapping[str, IndeterminateRange]
    probabilities: NDArray[np.float64]
    scores: Mapping[str, ScoreCounts]


def lock_thresholds(
    logits: NDArray[np.float64],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    task: Task,
    *,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    own: Mapping[str, float] | None = None,
    weights: NDArray[np.float64] | None = None,
    copies: int = 1,
) -> LockedThresholds:
    """Fit the temperature and lock the operating points of each label.

    Parameters
    ----------
    logits
        One logit for each label, (copies * n, labels): those of the n unchanged images, then those
        of ``copies - 1`` disturbed copies of all images, each in the same order.
    labels, patients
        Ground truth (n, labels) and patients (n,) of the unchanged images.
    task
        Labels and classes.
    sensitivity, specificity
        Targets of the rule-out and the rule-in threshold.
    own
        Thresholds given by the user by name, 0 to 1; they are not changed.
    weights
        Weights (n,) of the images in the fit of the temperature.
    copies
        Number of versions of each image in ``logits``, the unchanged one included.
    """
    repeated = np.tile(labels, (copies, 1))
    weights = np.ones(len(labels)) if weights is None else weights
    temperature = fit_temperature(
        logits, repeated, kind=task.kind, weights=np.tile(weights, copies)
    )
    probabilities = apply_temperature(logits, temperature.value, kind=task.kind)
    points = tuple(
        point
        for column, label in enumerate(task.labels)
        for point in lock_operating_points(
            probabilities[:, column],
            labels[:, column],
            label,
            patients=patients,
            sensitivity=sensitivity,
            specificity=specificity,
            own=own,
            copies=copies,
        )
    )
    scores = _count_scores(probabilities[: len(labels)], labels, patients, task)
    return LockedThresholds(
        temperature, points, _indeterminate(points, task), probabilities, scores
    )


def _count_scores(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    task: Task,
) -> dict[str, ScoreCounts]:
    """Return the distribution of the probability of each label, by class."""
    known = ~np.isnan(labels)
    if task.kind == "multiclass":
        classes = np.where(known.all(axis=1), np.nan_to_num(labels).argmax(axis=1), -1)
        numbers, count = np.tile(classes[:, None], (1, labels.shape[1])), labels.shape[1]
    else:
        numbers, count = np.where(known, labels == 1, -1).astype(int), 2
    return {
        label: count_scores(
            numbers[:, column], probabilities[:, column], count, patients=[*patients]
        )
        for column, label in enumerate(task.labels)
    }


def _indeterminate(points: Sequence[LockedPoint], task: Task) -> dict[str, IndeterminateRange]:
    """Return the range between the rule-out and rule-in thresholds of each label.

    If validation separates the classes perfectly, both are equal to the balanced threshold. The
    range is then the one in which the balanced threshold could equally have been locked.
    """
    if task.kind == "multiclass":
        return {}  # the most probable class is predicted, without a threshold
    ranges = {}
    for label in task.labels:
        own = {locked.point.purpose: locked for locked in points if locked.point.label == label}
        if {"balanced", "rule-out", "rule-in"} <= set(own):
            ranges[label] = IndeterminateRange(
                min(own["rule-out"].point.threshold, own["balanced"].validation.low),
                max(own["rule-in"].point.threshold, own["balanced"].validation.high),
                "from the rule-out to the rule-in threshold, and at least the 5th to 95th "
                "percentile of the balanced threshold over resampled validation patients",
            )
    return ranges

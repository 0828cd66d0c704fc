"""Locks temperature, operating points, indeterminate ranges and rejection on validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.bundle import IndeterminateRange, Rejection
from plainfilm.config import AUGMENTATIONS, Recipe
from plainfilm.metrics import Temperature, apply_temperature, fit_temperature, lock_operating_points
from plainfilm.records import LockedPoint, Task
from plainfilm.training.losses import class_weights
from plainfilm.training.preview import augmented_images
from plainfilm.training.training_images import ValidationSet

DRAWS = 4
"""Number of disturbed copies of each validation image, in addition to the unchanged image."""
_DISTURBANCE = "radiograph"
_COPIES = f"each unchanged and in {DRAWS} draws of the augmentation {_DISTURBANCE!r}"
_REJECTED = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class LockedThresholds:
    """Temperature, operating points and indeterminate ranges.

    ``probabilities`` (n, labels) are those of the images that they were selected on.
    """

    temperature: Temperature
    points: tuple[LockedPoint, ...]
    indeterminate: Mapping[str, IndeterminateRange]
    probabilities: NDArray[np.float64]


def disturbed_images(images: NDArray[np.uint8], draws: int = DRAWS) -> NDArray[np.uint8]:
    """Return the unchanged images followed by augmented copies, ((1 + draws) * n, size, size).

    All recipes use the same augmentation, so that no recipe is judged by its own. On unchanged
    validation images the classes are often perfectly separated. Many thresholds are then equally
    good, and the selected one may be far off for images from another source. Disturbances that
    leave the diagnosis unchanged put cases between the classes.
    """
    config = AUGMENTATIONS[_DISTURBANCE]
    size, count = images.shape[1], len(images)
    result = np.empty(((1 + draws) * count, size, size), np.uint8)
    result[:count] = images
    for seed in range(draws):
        copies = slice((1 + seed) * count, (2 + seed) * count)
        result[copies] = augmented_images(config, size, images, seed=seed)
    return result


def locked_on(count: int) -> str:
    """Return which images the thresholds of a bundle were selected on, in words."""
    return f"{plural(count, 'validation image', separator='')}, {_COPIES}"


def lock_thresholds(
    logits: NDArray[np.float64], validation: ValidationSet, task: Task, recipe: Recipe
) -> LockedThresholds:
    """Fit the temperature and lock the operating points.

    The logits ((1 + DRAWS) * n, labels) are those of the `disturbed_images` of validation. If
    training weighs the classes alike, so does the fit of the temperature: otherwise the temperature
    would compensate for the difference.
    """
    labels = np.tile(validation.labels, (1 + DRAWS, 1))
    patients = [*validation.patients] * (1 + DRAWS)
    weights = _image_weights(labels, task, balanced=recipe.fit.balance == "weights")
    temperature = fit_temperature(logits, labels, kind=task.kind, weights=weights)
    probabilities = apply_temperature(logits, temperature.value, kind=task.kind)
    points = tuple(
        point
        for column, label in enumerate(task.labels)
        for point in lock_operating_points(
            probabilities[:, column],
            labels[:, column],
            label,
            patients=patients,
            sensitivity=recipe.points.sensitivity,
            specificity=recipe.points.specificity,
            own=recipe.points.own,
        )
    )
    return LockedThresholds(temperature, points, _indeterminate(points, task), probabilities)


def lock_rejection(novelty: NDArray[np.float64], unchanged: int) -> Rejection:
    """Lock the novelty above which an image is rejected.

    ``novelty`` (n,) is that of the `disturbed_images` of validation, ``unchanged`` ones first.
    """
    threshold = float(np.quantile(novelty, 1 - _REJECTED))
    return Rejection(
        threshold,
        f"rejects {_REJECTED:.0%} of the validation images, {_COPIES}",
        float(np.mean(novelty[:unchanged] >= threshold)),
    )


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
                min(own["rule-out"].point.threshold, own["balanced"].low),
                max(own["rule-in"].point.threshold, own["balanced"].high),
                "from the rule-out to the rule-in threshold, and at least the 5th to 95th "
                "percentile of the balanced threshold over resampled validation patients",
            )
    return ranges


def _image_weights(
    labels: NDArray[np.float32], task: Task, *, balanced: bool
) -> NDArray[np.float64]:
    if not balanced or task.kind == "multilabel":
        return np.ones(len(labels))
    zeros, ones = class_weights(labels, task, balanced=True)
    y_true = np.nan_to_num(labels)
    weights = y_true * ones + (1 - y_true) * (zeros if task.kind == "binary" else 0.0)
    return np.asarray(weights.sum(axis=1), np.float64)

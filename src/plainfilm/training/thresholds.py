"""Locks thresholds and rejection on validation images and disturbed copies of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.bundle import Rejection
from plainfilm.bundle.locking import LockedThresholds, lock_thresholds
from plainfilm.config import AUGMENTATIONS, Recipe
from plainfilm.records import Task
from plainfilm.training.class_weights import class_weights
from plainfilm.training.preview import augmented_images

DRAWS = 4
"""Number of disturbed copies of each validation image, in addition to the unchanged image."""
_DISTURBANCE = "radiograph"
_COPIES = f"each unchanged and in {DRAWS} draws of the augmentation {_DISTURBANCE!r}"
_REJECTED = 0.01


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


def describe_images(count: int, kind: str = "validation image") -> str:
    """Return which images the thresholds of a bundle were selected on, in words."""
    return f"{plural(count, kind, separator='')}, {_COPIES}"


def lock_on(
    logits: NDArray[np.float64],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    task: Task,
    recipe: Recipe,
) -> LockedThresholds:
    """Lock temperature and operating points on the `disturbed_images` of validation.

    ``logits`` are ((1 + DRAWS) * n, labels). If training weighs the classes alike, so does the fit
    of the temperature: otherwise the temperature would compensate for the difference.
    """
    return lock_thresholds(
        logits,
        labels,
        patients,
        task,
        sensitivity=recipe.points.sensitivity,
        specificity=recipe.points.specificity,
        own=recipe.points.own,
        weights=_image_weights(labels, task, balanced=recipe.fit.balance == "weights"),
        copies=1 + DRAWS,
    )


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


def _image_weights(
    labels: NDArray[np.float32], task: Task, *, balanced: bool
) -> NDArray[np.float64]:
    if not balanced or task.kind == "multilabel":
        return np.ones(len(labels))
    zeros, ones = class_weights(labels, task, balanced=True)
    y_true = np.nan_to_num(labels)
    weights = y_true * ones + (1 - y_true) * (zeros if task.kind == "binary" else 0.0)
    return np.asarray(weights.sum(axis=1), np.float64)

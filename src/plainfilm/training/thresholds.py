"""What is chosen on validation, and sealed: temperature, operating points, bands, rejection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import IndeterminateRange, Rejection
from plainfilm.config import AUGMENTATIONS, PointsConfig
from plainfilm.metrics import (
    Temperature,
    apply_temperature,
    fit_temperature,
    lock_operating_points,
)
from plainfilm.records import LockedPoint, Task
from plainfilm.training.losses import class_weights
from plainfilm.training.preview import augmented_images

__all__ = [
    "DRAWS",
    "LockedThresholds",
    "disturbed_images",
    "lock_rejection",
    "lock_thresholds",
    "locked_on",
]

DRAWS = 4
"""How often each validation image is shown under disturbance, besides as it is."""
_DISTURBANCE = "radiograph"
_REJECTED = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class LockedThresholds:
    """What validation settled.

    Attributes
    ----------
    temperature, points, bands
        To be sealed.
    probabilities
        (n, labels) of the images that were used, with that temperature.
    """

    temperature: Temperature
    points: tuple[LockedPoint, ...]
    bands: Mapping[str, IndeterminateRange]
    probabilities: NDArray[np.float64]


def disturbed_images(images: NDArray[np.uint8], draws: int = DRAWS) -> NDArray[np.uint8]:
    """Return images as they are, and then under several draws of one augmentation.

    It is the same augmentation for every recipe, so that none is judged by its own. A clean
    validation split is often saturated: many thresholds err alike on it, and the one it
    prefers may be far off where images come from elsewhere. The same images under disturbances
    that leave the diagnosis alone put cases into that gap.
    """
    config = AUGMENTATIONS[_DISTURBANCE]
    size, count = images.shape[1], len(images)
    seen = np.empty(((1 + draws) * count, size, size), np.uint8)
    seen[:count] = images
    for seed in range(draws):
        copies = slice((1 + seed) * count, (2 + seed) * count)
        seen[copies] = augmented_images(config, size, images, seed=seed)
    return seen


def locked_on(images: int) -> str:
    """Say in words what was used."""
    return (
        f"{images} validation images, each as it is and under {DRAWS} draws of the augmentation "
        f"{_DISTURBANCE!r}"
    )


def lock_thresholds(
    margins: NDArray[np.float64],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    task: Task,
    *,
    balance: bool,
    points: PointsConfig,
) -> LockedThresholds:
    """Fit the temperature and lock the operating points.

    Parameters
    ----------
    margins
        (n, labels) logits of the images of `disturbed_images`.
    labels, patients
        (n, labels) and (n,) that go with them.
    balance
        Whether training weighed the classes alike: validation is weighed like it, or the
        temperature would answer for the difference.
    points
        Which operating points.
    """
    weights = _image_weights(labels, task, balance)
    temperature = fit_temperature(margins, labels, kind=task.kind, weights=weights)
    probabilities = apply_temperature(margins, temperature.value, kind=task.kind)
    locked = tuple(
        point
        for column, label in enumerate(task.labels)
        for point in lock_operating_points(
            probabilities[:, column],
            labels[:, column],
            label,
            patients=patients,
            sensitivity=points.sensitivity,
            specificity=points.specificity,
            own=points.own,
        )
    )
    return LockedThresholds(temperature, locked, _bands(locked, task), probabilities)


def lock_rejection(novelty: NDArray[np.float64], clean: int) -> Rejection:
    """Lock from which novelty on an image is rejected.

    Parameters
    ----------
    novelty
        (n,) of the images of `disturbed_images`, the first ``clean`` of which are as they are.
    clean
        How many.
    """
    threshold = float(np.quantile(novelty, 1 - _REJECTED))
    rule = (
        f"rejects {_REJECTED:.0%} of the validation images, each as it is and under {DRAWS} draws "
        f"of the augmentation {_DISTURBANCE!r}"
    )
    return Rejection(threshold, rule, float(np.mean(novelty[:clean] >= threshold)))


def _bands(points: Sequence[LockedPoint], task: Task) -> dict[str, IndeterminateRange]:
    """Return for each label the probabilities that lie between its rules.

    Where validation is saturated, rule-out and rule-in lie at the balanced threshold; then it is
    the range in which that one might as well have been locked.
    """
    if task.kind == "multiclass":
        return {}  # the most probable class is called; there is no threshold to be near to
    bands = {}
    for label in task.labels:
        own = {locked.point.purpose: locked for locked in points if locked.point.label == label}
        if not {"balanced", "rule-out", "rule-in"} <= set(own):
            continue
        low = min(own["rule-out"].point.threshold, own["balanced"].low)
        high = max(own["rule-in"].point.threshold, own["balanced"].high)
        rule = (
            "from the rule-out to the rule-in threshold, and at least where the balanced "
            "threshold lies on resampled validation patients (5th to 95th percentile)"
        )
        bands[label] = IndeterminateRange(low, high, rule)
    return bands


def _image_weights(labels: NDArray[np.float32], task: Task, balance: bool) -> NDArray[np.float64]:
    if not balance or task.kind == "multilabel":
        return np.ones(len(labels))
    zeros, ones = class_weights(labels, task, balanced=True)
    truth = np.nan_to_num(labels)
    weights = truth * ones + (1 - truth) * (zeros if task.kind == "binary" else 0.0)
    return np.asarray(weights.sum(axis=1), np.float64)

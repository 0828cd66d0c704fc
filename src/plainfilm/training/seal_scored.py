"""Seals a network, of whatever kind, by what it returns for the images of validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Bundle, Provenance, TrainingImages
from plainfilm.config import Recipe
from plainfilm.models.mirror import mirror_graph
from plainfilm.models.novelty import Novelty, class_numbers, fit_novelty
from plainfilm.records import Task
from plainfilm.training.checked_bundle import Expected, prevalences, write_checked_bundle
from plainfilm.training.networks import head_of, one_logit_per_label
from plainfilm.training.thresholds import describe_images, lock_on, lock_rejection
from plainfilm.training.training_images import ValidationSet

SAMPLE = 1000
"""Largest number of training images that novelty is fitted on."""

Features = NDArray[np.float64] | None
"""Values (n, d) below the last layer; None if they are too many for a distance."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a network returns for images.

    Attributes
    ----------
    images, logits, features
        The `disturbed_images` of validation, with logits (n, outputs) and features.
    learnt, learnt_labels, learnt_features
        Up to `SAMPLE` training images, unchanged and then disturbed once, (2n, size, size), with
        labels (n, labels) and features.
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float64]
    features: Features
    learnt: NDArray[np.uint8]
    learnt_labels: NDArray[np.float32]
    learnt_features: Features


def seal_scored(
    folder: Path,
    recipe: Recipe,
    task: Task,
    validation: ValidationSet,
    scored: Scored,
    make_graph: Callable[[float, Novelty], bytes],
    *,
    provenance: Provenance,
    has_activation_map: bool,
    weights: bytes,
    known: TrainingImages,
    tolerance: float | None = None,
) -> Bundle:
    """Lock thresholds and rejection, and write the bundle.

    ``make_graph`` returns the graph for a temperature and a novelty. A RunError is raised if its
    predictions differ from those that were scored by more than ``tolerance``.
    """
    head = head_of(task, recipe.fit.loss)
    one = one_logit_per_label(scored.logits, task, head)
    locked = lock_on(one, validation.labels, validation.patients, task, recipe)
    classes = np.tile(class_numbers(scored.learnt_labels, task), 2)
    novelty = fit_novelty(
        (scored.learnt, scored.learnt_features, classes), (scored.images, scored.features)
    )
    scores = novelty.score(scored.features, scored.images)
    count, temperature = len(validation), locked.temperature.value
    graph = make_graph(temperature, novelty)
    if recipe.network.mirror:
        graph = mirror_graph(graph, task, head, temperature)
    return write_checked_bundle(
        folder,
        recipe,
        task,
        locked,
        lock_rejection(scores, count),
        Expected(validation.images, locked.probabilities[:count], scores[:count]),
        provenance=replace(
            provenance,
            training_prevalence=prevalences(scored.learnt_labels, task),
            locked_on=describe_images(count),
        ),
        has_activation_map=has_activation_map,
        graph=graph,
        weights=weights,
        known=known,
        tolerance=tolerance,
    )

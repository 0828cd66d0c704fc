"""Seals a trained network: locks its thresholds, exports its graph and writes its bundle."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Bundle, Provenance, TrainingImages
from plainfilm.config import Recipe
from plainfilm.models.export import feature_network, has_activation_map, to_onnx
from plainfilm.models.mirror import mirror_graph
from plainfilm.models.novelty import Novelty, class_numbers, fit_novelty
from plainfilm.network_session import import_onnxruntime
from plainfilm.records import Task
from plainfilm.training.checked_bundle import Expected, prevalences, write_checked_bundle
from plainfilm.training.networks import head_of, network_of, one_logit_per_label, predict_outputs
from plainfilm.training.state import read_weights
from plainfilm.training.thresholds import (
    DRAWS,
    describe_images,
    disturbed_images,
    lock_on,
    lock_rejection,
)
from plainfilm.training.training_images import ValidationSet

SAMPLE = 1000
"""Largest number of training images that novelty is fitted on."""

_LARGE = 1 << 26  # bytes of disturbed images that would take much memory next to a training


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """What sealing needs besides the weights.

    ``outputs`` is a model of the logits and the features below the last layer, unless these are too
    wide. ``disturbed`` are the `disturbed_images` of validation, or None if they are too large.
    ``training`` are images (2n, size, size) of up to `SAMPLE` training records, unchanged and
    disturbed once, and their labels (n, labels). ``known`` recognises training images.
    """

    recipe: Recipe
    task: Task
    validation: ValidationSet
    network: Any
    outputs: Any
    disturbed: NDArray[np.uint8] | None
    training: tuple[NDArray[np.uint8], NDArray[np.float32]]
    known: TrainingImages


def prepare_seal(
    recipe: Recipe,
    task: Task,
    validation: ValidationSet,
    sample: Callable[[], tuple[NDArray[np.uint8], NDArray[np.float32]]],
    collect: Callable[[], TrainingImages],
) -> Preparation:
    """Return what `seal` needs besides the weights.

    ``sample`` returns images and labels, and ``collect`` what recognises training images.
    """
    with contextlib.suppress(ImportError):  # `seal` raises the error
        import_onnxruntime()
    for name in ("onnx", "scipy.optimize", "scipy.special"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    network = network_of(recipe, task)
    below = feature_network(network)
    both = network if below is None else keras.Model(network.inputs, [network.output, below.output])
    # The first prediction traces the model.
    predict_outputs(both, np.zeros((1, recipe.input.size, recipe.input.size), np.uint8))
    small = (1 + DRAWS) * validation.images.nbytes <= _LARGE
    disturbed = disturbed_images(validation.images) if small else None
    images, labels = sample()
    training = disturbed_images(images, draws=1), labels
    return Preparation(recipe, task, validation, network, both, disturbed, training, collect())


def seal(preparation: Preparation, weights: bytes, folder: Path, provenance: Provenance) -> Bundle:
    """Write the bundle of a trained network.

    A RunError is raised if the sealed graph does not predict like the network.
    """
    recipe, task, validation = preparation.recipe, preparation.task, preparation.validation
    head, network = head_of(task, recipe.fit.loss), preparation.network
    read_weights(weights, network.variables, "the file of the trained weights")
    images = preparation.disturbed
    if images is None:
        images = disturbed_images(validation.images)
    logits, *features = predict_outputs(preparation.outputs, images)
    if recipe.network.mirror:
        logits = (logits + predict_outputs(preparation.outputs, images[:, :, ::-1])[0]) / 2
    one = one_logit_per_label(logits, task, head)
    locked = lock_on(one, validation.labels, validation.patients, task, recipe)
    novelty, scores = _fit_novelty(preparation, images, features)
    count, temperature = len(validation), locked.temperature.value
    graph = to_onnx(network, task, head, temperature, novelty)
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
            training_prevalence=prevalences(preparation.training[1], task),
            locked_on=describe_images(count),
        ),
        has_activation_map=has_activation_map(network),
        graph=graph,
        weights=weights,
        known=preparation.known,
    )


def _fit_novelty(
    preparation: Preparation, images: NDArray[np.uint8], features: Sequence[NDArray[np.float64]]
) -> tuple[Novelty, NDArray[np.float64]]:
    """Fit novelty on the training images of a `Preparation`; return it and its scores.

    ``features`` of ``images`` is empty if those of the network are too wide.
    """
    learnt, labels = preparation.training
    classes = np.tile(class_numbers(labels, preparation.task), 2)
    held = features[0] if features else None
    own = predict_outputs(preparation.outputs, learnt)[1] if features else None
    novelty = fit_novelty((learnt, own, classes), (images, held))
    return novelty, novelty.score(held, images)

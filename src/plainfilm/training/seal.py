"""Seals a trained network: locks its thresholds, exports its graph and writes its bundle."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Bundle, Provenance, TrainingImages
from plainfilm.config import Recipe
from plainfilm.models.export import feature_network, has_activation_map, to_onnx
from plainfilm.network_session import import_onnxruntime
from plainfilm.records import Task
from plainfilm.training.networks import head_of, network_of, predict_outputs
from plainfilm.training.seal_scored import Scored, seal_scored
from plainfilm.training.state import read_weights
from plainfilm.training.thresholds import (
    DRAWS,
    disturbed_images,
)
from plainfilm.training.training_images import ValidationSet

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
    both = network if below is None else keras.Model(network.input, [network.output, below.output])
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
    learnt, labels = preparation.training
    scored = Scored(
        images,
        logits,
        features[0] if features else None,
        learnt,
        labels,
        predict_outputs(preparation.outputs, learnt)[1] if features else None,
    )
    return seal_scored(
        folder,
        recipe,
        task,
        validation,
        scored,
        lambda temperature, novelty: to_onnx(network, task, head, temperature, novelty),
        provenance=provenance,
        has_activation_map=has_activation_map(network),
        weights=weights,
        known=preparation.known,
    )

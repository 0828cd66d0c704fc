"""Sealing: weights become a bundle; temperature and thresholds are locked on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thorax.bundle import Bundle, read_bundle, write_bundle
from thorax.config import AUGMENTATIONS, Recipe
from thorax.errors import RunError
from thorax.metrics import LockedPoint, apply_temperature, fit_temperature, lock_operating_points
from thorax.models import build_network
from thorax.models.export import has_activation_map, to_onnx
from thorax.records import Task
from thorax.runtime import Predictor
from thorax.training.backend import use_backend
from thorax.training.losses import class_weights, head_of, outputs_of
from thorax.training.preview import augmented_images
from thorax.training.state import read_weights

__all__ = ["keras_probabilities", "load_network", "seal"]

_TOLERANCE = 1e-5
_DRAWS = 4
_DISTURBANCE = "radiograph"


def seal(
    recipe: Recipe,
    task: Task,
    weights: bytes,
    validation: tuple[NDArray[np.uint8], NDArray[np.float32], Sequence[str]],
    folder: Path,
    provenance: Mapping[str, Any],
) -> Bundle:
    """Write the bundle of a trained network.

    Parameters
    ----------
    recipe, task
        What was trained.
    weights
        Of the chosen epoch, from `thorax.training.fit.fit`.
    validation
        Images (n, size, size), labels (n, labels) and patient keys: all that temperature and
        operating points may be chosen by.
    folder
        Where the bundle goes.
    provenance
        What the bundle tells about how it came to be.

    Raises
    ------
    RunError
        If what was sealed does not answer like the network it was made from.
    """
    images, truth, owners = validation
    head = head_of(task, recipe.fit.loss)
    network = _network(recipe, task)
    read_weights(weights, network.variables, "the trained weights")
    # A clean validation partition is often saturated: many thresholds err alike on it, and the one
    # it prefers may be far off where images come from elsewhere. The same images under disturbances
    # that leave the diagnosis alone put cases into that gap.
    seen = np.concatenate([images, *_disturbed(images)])
    labels = np.tile(truth, (1 + _DRAWS, 1))
    patients = [*owners] * (1 + _DRAWS)
    margins = _margins(_logits(network, seen), task, head)
    balance = recipe.fit.balance == "weights"
    temperature = fit_temperature(
        margins, labels, kind=task.kind, weights=_image_weights(labels, task, balance)
    )
    probabilities = apply_temperature(margins, temperature.value, kind=task.kind)
    bundle = write_bundle(
        folder,
        task=task,
        pixels=recipe.input,
        temperature=temperature.value,
        points=_lock(probabilities, labels, task, patients),
        graph=to_onnx(network, task, head, temperature.value),
        has_activation_map=has_activation_map(network),
        weights=weights,
        provenance={
            **provenance,
            "temperature": {"determined": temperature.determined, "note": temperature.note},
            "locked_on": (
                f"{len(images)} validation images, each as it is and under {_DRAWS} draws of the "
                f"augmentation {_DISTURBANCE!r}"
            ),
            # Which share of positives the probabilities take for granted.
            # (several labels: each is fitted at the share that training has).
            "assumed_prevalence": (
                "balanced" if balance and task.kind != "multilabel" else "training"
            ),
        },
    )
    shipped = Predictor(bundle).probabilities(images)
    gap = float(np.max(np.abs(shipped - probabilities[: len(images)]), initial=0.0))
    if not gap <= _TOLERANCE:
        (folder / "SHA256SUMS").unlink()  # so that nobody takes it for a bundle
        raise RunError(
            "the sealed graph does not answer like the network it was made from",
            received=f"probabilities differ by up to {gap:.2g}, allowed are {_TOLERANCE:.0e}",
        )
    return bundle


def load_network(bundle: Bundle | str | Path, *, backend: str | None = None) -> Any:
    """Return the Keras model of a bundle, from images (n, size, size, 1) to logits.

    Raises
    ------
    BundleError
        If the bundle cannot be verified.
    """
    use_backend(backend)
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    recipe = Recipe.from_json(bundle.provenance["recipe"])
    network = _network(recipe, bundle.task)
    read_weights(bundle.weights.read_bytes(), network.variables, str(bundle.weights))
    return network


def keras_probabilities(
    bundle: Bundle | str | Path, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the probabilities (n, labels) that the Keras model itself gives.

    The way to check, on any backend, that the bundle answers as the network does.
    """
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    recipe = Recipe.from_json(bundle.provenance["recipe"])
    head = head_of(bundle.task, recipe.fit.loss)
    margins = _margins(_logits(load_network(bundle), images), bundle.task, head)
    return apply_temperature(margins, bundle.temperature, kind=bundle.task.kind)


def _disturbed(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the images under several draws of one augmentation, the same for every recipe."""
    config = AUGMENTATIONS[_DISTURBANCE]
    return [augmented_images(config, images.shape[1], images, seed=draw) for draw in range(_DRAWS)]


def _network(recipe: Recipe, task: Task) -> Any:
    outputs = outputs_of(task, head_of(task, recipe.fit.loss))
    return build_network(recipe.network.name, recipe.input.size, outputs, recipe.network.options)


def _logits(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.concatenate(
        [
            np.asarray(network.predict_on_batch(images[at : at + 256, ..., None]), np.float64)
            for at in range(0, len(images), 256)
        ]
    )


def _margins(logits: NDArray[np.float64], task: Task, head: str) -> NDArray[np.float64]:
    """Turn the two logits of a binary softmax into the one that a sigmoid would have."""
    if head == "softmax" and task.kind == "binary":
        return logits[:, 1:] - logits[:, :1]
    return logits


def _image_weights(labels: NDArray[np.float32], task: Task, balance: bool) -> NDArray[np.float64]:
    """Weigh validation like training was, or the temperature would answer for the difference."""
    if not balance or task.kind == "multilabel":
        return np.ones(len(labels))
    zeros, ones = class_weights(labels, task, balanced=True)
    truth = np.nan_to_num(labels)
    weights = truth * ones + (1 - truth) * (zeros if task.kind == "binary" else 0.0)
    return np.asarray(weights.sum(axis=1), np.float64)


def _lock(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.float32],
    task: Task,
    patients: Sequence[str],
) -> tuple[LockedPoint, ...]:
    return tuple(
        point
        for column, label in enumerate(task.labels)
        for point in lock_operating_points(
            probabilities[:, column], labels[:, column], label, patients=patients
        )
    )

"""Sealing: weights become a bundle; temperature and thresholds are locked on validation."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Bundle, read_bundle, write_bundle
from plainfilm.config import Recipe
from plainfilm.errors import RunError
from plainfilm.metrics import apply_temperature
from plainfilm.models import build_network
from plainfilm.models.export import feature_network, has_activation_map, to_onnx
from plainfilm.records import Task
from plainfilm.runtime import Predictor
from plainfilm.training.backend import use_backend
from plainfilm.training.beside import Beside
from plainfilm.training.losses import head_of, outputs_of
from plainfilm.training.novelty import FLOOR, SIDE, Novelty, class_numbers, fit_novelty
from plainfilm.training.predictions import answers_of, answers_of_all
from plainfilm.training.state import part_weights, read_weights
from plainfilm.training.thresholds import (
    DRAWS,
    Settled,
    disturbed_images,
    lock_rejection,
    locked_on,
    settle,
)

__all__ = [
    "SAMPLE",
    "Held",
    "Ready",
    "Sample",
    "check_sealed",
    "chosen_by",
    "keras_probabilities",
    "load_network",
    "make_ready",
    "margins_of",
    "seal",
]

SAMPLE = 1000
"""Training images that later ones are held against, at most."""
Sample = Callable[[], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""Returns images (n, size, size) that were learnt from, up to `SAMPLE`, and labels (n, labels)."""

_TOLERANCE = 1e-5
_KEPT = 1 << 26  # bytes of disturbed images that may wait, beside all else that training needs
_LOOSE = 1e-3  # novelty is a distance in hundreds of dimensions, computed in single precision


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Validation: all that temperature, operating points and rejection may be chosen by.

    Attributes
    ----------
    images
        uint8 (n, size, size).
    labels
        (n, labels).
    patients
        (n,) keys.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.float32]
    patients: Sequence[str]

    @property
    def repeated(self) -> tuple[NDArray[np.float32], list[str]]:
        """Return labels and patients of `disturbed_images` of the images."""
        times = 1 + DRAWS
        return np.tile(self.labels, (times, 1)), [*self.patients] * times


def seal(
    recipe: Recipe,
    task: Task,
    weights: bytes,
    validation: Held,
    training: Sample,
    folder: Path,
    provenance: Mapping[str, Any],
    ready: Ready,
) -> Bundle:
    """Write the bundle of a trained network.

    Parameters
    ----------
    recipe, task
        What was trained.
    weights
        Of the chosen epoch, from `plainfilm.training.fit.fit`.
    validation
        What may be chosen by.
    training
        Returns what was learnt from.
    folder
        Where the bundle goes.
    provenance
        What the bundle tells about how it came to be.
    ready
        From `make_ready`, of the same recipe, task and validation.

    Raises
    ------
    RunError
        If what was sealed does not answer like the network it was made from.
    """
    head = head_of(task, recipe.fit.loss)
    network = ready.network
    read_weights(weights, network.variables, "the trained weights")
    seen = disturbed_images(validation.images) if ready.seen is None else ready.seen
    labels, patients = validation.repeated
    # Logits and what they are made from, in one pass.
    logits, *features = answers_of_all(ready.asked, seen)
    settling = Beside(
        partial(
            settle,
            margins_of(logits, task, head),
            labels,
            patients,
            task,
            balance=recipe.fit.balance == "weights",
            points=recipe.points,
        )
    )
    learnt = _learnt(training) if ready.learnt is None else ready.learnt
    novelty, scores = _novelty(ready.asked, task, learnt, seen, features)
    settled = settling.wait()
    bundle = write_bundle(
        folder,
        task=task,
        pixels=recipe.input,
        temperature=settled.temperature.value,
        points=settled.points,
        graph=to_onnx(network, task, head, settled.temperature.value, (novelty, SIDE, FLOOR)),
        has_activation_map=has_activation_map(network),
        weights=weights,
        provenance={
            **provenance,
            **chosen_by(settled, validation, recipe, task),
            "training_prevalence": _shares(learnt[1], task),
        },
        rejection=lock_rejection(scores, len(validation.images)),
        indeterminate=settled.bands,
    )
    check_sealed(bundle, validation.images, settled.probabilities, scores)
    return bundle


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A recipe's network that waits for its weights.

    Attributes
    ----------
    network
        From images to logits.
    asked
        The same with what its last layer takes as a second output, where that is not too wide;
        compiled for `answers_of_all`.
    seen
        `disturbed_images` of validation; None where they take too much to wait beside a training.
    learnt
        The sample of training images, as they are and disturbed once, (2n, size, size), and its
        labels (n, labels); None in that case.
    """

    network: Any
    asked: Any
    seen: NDArray[np.uint8] | None
    learnt: tuple[NDArray[np.uint8], NDArray[np.float32]] | None


def make_ready(
    recipe: Recipe, task: Task, validation: NDArray[np.uint8], training: Sample
) -> Ready:
    """Do what of sealing needs no weights: beside a training it costs hardly anything.

    Parameters
    ----------
    recipe, task
        What is being trained.
    validation
        Its images (n, size, size).
    training
        Returns what is learnt from.
    """
    for name in ("onnx", "onnxruntime", "scipy.optimize", "scipy.special"):
        with contextlib.suppress(ImportError):  # sealing will say so
            importlib.import_module(name)
    network = _network(recipe, task)
    below = feature_network(network)
    asked = network if below is None else _side_by_side(network, below)
    answers_of_all(asked, np.zeros((1, recipe.input.size, recipe.input.size), np.uint8))
    seen = disturbed_images(validation) if (1 + DRAWS) * validation.nbytes <= _KEPT else None
    learnt = _learnt(training) if 2 * SAMPLE * recipe.input.size**2 <= _KEPT else None
    return Ready(network, asked, seen, learnt)


def _learnt(training: Sample) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images as they are and under one draw of the disturbance, and their labels once."""
    images, labels = training()
    return disturbed_images(images, draws=1), labels


def chosen_by(settled: Settled, validation: Held, recipe: Recipe, task: Task) -> dict[str, Any]:
    """Return what a bundle's provenance says about the choices made on validation."""
    balanced = recipe.fit.balance == "weights" and task.kind != "multilabel"
    return {
        "temperature": {
            "determined": settled.temperature.determined,
            "note": settled.temperature.note,
        },
        "locked_on": locked_on(len(validation.images)),
        # Which share of positives the probabilities take for granted
        # (several labels: each is fitted at the share that training has).
        "assumed_prevalence": "balanced" if balanced else "training",
    }


def _shares(labels: NDArray[np.float32], task: Task) -> dict[str, float | None]:
    """Return the share of positives of each label in training, None where none is known."""
    columns = zip(task.labels, labels.T, strict=True)
    return {
        label: None if np.isnan(column).all() else float(np.nanmean(column))
        for label, column in columns
    }


def check_sealed(
    bundle: Bundle,
    images: NDArray[np.uint8],
    probabilities: NDArray[np.float64],
    novelty: NDArray[np.float64],
) -> None:
    """Refuse a bundle that does not answer for images (n, size, size) as it should.

    ``probabilities`` and ``novelty`` may go on beyond the n images.
    """
    shipped, strange = Predictor(bundle).answer(images)
    gap = float(np.max(np.abs(shipped - probabilities[: len(images)]), initial=0.0))
    apart = 0.0
    if strange is not None:
        wanted = novelty[: len(images)]
        apart = float(np.max(np.abs(strange - wanted) / np.maximum(wanted, 1.0), initial=0.0))
    if not (gap <= _TOLERANCE and apart <= _LOOSE):
        (bundle.folder / "SHA256SUMS").unlink()  # so that nobody takes it for a bundle
        raise RunError(
            "the sealed graph does not answer like the network it was made from",
            received=f"probabilities differ by up to {gap:.2g}, allowed are {_TOLERANCE:.0e}; "
            f"novelty by {apart:.2g}, allowed are {_LOOSE:.0e}",
        )


def _side_by_side(network: Any, below: Any) -> Any:
    """Return a model with the outputs of both, which share their layers."""
    from keras import Model

    return Model(network.inputs, [*network.outputs, *below.outputs])


def _novelty(
    both: Any,
    task: Task,
    training: tuple[NDArray[np.uint8], NDArray[np.float32]],
    seen: NDArray[np.uint8],
    features: Sequence[NDArray[np.float64]],
) -> tuple[Novelty, NDArray[np.float64]]:
    """Fit the novelty on training images, with one draw of the disturbance; score ``seen``.

    ``features`` of ``seen`` is empty where those of the network are too wide to be used.
    """
    learnt, labels = training
    kinds = class_numbers(labels, task)
    held = features[0] if features else None
    own = answers_of_all(both, learnt)[1] if features else None
    novelty = fit_novelty((learnt, own, np.tile(kinds, 2)), (seen, held))
    return novelty, novelty.score(held, seen)


def load_network(bundle: Bundle | str | Path, *, backend: str | None = None) -> Any:
    """Return the Keras model of a bundle, from images (n, size, size, 1) to logits.

    That of an ensemble averages its members.

    Raises
    ------
    BundleError
        If the bundle cannot be verified.
    """
    use_backend(backend)
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    recipe = Recipe.from_json(bundle.provenance["recipe"])
    members = len(bundle.provenance.get("members") or ())
    data = bundle.weights.read_bytes()
    if not members:
        network = _network(recipe, bundle.task)
        read_weights(data, network.variables, str(bundle.weights))
        return network
    from keras import Input, Model, layers

    networks = [_network(recipe, bundle.task) for _ in range(members)]
    for number, network in enumerate(networks):
        own = part_weights(data, f"m{number}/")
        read_weights(own, network.variables, str(bundle.weights))
    image = Input((recipe.input.size, recipe.input.size, 1))
    # Keras asks for a name of its own for each part of a model.
    named = [Model(n.input, n.output, name=f"member{m}") for m, n in enumerate(networks)]
    return Model(image, layers.Average()([network(image) for network in named]))


def keras_probabilities(
    bundle: Bundle | str | Path, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the probabilities (n, labels) that the Keras model itself gives.

    The way to check, on any backend, that the bundle answers as the network does.
    """
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    recipe = Recipe.from_json(bundle.provenance["recipe"])
    head = head_of(bundle.task, recipe.fit.loss)
    margins = margins_of(answers_of(load_network(bundle), images), bundle.task, head)
    return apply_temperature(margins, bundle.temperature, kind=bundle.task.kind)


def _network(recipe: Recipe, task: Task) -> Any:
    outputs = outputs_of(task, head_of(task, recipe.fit.loss))
    return build_network(recipe.network.name, recipe.input.size, outputs, recipe.network.options)


def margins_of(logits: NDArray[np.float64], task: Task, head: str) -> NDArray[np.float64]:
    """Turn the two logits of a binary softmax into the one that a sigmoid would have."""
    if head == "softmax" and task.kind == "binary":
        return logits[:, 1:] - logits[:, :1]
    return logits

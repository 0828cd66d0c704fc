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

from plainfilm.bundle import Bundle, write_bundle
from plainfilm.config import Recipe
from plainfilm.errors import RunError
from plainfilm.models.export import feature_network, has_activation_map, to_onnx
from plainfilm.models.novelty import FLOOR, SIDE, Novelty, class_numbers, fit_novelty
from plainfilm.records import Task
from plainfilm.runtime import Predictor
from plainfilm.training.beside import Beside
from plainfilm.training.networks import head_of, network_of, one_logit_per_label, predict_outputs
from plainfilm.training.state import read_weights
from plainfilm.training.thresholds import (
    DRAWS,
    LockedThresholds,
    disturbed_images,
    lock_rejection,
    lock_thresholds,
    locked_on,
)

__all__ = [
    "SAMPLE",
    "Held",
    "Ready",
    "Sample",
    "check_sealed",
    "chosen_by",
    "make_ready",
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
    logits, *features = predict_outputs(ready.asked, seen)
    settling = Beside(
        partial(
            lock_thresholds,
            one_logit_per_label(logits, task, head),
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
        compiled for `predict_outputs`.
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
    network = network_of(recipe, task)
    below = feature_network(network)
    asked = network if below is None else _side_by_side(network, below)
    predict_outputs(asked, np.zeros((1, recipe.input.size, recipe.input.size), np.uint8))
    seen = disturbed_images(validation) if (1 + DRAWS) * validation.nbytes <= _KEPT else None
    learnt = _learnt(training) if 2 * SAMPLE * recipe.input.size**2 <= _KEPT else None
    return Ready(network, asked, seen, learnt)


def _learnt(training: Sample) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images as they are and under one draw of the disturbance, and their labels once."""
    images, labels = training()
    return disturbed_images(images, draws=1), labels


def chosen_by(
    settled: LockedThresholds, validation: Held, recipe: Recipe, task: Task
) -> dict[str, Any]:
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
    shipped, strange = Predictor(bundle).probabilities_and_novelty(images)
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
    own = predict_outputs(both, learnt)[1] if features else None
    novelty = fit_novelty((learnt, own, np.tile(kinds, 2)), (seen, held))
    return novelty, novelty.score(held, seen)

"""Builds the network of a recipe, reads the one of a bundle, and predicts with it in Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Bundle, read_bundle
from plainfilm.config import ORIGIN_OPTIONS, PROBE, Recipe
from plainfilm.errors import BundleError, ConfigError
from plainfilm.metrics import apply_recalibration, apply_temperature
from plainfilm.records import Task
from plainfilm.training.backend import full_float32, use_backend

Head = Literal["sigmoid", "softmax"]
_BATCH = 128


def check_loss(task: Task, loss: str) -> None:
    """Raise a ConfigError if the recipe's ``loss`` cannot describe a task."""
    if task.kind == "multiclass" and loss == "sigmoid":
        raise ConfigError(
            "the classes of this task exclude each other, so fit.loss must be auto or softmax",
            received=loss,
        )
    if task.kind == "multilabel" and loss == "softmax":
        raise ConfigError(
            "the labels of this task do not exclude each other, so fit.loss must be auto or "
            "sigmoid",
            received=loss,
        )


def head_of(task: Task, loss: str) -> Head:
    """Resolve the recipe's ``loss`` for a task."""
    if loss == "auto":
        return "softmax" if task.kind == "multiclass" else "sigmoid"
    # Bundles of older versions may have softmax for several labels, for which it was not used.
    return "softmax" if loss == "softmax" and task.kind != "multilabel" else "sigmoid"


def outputs_of(task: Task, head: Head) -> int:
    """Return the number of logits that the network needs."""
    return len(task.classes) if head == "softmax" else len(task.labels)


def network_of(recipe: Recipe, task: Task) -> Any:
    """Return a new network of a recipe, from images (n, size, size, 1) to logits."""
    from plainfilm.models import build_network

    outputs = outputs_of(task, head_of(task, recipe.fit.loss))
    own = recipe.network.options.items()
    options = {key: value for key, value in own if key not in ORIGIN_OPTIONS}
    return build_network(recipe.network.name, recipe.input.size, outputs, options)


def load_network(bundle: Bundle | str | Path, *, backend: str | None = None) -> Any:
    """Return the Keras model of a bundle, from images (n, size, size, 1) to logits.

    The model of an ensemble returns the mean of its members' logits, and that of a recipe with
    ``network.mirror`` the mean of those of an image and its mirror image.

    Raises
    ------
    BundleError
        If the bundle cannot be verified.
    """
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    recipe = _recipe(bundle)
    use_backend(backend)
    from plainfilm.training.state import part_weights, read_weights

    members = len(bundle.provenance.members)
    data = bundle.read_weights()
    if data is None:
        raise BundleError(f"the bundle {bundle.folder} has no weights")
    networks = [network_of(recipe, bundle.task) for _ in range(members or 1)]
    for number, network in enumerate(networks):
        own = part_weights(data, f"m{number}/") if members else data
        read_weights(own, network.variables, str(bundle.weights))
    if not members and not recipe.network.mirror:
        return networks[0]
    from keras import Input, Model, layers, ops

    image = Input((recipe.input.size, recipe.input.size, 1))
    images = [image, ops.flip(image, axis=2)] if recipe.network.mirror else [image]
    # Keras requires unique names for the parts of a model.
    named = [Model(n.input, n.output, name=f"member{m}") for m, n in enumerate(networks)]
    logits = [network(own) for network in named for own in images]
    return Model(image, layers.Average()(logits))


def keras_probabilities(
    bundle: Bundle | str | Path, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the probabilities (n, labels) of the Keras model of a bundle.

    Use it to check on any backend that the ONNX graph of the bundle agrees with the network.
    """
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    recipe = _recipe(bundle)
    logits = one_logit_per_label(
        predict_logits(load_network(bundle), images),
        bundle.task,
        head_of(bundle.task, recipe.fit.loss),
    )
    logits = logits / bundle.temperature
    if bundle.recalibration is not None:
        logits = apply_recalibration(logits, bundle.recalibration)
    return apply_temperature(logits, 1.0, kind=bundle.task.kind)


def _recipe(bundle: Bundle) -> Recipe:
    recipe = bundle.provenance.recipe
    if recipe is None:
        raise BundleError(f"the bundle {bundle.folder} has no recipe, so no network can be built")
    if recipe.network.name == PROBE:
        raise BundleError(
            "a probe has no Keras network",
            received=str(bundle.folder),
            remedy="use its ONNX graph, for example with plainfilm.load",
        )
    return recipe


def predict_logits(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the logits (n, outputs) of images (n, size, size)."""
    # Batches of equal size need the least filling up.
    batches = -(-len(images) // _BATCH)
    [logits] = predict_outputs(network, images, -(-len(images) // batches))
    return logits


def predict_outputs(
    network: Any, images: NDArray[np.uint8], batch: int = _BATCH
) -> list[NDArray[np.float64]]:
    """Return each output of a Keras model for images (n, size, size), n > 0.

    All batches have one shape and the last one is filled up: a backend compiles once for each
    shape, which takes longer than hundreds of images.
    """
    parts = []
    with full_float32():
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            full = np.resize(some, (batch, *some.shape[1:]))
            result = network.predict_on_batch(full[..., None])
            outputs = result if isinstance(result, list | tuple) else [result]
            parts.append([np.asarray(output, np.float64)[: len(some)] for output in outputs])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def one_logit_per_label(logits: NDArray[np.float64], task: Task, head: str) -> NDArray[np.float64]:
    """Return logits (n, labels): two of a binary softmax become one of an equivalent sigmoid."""
    if head == "softmax" and task.kind == "binary":
        return logits[:, 1:] - logits[:, :1]
    return logits

"""Builds the image classifiers of Keras Applications for grey images.

A recipe names them ``keras:`` and the name of the function, for example ``keras:DenseNet121``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import applications, layers
from numpy.typing import NDArray

from plainfilm._json import name_unknown
from plainfilm.config import KERAS_PREFIX
from plainfilm.errors import ConfigError
from plainfilm.models.layers import GreyToChannels

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def application_names() -> tuple[str, ...]:
    """Return the names of the classifiers of the installed version of Keras."""
    functions = inspect.getmembers(applications, inspect.isfunction)
    return tuple(sorted(name for name, _ in functions))


def keras_application(
    name: str, size: int, outputs: int, *, frozen: float = 0.0, dropout: float = 0.0
) -> Any:
    """Build a classifier of Keras Applications with a new last layer.

    The grey image becomes three channels, scaled as the family expects it. The last feature map is
    pooled globally and a dense layer follows, so that there is a class activation map.

    Parameters
    ----------
    name
        One of `application_names`.
    frozen
        Share of the layers with weights, from the image on, that are not trained, 0 to 1. Batch
        normalisation that is not trained uses its stored statistics.
    dropout
        Share of the pooled features that are dropped in training, 0 to 1.
    """
    check_share({"frozen": frozen}, "frozen")
    encoder, scale, offset = build_encoder(name, size)
    image = keras.Input((size, size, 1), name="image")
    x = GreyToChannels(scale, offset, dtype="float32", name="channels")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(encoder(x))
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    own = weighted_layers(encoder)
    for layer in own[: int(frozen * len(own))]:
        layer.trainable = False
    return keras.Model(image, logits, name=name.lower())


def check_share(options: Mapping[str, Any], key: str) -> None:
    """Raise a ConfigError if an option that is a share, where given, is not between 0 and 1."""
    value = options.get(key, 0)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"network.options.{key} must be between 0 and 1", received=value)


def build_encoder(name: str, size: int | None) -> tuple[Any, list[float], list[float]]:
    """Return an encoder with random weights, and the scale and offset of its three channels.

    Keras scales images within some families and before others. Here it is always before.
    """
    function = find_application(name)
    shape = (size, size, 3)
    network = function(include_top=False, weights=None, input_shape=shape)
    return without_scaling(network), *channel_scaling(function, network)


def find_application(name: str) -> Callable[..., Any]:
    """Return the function of Keras that builds a classifier."""
    names = application_names()
    if name not in names:
        raise ConfigError(
            name_unknown(name, names, "network of Keras Applications"),
            remedy=f"choose {KERAS_PREFIX} and one of: {', '.join(names)}",
        )
    function: Callable[..., Any] = getattr(applications, name)
    return function


def without_scaling(network: Any) -> Any:
    """Return a network without the layers at its start that scale images."""
    scaling = _scaling_layers(network)
    start = scaling[-1].output if scaling else network.inputs[0]
    return keras.Model(start, network.outputs[0], name="encoder")


def weighted_layers(network: Any) -> list[Any]:
    """Return the layers that have weights, also those of networks within the network."""
    found: list[Any] = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found += weighted_layers(layer)
        elif layer.weights:
            found.append(layer)
    return found


def _scaling_layers(network: Any) -> list[Any]:
    """Return the layers at the start of a network that scale images."""
    found = []
    for layer in network.layers[1:]:
        if not isinstance(layer, layers.Rescaling | layers.Normalization):
            break
        found.append(layer)
    return found


def channel_scaling(function: Callable[..., Any], network: Any) -> tuple[list[float], list[float]]:
    """Return how a family scales grey values of 0 to 255 in each channel: factor and offset."""
    prepare = sys.modules[function.__module__].preprocess_input
    black, white = (
        np.asarray(prepare(np.full((1, 1, 1, 3), grey)), np.float64).reshape(3)
        for grey in (0.0, 255.0)
    )
    for layer in _scaling_layers(network):
        if isinstance(layer, layers.Rescaling):
            black, white = (x * layer.scale + layer.offset for x in (black, white))
        else:
            mean, deviation = _statistics(layer)
            black, white = ((x - mean) / deviation for x in (black, white))
    return ((white - black) / 255).tolist(), black.tolist()


def _statistics(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of a normalisation layer.

    Those of EfficientNet (version 1) are part of its ImageNet weights. There the variance is the
    deviation, and another layer, which Keras adds for these weights only, divides by its root.
    """
    if layer.input_mean is None:
        return np.array(_IMAGENET_MEAN), np.array(_IMAGENET_DEVIATION)
    mean, variance = (np.ravel(value) for value in (layer.input_mean, layer.input_variance))
    return mean, np.sqrt(variance)

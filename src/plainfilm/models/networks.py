"""The networks, and how they are built by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from plainfilm.config import KERAS_PREFIX, check_network
from plainfilm.errors import ConfigError
from plainfilm.models.applications import check_share, keras_application
from plainfilm.models.efficientnet_lite import efficientnet_lite
from plainfilm.models.layers import SkipGain, StandardisedConv2D, normalise


def compact(
    size: int,
    outputs: int,
    *,
    channels: Sequence[int] = (32, 64, 128),
    blocks: int = 1,
    stem: int = 1,
    dropout: float = 0.0,
    normalisation: str = "image",
    shrink: int = 1,
) -> Any:
    """Build a small residual network, which a laptop trains in seconds to minutes.

    A strided stem is followed by one stage for each entry of ``channels``, global average pooling
    and a dense layer, so that there is a class activation map (Zhou et al., CVPR 2016). A stage has
    ``blocks`` basic blocks (He et al., CVPR 2016); all but the first stage halve the side.
    Standardised filters replace batch normalisation.

    Parameters
    ----------
    channels
        Width of each stage. Multiples of 16 suit the matrix units of CPUs and GPUs.
    blocks
        Number of residual blocks in a stage.
    stem
        Number of stride-2 convolutions before the first stage, each half as wide as the next. Each
        one halves the training time or more, because most arithmetic is at the largest side.
    dropout
        Share of the pooled features that are dropped in training, 0 to 1.
    normalisation
        ``midrange`` or ``image``, see `plainfilm.models.layers.normalise`.
    shrink
        Divisor of the side, by averaging, before everything else.
    """
    image = keras.Input((size, size, 1), name="image")
    x = image if shrink == 1 else layers.AveragePooling2D(shrink, name="shrink")(image)
    x = normalise(x, normalisation)
    for step in range(1, stem + 1):
        width = channels[0] // 2 ** (stem - step)
        x = _convolve(x, width, 3, stride=2, name=f"stem{step}")
        x = layers.ReLU(name=f"stem{step}_relu")(x)
    for stage, width in enumerate(channels, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _residual(x, width, stride, name=f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="compact")


def _convolve(x: Any, width: int, kernel: int, *, stride: int = 1, name: str) -> Any:
    return StandardisedConv2D(width, kernel, strides=stride, padding="same", name=name)(x)


def _residual(x: Any, width: int, stride: int, *, name: str) -> Any:
    shortcut = x
    if stride != 1:
        # A strided 1x1 convolution alone would ignore three of four pixels (He et al., "Bag of
        # tricks", CVPR 2019).
        pool = layers.AveragePooling2D(stride, padding="same", name=f"{name}_shortcut_pool")
        shortcut = pool(x)
    if x.shape[-1] != width:
        shortcut = _convolve(shortcut, width, 1, name=f"{name}_shortcut")
    y = _convolve(x, width, 3, stride=stride, name=f"{name}_first")
    y = layers.ReLU(name=f"{name}_first_relu")(y)
    y = _convolve(y, width, 3, name=f"{name}_second")
    y = SkipGain(name=f"{name}_gain")(y)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, y]))


def tutorial(
    size: int, outputs: int, *, filters: tuple[int, ...] = (32, 64, 128, 128), dense: int = 512
) -> Any:
    """Build the four-block network of the published tutorial.

    Each block, of a width in ``filters``, has a 3x3 convolution, batch normalisation, ReLU and 2x2
    max pooling. Flatten, a dense layer with ReLU and the logits follow. Without global pooling
    there is no class activation map.
    """
    image = keras.Input((size, size, 1), name="image")
    x = normalise(image, "midrange")
    for block, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 3, name=f"block{block}_conv")(x)
        x = layers.BatchNormalization(name=f"block{block}_norm")(x)
        x = layers.ReLU(name=f"block{block}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="tutorial")


NETWORKS: Mapping[str, Callable[..., Any]] = {
    "compact": compact,
    "tutorial": tutorial,
    "efficientnet-lite0": partial(efficientnet_lite, 0),
    "efficientnet-lite1": partial(efficientnet_lite, 1),
    "efficientnet-lite2": partial(efficientnet_lite, 2),
}
"""Functions that build networks of inputs (size, size, 1); `plainfilm.config` lists the names."""


def build_network(name: str, size: int, outputs: int, options: Mapping[str, Any]) -> Any:
    """Build a network from images (n, size, size, 1), 0 to 255, to logits (n, outputs), float32.

    ``options`` are keywords of the function that builds it. A ConfigError is raised if there is no
    such network or option, or the input is too small for the network.
    """
    check_network(name)
    if name.startswith(KERAS_PREFIX):
        build: Callable[..., Any] = partial(keras_application, name.removeprefix(KERAS_PREFIX))
    else:
        build = NETWORKS[name]
    parameters = inspect.signature(build).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for key in options:
        if key not in known:
            raise ConfigError(
                f"the network {name!r} has no option {key!r}",
                remedy=f"known options: {', '.join(known)}",
            )
    check_share(options, "dropout")
    try:
        return build(size, outputs, **options)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"the network {name!r} with {dict(options)} cannot be built for images of {size} "
            "pixels",
            received=str(error).strip().splitlines()[0],
        ) from error

"""A small residual network, which a laptop trains in seconds to minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

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
) -> Any:
    """Build the residual network.

    A strided stem is followed by one stage for each entry of ``channels``, global average pooling
    and a dense layer, so that there is a class activation map (Zhou et al., CVPR 2016). A stage has
    ``blocks`` basic blocks (He et al., CVPR 2016); all but the first stage halve the side.
    Standardised filters replace batch normalisation.

    Parameters
    ----------
    size
        Side of the input in pixels.
    outputs
        Number of logits.
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
    """
    image = keras.Input((size, size, 1), name="image")
    x = normalise(image, normalisation)
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
        shortcut = layers.AveragePooling2D(stride, padding="same", name=f"{name}_shortcut_pool")(
            shortcut
        )
    if x.shape[-1] != width:
        shortcut = _convolve(shortcut, width, 1, name=f"{name}_shortcut")
    y = _convolve(x, width, 3, stride=stride, name=f"{name}_first")
    y = layers.ReLU(name=f"{name}_first_relu")(y)
    y = _convolve(y, width, 3, name=f"{name}_second")
    y = SkipGain(name=f"{name}_gain")(y)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, y]))

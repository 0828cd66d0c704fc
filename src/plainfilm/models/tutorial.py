"""The network of the published tutorial."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from plainfilm.models.layers import normalise


def tutorial(
    size: int, outputs: int, *, filters: tuple[int, ...] = (32, 64, 128, 128), dense: int = 512
) -> Any:
    """Build the four-block network of the tutorial.

    Each block has a 3x3 convolution, batch normalisation, ReLU and 2x2 max pooling. Flatten, a
    dense layer with ReLU and the logits follow. Without global pooling there is no class activation
    map.

    Parameters
    ----------
    size
        Side of the input in pixels.
    outputs
        Number of logits.
    filters
        Width of each block.
    dense
        Width of the dense layer.
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

"""EfficientNet-Lite 0, 1 and 2 for grey images, with batch normalisation in the convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from plainfilm.errors import ConfigError
from plainfilm.models.layers import FeatureScaling, MeanAndDeviation, normalise
from plainfilm.models.lite_blocks import STAGES, STEM_WIDTH, LiteBlock, lite_blocks

_INPUT_SCALE = 0.5  # ImageNet's images, in the range -1 to 1, have about this standard deviation


def efficientnet_lite(
    variant: int,
    size: int,
    outputs: int,
    *,
    stages: int = 5,
    pooled: Sequence[int] | None = None,
    frozen: int = 0,
    dropout: float = 0.0,
) -> Any:
    """Build EfficientNet-Lite (Tan and Le, ICML 2019, without squeeze-and-excite) up to a stage.

    Mean and standard deviation over the plane of some stages are the features. They are scaled
    by constants and enter a dense layer. Each image is standardised first.

    Parameters
    ----------
    stages
        Number of stages, 1 to 7. The first five have a fifth of the weights.
    pooled
        Stages whose mean and standard deviation are features; None uses the last two.
    frozen
        Number of leading blocks, the stem included, that are not trained, 0 to all.
    dropout
        Share of the features that are dropped in training, 0 to 1.
    """
    chosen = set(range(max(1, stages - 1), stages + 1) if pooled is None else pooled)
    if not 1 <= stages <= STAGES or not chosen or not chosen <= set(range(1, stages + 1)):
        raise ValueError(f"stages must be 1 to {STAGES}, and pooled some of 1 to stages")
    blocks = [block for block in lite_blocks(variant) if block.stage <= stages]
    if not 0 <= frozen <= len(blocks) + 1:
        raise ConfigError(
            f"network.options.frozen must be 0 to {len(blocks) + 1}, the stem and "
            f"{len(blocks)} blocks",
            received=frozen,
        )
    image = keras.Input((size, size, 1), name="image")
    x = normalise(image, "image")
    x = layers.Rescaling(_INPUT_SCALE, dtype="float32", name="scale_input")(x)
    x = _convolve(x, STEM_WIDTH, 3, stride=2, trainable=frozen < 1, name="stem")
    features = []
    for number, block in enumerate(blocks, start=1):
        x = _inverted_residual(x, block, trainable=number >= frozen, name=f"block{number}")
        is_last = number == len(blocks) or blocks[number].stage != block.stage
        if is_last and block.stage in chosen:
            features.append(MeanAndDeviation(dtype="float32", name=f"pool{block.stage}")(x))
    x = layers.Concatenate(name="features")(features) if len(features) > 1 else features[0]
    x = FeatureScaling(dtype="float32", name="scale_features")(x)
    if dropout:
        x = layers.Dropout(dropout, dtype="float32", name="dropout")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=f"efficientnet-lite{variant}")


def _inverted_residual(x: Any, block: LiteBlock, *, trainable: bool, name: str) -> Any:
    y = x
    if block.expansion > 1:
        width = block.inputs * block.expansion
        y = _convolve(y, width, 1, trainable=trainable, name=f"{name}_expand")
    # In bfloat16 the gradient takes several times as long on CPUs.
    depthwise = layers.DepthwiseConv2D(
        block.kernel,
        strides=block.stride,
        padding="same",
        dtype="float32",
        trainable=trainable,
        name=f"{name}_depthwise",
    )
    y = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(depthwise(y))
    project = layers.Conv2D(block.outputs, 1, trainable=trainable, name=f"{name}_project")
    y = project(y)
    return layers.Add(name=f"{name}_add")([x, y]) if block.has_skip else y


def _convolve(
    x: Any, width: int, kernel: int, *, stride: int = 1, trainable: bool, name: str
) -> Any:
    convolution = layers.Conv2D(
        width, kernel, strides=stride, padding="same", trainable=trainable, name=name
    )
    return layers.ReLU(6.0, name=f"{name}_relu")(convolution(x))


def assign_convolutions(
    network: Any, convolutions: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> None:
    """Assign kernel and bias to the convolutions of these names that a network has."""
    for layer in network.layers:
        if layer.name in convolutions:
            kernel, bias = convolutions[layer.name]
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)

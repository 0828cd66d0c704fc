"""Writes EfficientNet-Lite as an ONNX graph of features, from its table of weights, without Keras.

The features are those of `plainfilm.models.efficientnet_lite`: each image is standardised, and of
some stages the mean and standard deviation of each channel are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plainfilm.encoders.encoder import FEATURES, Encoder
from plainfilm.encoders.pooling import add_mean_and_deviation
from plainfilm.errors import ConfigError
from plainfilm.models.graph import IMAGE, GraphBuilder
from plainfilm.models.lite_blocks import STAGES, LiteBlock, lite_blocks
from plainfilm.models.pretrained import LiteWeights

__all__ = ["lite_encoder"]

_FLOOR = 1e-3  # of the variance of a standardised image
_EPSILON = 1e-6  # of the variance of a plane
_INPUT_SCALE = 0.5  # as in `plainfilm.models.efficientnet_lite`


def lite_encoder(weights: LiteWeights, variant: int, size: int, stages: Sequence[int]) -> Encoder:
    """Return EfficientNet-Lite up to the last of ``stages``, whose features are concatenated.

    Raises
    ------
    ConfigError
        If there is no stage, or one does not exist or is repeated.
    """
    known = set(range(1, STAGES + 1))
    if not stages or not set(stages) <= known or len(set(stages)) < len(stages):
        raise ConfigError(
            f"network.options.stages must be some of 1 to {STAGES}, each once",
            received=[*stages],
        )
    builder = _LiteBuilder(weights, size)
    value = builder.convolve("stem", builder.add_input(), stride=2, relu=True)
    pooled, width = [], 0
    blocks = [block for block in lite_blocks(variant) if block.stage <= max(stages)]
    for number, block in enumerate(blocks, start=1):
        value = builder.add_block(f"block{number}", value, block)
        is_last = number == len(blocks) or blocks[number].stage != block.stage
        if is_last and block.stage in stages:
            pooled.append(add_mean_and_deviation(builder, value, f"stage{block.stage}", _EPSILON))
            width += 2 * block.outputs
    builder.add("Concat", pooled, FEATURES, axis=1)
    graph = builder.build(f"efficientnet-lite{variant}", size, {FEATURES: ["n", width]})
    return Encoder(graph, width, builder.parameters)


class _LiteBuilder(GraphBuilder):
    """Adds the layers; ``side`` is that of the last convolution's output."""

    def __init__(self, weights: LiteWeights, size: int) -> None:
        super().__init__("pretrained")
        self.weights, self.side = weights, size

    def add_input(self) -> str:
        """Add the standardised image, (n, 1, size, size)."""
        self.add("Cast", [IMAGE], "image_float", to=self.onnx.TensorProto.FLOAT)
        shape = self.constant("plane_shape", [-1, 1, self.side, self.side], np.int64)
        planes = self.add("Reshape", ["image_float", shape], "image_planes")
        scaled = self.add("Mul", [planes, self.constant("unit", 1 / 127.5)], "image_scaled")
        mean = self.add("GlobalAveragePool", [scaled], "image_mean")
        centred = self.add("Sub", [scaled, mean], "image_centred")
        square = self.add("Mul", [centred, centred], "image_square")
        variance = self.add("GlobalAveragePool", [square], "image_variance")
        safe = self.add("Add", [variance, self.constant("image_floor", _FLOOR)], "image_safe")
        deviation = self.add("Sqrt", [safe], "image_deviation")
        standardised = self.add("Div", [centred, deviation], "image_standardised")
        half = self.constant("image_half", _INPUT_SCALE)
        return self.add("Mul", [standardised, half], "image_input")

    def add_block(self, name: str, value: str, block: LiteBlock) -> str:
        """Add an inverted residual."""
        inner = value
        if block.expansion > 1:
            inner = self.convolve(f"{name}_expand", inner, relu=True)
        inner = self.convolve(f"{name}_depthwise", inner, stride=block.stride, relu=True)
        inner = self.convolve(f"{name}_project", inner)
        return self.add("Add", [value, inner], f"{name}_add") if block.has_skip else inner

    def convolve(self, name: str, value: str, *, stride: int = 1, relu: bool = False) -> str:
        """Add a convolution with the padding of TensorFlow, which is larger at the end."""
        kernel, bias = self.weights.convolutions[name]
        window, depthwise = kernel.shape[0], name.endswith("_depthwise")
        order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        after = -(-self.side // stride)
        padding = max((after - 1) * stride + window - self.side, 0)
        first, self.side = padding // 2, after
        value = self.add(
            "Conv",
            [
                value,
                self.constant(f"{name}_kernel", kernel.transpose(order)),
                self.constant(f"{name}_bias", bias),
            ],
            name,
            pads=[first, first, padding - first, padding - first],
            strides=[stride, stride],
            group=len(bias) if depthwise else 1,
        )
        if not relu:
            return value
        if not any(one.name == "relu_most" for one in self.constants):
            self.constant("relu_least", 0.0)
            self.constant("relu_most", 6.0)
        return self.add("Clip", [value, "relu_least", "relu_most"], f"{name}_relu")

"""Adds convolutions, pooling and padding to an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.models.export.activations import add_activation
from plainfilm.models.export.writer import LayerWriter, Writer, to_numpy
from plainfilm.models.layers import StandardisedConv2D


def add_convolution(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    """Add a convolution, also one of groups of channels."""
    standardised = isinstance(layer, StandardisedConv2D)
    kernel = to_numpy(layer.standardised_kernel() if standardised else layer.kernel)
    convolved = _convolve(w, layer, name, x[0], kernel.transpose(3, 2, 0, 1), layer.groups)
    return add_activation(w, layer, name, convolved)


def add_depthwise_convolution(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    """Add a convolution of each channel alone."""
    kernel, groups = _by_channel(layer.kernel)
    return add_activation(w, layer, name, _convolve(w, layer, name, x[0], kernel, groups))


def add_separable_convolution(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    """Add a convolution of each channel alone, followed by one of single pixels."""
    kernel, groups = _by_channel(layer.depthwise_kernel)
    alone = _convolve(w, layer, f"{name}_depthwise", x[0], kernel, groups, has_bias=False)
    mixing = to_numpy(layer.pointwise_kernel).transpose(3, 2, 0, 1)
    inputs = [alone, w.constant(f"{name}_kernel", mixing)]
    if layer.use_bias:
        inputs.append(w.constant(f"{name}_bias", to_numpy(layer.bias)))
    return add_activation(w, layer, name, w.add("Conv", inputs, name))


def _by_channel(variable: Any) -> tuple[NDArray[np.float32], int]:
    """Return a depthwise kernel as ONNX has it, and the number of channels."""
    kernel = to_numpy(variable)  # height, width, channels, filters of each channel
    height, width, channels, filters = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * filters, 1, height, width), channels


def _convolve(
    w: Writer,
    layer: Any,
    name: str,
    x: str,
    kernel: NDArray[np.float32],
    groups: int,
    *,
    has_bias: bool | None = None,
) -> str:
    inputs = [x, w.constant(f"{name}_kernel", kernel)]
    if layer.use_bias if has_bias is None else has_bias:
        inputs.append(w.constant(f"{name}_bias", to_numpy(layer.bias)))
    # Attributes with the default of ONNX are omitted.
    further: dict[str, Any] = {} if groups == 1 else {"group": groups}
    if tuple(layer.dilation_rate) != (1, 1):
        further["dilations"] = list(layer.dilation_rate)
    window = {"strides": list(layer.strides), "pads": _pads(layer)}
    return w.add("Conv", inputs, name, **window, **further)


def _pads(layer: Any) -> list[int]:
    """Return what ``same`` padding adds: top, left, bottom, right."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    window = getattr(layer, "kernel_size", None) or layer.pool_size
    spread = getattr(layer, "dilation_rate", (1, 1))
    sides = zip(layer.input.shape[1:3], layer.strides, window, spread, strict=True)
    missing = [
        max((-(-side // stride) - 1) * stride + (width - 1) * gap + 1 - side, 0)
        for side, stride, width, gap in sides
    ]
    return [*(one // 2 for one in missing), *(one - one // 2 for one in missing)]


def pooling(operator: str) -> LayerWriter:
    """Return the function that adds a pooling layer with an operator of ONNX."""

    def write(w: Writer, layer: Any, name: str, x: list[str]) -> str:
        window = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
        return w.add(operator, x, name, pads=_pads(layer), **window)

    return write


def global_pooling(operator: str) -> LayerWriter:
    """Return the function that adds a global pooling layer with an operator of ONNX."""

    def write(w: Writer, layer: Any, name: str, x: list[str]) -> str:
        if layer.keepdims:
            return w.add(operator, x, name)
        return w.add("Flatten", [w.add(operator, x, f"{name}_plane")], name)

    return write


def add_zero_padding(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    """Add rows and columns of zeros around images."""
    (top, bottom), (left, right) = layer.padding
    widths = w.constant(f"{name}_widths", [0, 0, top, left, 0, 0, bottom, right], np.int64)
    return w.add("Pad", [*x, widths], name)


def add_cropping(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    """Add the removal of rows and columns from the borders of images."""
    (top, bottom), (left, right) = layer.cropping
    height, width = layer.input.shape[1:3]
    bounds = {"from": [top, left], "to": [height - bottom, width - right], "axes": [2, 3]}
    inputs = [w.constant(f"{name}_{key}", value, np.int64) for key, value in bounds.items()]
    return w.add("Slice", [*x, *inputs], name)

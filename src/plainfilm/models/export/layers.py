"""The layers that can be exported, and how all but convolutions are added to an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import layers

from plainfilm.models.export.activations import add_activation, add_relu
from plainfilm.models.export.convolutions import (
    add_convolution,
    add_cropping,
    add_depthwise_convolution,
    add_separable_convolution,
    add_zero_padding,
    global_pooling,
    pooling,
)
from plainfilm.models.export.writer import LayerWriter, Writer, to_numpy, unsupported
from plainfilm.models.layers import (
    FeatureScaling,
    GreyToChannels,
    MeanAndDeviation,
    SkipGain,
    StandardisedConv2D,
)

_CHANNEL_AXIS = 1  # in the graph, of images and of vectors


def find_writer(layer: Any) -> LayerWriter:
    """Return the function that adds a layer; raise a ConfigError if there is none."""
    kind = type(layer)
    write = _WRITERS.get(kind)
    if write is None and kind.__module__.startswith("keras."):
        write = _INTERNAL.get(kind.__name__)
    if write is None:
        known = ", ".join(sorted(kind.__name__ for kind in _WRITERS))
        raise unsupported(layer.name, kind.__name__, f"use only: {known}")
    return write


def _rescaling(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    scaled = w.add("Mul", [*x, w.constant(f"{name}_scale", layer.scale)], f"{name}_scaled")
    return w.add("Add", [scaled, w.constant(f"{name}_offset", layer.offset)], name)


def _grey_to_channels(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    scale, offset = (
        w.constant(f"{name}_{key}", np.reshape(getattr(layer, key), (-1, 1, 1)))
        for key in ("scale", "offset")
    )
    return w.add("Add", [w.add("Mul", [*x, scale], f"{name}_scaled"), offset], name)


def _group_normalization(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    if layer.groups != 1 or layer.center or layer.scale:
        remedy = "use one group, without center and scale"
        raise unsupported(layer.name, f"a normalisation of {layer.groups} groups", remedy)
    return _divide_by_deviation(w, layer, name, x, [1, 2, 3], name)


def _layer_normalization(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    if tuple(layer.axis) != (len(layer.input.shape) - 1,) and tuple(layer.axis) != (-1,):
        raise unsupported(layer.name, f"axis={layer.axis}", "normalise over the channels")
    if getattr(layer, "rms_scaling", False):
        raise unsupported(layer.name, "rms_scaling=True", "use a normalisation without it")
    y = _divide_by_deviation(w, layer, name, x, [_CHANNEL_AXIS], f"{name}_unit")
    for operator, key in (("Mul", "gamma"), ("Add", "beta")):
        if (variable := getattr(layer, key)) is not None:
            constant = w.constant(f"{name}_{key}", _per_channel(to_numpy(variable), layer))
            y = w.add(operator, [y, constant], f"{name}_{operator.lower()}")
    return y


def _divide_by_deviation(
    w: Writer, layer: Any, name: str, x: list[str], axes: list[int], output: str
) -> str:
    centred, variance = w.add_variance(x, name, axes)
    safe = w.add("Add", [variance, w.constant(f"{name}_epsilon", layer.epsilon)], f"{name}_safe")
    return w.add("Div", [centred, w.add("Sqrt", [safe], f"{name}_deviation")], output)


def _per_channel(values: Any, layer: Any) -> Any:
    """Return values (channels,) in the shape that fits the layer's input in the graph."""
    return values[:, None, None] if len(layer.input.shape) == 4 else values


def _batch_normalization(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    if layer.axis not in (-1, len(layer.input.shape) - 1):
        raise unsupported(layer.name, f"axis={layer.axis}", "normalise each channel")
    mean = to_numpy(layer.moving_mean)
    values = {
        "gamma": np.ones_like(mean) if layer.gamma is None else to_numpy(layer.gamma),
        "beta": np.zeros_like(mean) if layer.beta is None else to_numpy(layer.beta),
        "mean": mean,
        "variance": to_numpy(layer.moving_variance),
    }
    names = [w.constant(f"{name}_{part}", value) for part, value in values.items()]
    return w.add("BatchNormalization", [*x, *names], name, epsilon=float(layer.epsilon))


def _flatten(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    # Keras flattens channels last, and the weights of the next dense layer have that order.
    return w.add("Flatten", [_channels_last(w, layer.input, name, x[0])], name)


def _reshape(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    shape = w.constant(f"{name}_shape", [0, *layer.output.shape[1:]], np.int64)  # 0: unchanged
    last = [_channels_last(w, layer.input, name, x[0]), shape]
    if len(layer.output.shape) == 2:
        return w.add("Reshape", last, name)
    reshaped = w.add("Reshape", last, f"{name}_reshaped")
    return w.add("Transpose", [reshaped], name, perm=[0, 3, 1, 2])


def _channels_last(w: Writer, tensor: Any, name: str, x: str) -> str:
    """Add the change from channels first to channels last, if a tensor has them."""
    if len(tensor.shape) == 2:
        return x
    return w.add("Transpose", [x], f"{name}_channels_last", perm=[0, 2, 3, 1])


def _concatenate(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    rank = len(layer.output.shape)
    axis = layer.axis % rank
    return w.add("Concat", x, name, axis=[0, 2, 3, 1][axis] if rank == 4 else axis)


def _dense(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    kernel = to_numpy(layer.kernel)
    bias = to_numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[1], np.float32)
    is_image = len(layer.input.shape) == 4  # a convolution of single pixels
    if is_image:
        kernel = kernel.T[:, :, None, None]
    constants = [w.constant(f"{name}_kernel", kernel), w.constant(f"{name}_bias", bias)]
    product = w.add("Conv" if is_image else "Gemm", [*x, *constants], name)
    return add_activation(w, layer, name, product)


def _skip_gain(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    return w.add("Mul", [*x, w.constant(f"{name}_factor", to_numpy(layer.factor))], name)


def _mean_and_deviation(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    _, variance = w.add_variance(x, name, [2, 3])
    safe = w.add("Add", [variance, w.constant(f"{name}_epsilon", layer.EPSILON)], f"{name}_safe")
    deviation = w.add("Sqrt", [safe], f"{name}_deviation")
    planes = w.add("Concat", [f"{name}_mean", deviation], f"{name}_planes", axis=_CHANNEL_AXIS)
    return w.add("Flatten", [planes], name)


def _feature_scaling(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    mean = w.constant(f"{name}_mean", to_numpy(layer.mean))
    centred = w.add("Sub", [*x, mean], f"{name}_centred")
    deviation = w.constant(f"{name}_deviation", to_numpy(layer.deviation))
    return w.add("Div", [centred, deviation], name)


def _layer_scale(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    factor = w.constant(f"{name}_factor", _per_channel(to_numpy(layer.gamma), layer))
    return w.add("Mul", [*x, factor], name)


def _scaled_sum(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    scaled = w.add("Mul", [x[1], w.constant(f"{name}_scale", layer.scale)], f"{name}_scaled")
    return w.add("Add", [x[0], scaled], name)


def _operator(operator: str) -> LayerWriter:
    return lambda w, layer, name, x: w.add(operator, x, name)


def _product(w: Writer, layer: Any, name: str, x: list[str]) -> str:
    product = x[0]
    for number, factor in enumerate(x[1:], start=1):
        product = w.add(
            "Mul", [product, factor], name if number == len(x) - 1 else f"{name}_{number}"
        )
    return product


_WRITERS: Mapping[type, LayerWriter] = {
    layers.Rescaling: _rescaling,
    layers.GroupNormalization: _group_normalization,
    layers.LayerNormalization: _layer_normalization,
    layers.BatchNormalization: _batch_normalization,
    layers.Conv2D: add_convolution,
    StandardisedConv2D: add_convolution,
    layers.DepthwiseConv2D: add_depthwise_convolution,
    layers.SeparableConv2D: add_separable_convolution,
    layers.ZeroPadding2D: add_zero_padding,
    layers.Cropping2D: add_cropping,
    layers.MaxPooling2D: pooling("MaxPool"),
    layers.AveragePooling2D: pooling("AveragePool"),
    layers.GlobalAveragePooling2D: global_pooling("GlobalAveragePool"),
    layers.GlobalMaxPooling2D: global_pooling("GlobalMaxPool"),
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.Concatenate: _concatenate,
    layers.Dense: _dense,
    layers.ReLU: add_relu,
    layers.Activation: lambda w, layer, name, x: add_activation(w, layer, name, x[0]),
    layers.Add: _operator("Sum"),
    layers.Multiply: _product,
    layers.Dropout: lambda w, layer, name, x: x[0],  # in inference
    GreyToChannels: _grey_to_channels,
    SkipGain: _skip_gain,
    MeanAndDeviation: _mean_and_deviation,
    FeatureScaling: _feature_scaling,
}

_INTERNAL: Mapping[str, LayerWriter] = {
    "Add": _operator("Add"),  # operations of the form x + y, with another value or a number
    "Multiply": _operator("Mul"),
    "CustomScaleLayer": _scaled_sum,  # of InceptionResNetV2
    "LayerScale": _layer_scale,  # of ConvNeXt
}
"""Operations and layers within Keras that are not in its public interface."""

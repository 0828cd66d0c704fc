"""Exports a Keras network as an ONNX graph, layer by layer.

The networks consist of a dozen kinds of layers. Writing them out gives the same bytes on every
backend, a readable graph, and the class activation map and the novelty as further outputs. A
general converter would trace the graph of one backend and bring its own dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from plainfilm.errors import ConfigError
from plainfilm.models.graph import IMAGE, GraphBuilder
from plainfilm.models.layers import SkipGain, StandardisedConv2D
from plainfilm.models.novelty import FLOOR, SIDE, Distance, Novelty
from plainfilm.records import Task

_MAX_FEATURES = 1024  # a covariance of more would be larger than the network


def has_activation_map(network: Any) -> bool:
    """Return whether the network ends in global average pooling (dropout) and a dense layer."""
    return _final_pooling(network) is not None


def feature_network(network: Any) -> Any | None:
    """Return the network up to the input of its last dense layer; None if that is too wide."""
    *_, last = network.layers
    if not isinstance(last, layers.Dense) or int(last.input.shape[-1]) > _MAX_FEATURES:
        return None
    return keras.Model(network.inputs, last.input)


def to_onnx(
    network: Any, task: Task, head: str, temperature: float, novelty: Novelty | None = None
) -> bytes:
    """Return the graph of a network as the bytes of an ONNX file.

    The input is ``image`` uint8 (n, size, size). The outputs are ``probabilities`` (n, labels),
    ``logits`` (n, outputs), ``activation`` (n, labels, height, width) if the network ends in global
    pooling, and ``novelty`` (n,) if it is given. A ConfigError is raised for an unknown layer.
    """
    writer = _Writer()
    writer.add_network(network)
    writer.add_probabilities(head, len(task.labels), temperature)
    outputs: dict[str, list[str | int]] = {
        "probabilities": ["n", len(task.labels)],
        "logits": ["n", int(network.outputs[0].shape[-1])],
    }
    if (pooling := _final_pooling(network)) is not None:
        writer.add_activation_map(pooling, network.layers[-1], head, len(task.labels))
        outputs["activation"] = ["n", len(task.labels), "height", "width"]
    size = int(network.inputs[0].shape[1])
    if novelty is not None:
        writer.add_novelty(novelty, network.layers[-1], size)
        outputs["novelty"] = ["n"]
    return writer.build(f"plainfilm-{network.name}", size, outputs)


def _final_pooling(network: Any) -> Any | None:
    """Return the global pooling below the last dense layer, if the network ends that way."""
    *_, last = network.layers
    if not isinstance(last, layers.Dense):
        return None
    below = last.input._keras_history.operation
    if isinstance(below, layers.Dropout):
        below = below.input._keras_history.operation
    return below if isinstance(below, layers.GlobalAveragePooling2D) else None


class _Writer(GraphBuilder):
    """Adds the layers of a network in order. Tensors in the graph are channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, str] = {}  # id of a Keras tensor to its name in the graph

    def add_network(self, network: Any) -> None:
        """Add everything from the image to the logits."""
        self.add("Cast", [IMAGE], "image_float", to=self.onnx.TensorProto.FLOAT)
        axis = self.constant("axis_one", [1], np.int64)
        self.add("Unsqueeze", ["image_float", axis], "image_planes")
        for layer in network.layers:
            if isinstance(layer, layers.InputLayer):
                self.names[id(layer.output)] = "image_planes"
            else:
                self.names[id(layer.output)] = self.add_layer(layer)
        logits = self.names[id(network.outputs[0])]
        if logits != "logits":
            self.add("Identity", [logits], "logits")

    def add_layer(self, layer: Any) -> str:
        write = _WRITERS.get(type(layer))
        if write is None:
            raise ConfigError(
                f"the layer {layer.name} cannot be exported",
                received=type(layer).__name__,
                remedy=f"use only: {', '.join(sorted(kind.__name__ for kind in _WRITERS))}",
            )
        # A layer that is used once has one node.
        inputs = layer._inbound_nodes[0].input_tensors
        return write(self, layer, [self.names[id(tensor)] for tensor in inputs])

    def add_activation_map(self, pooling: Any, dense: Any, head: str, labels: int) -> None:
        kernel = _numpy(dense.kernel)
        if head == "softmax" and labels == 1:
            kernel = kernel[:, 1:] - kernel[:, :1]
        weight = self.constant("activation_kernel", kernel.T[:, :, None, None])
        self.add("Conv", [self.names[id(pooling.input)], weight], "activation")

    def add_novelty(self, novelty: Novelty, dense: Any, size: int) -> None:
        step = size // min(SIDE, size)
        window = {"kernel_shape": [step, step], "strides": [step, step]}
        coarse = self.add("AveragePool", ["image_planes"], "copy_coarse", **window)
        flat = self.add("Flatten", [coarse], "copy_flat")
        centred, variance = self.add_variance([flat], "copy", [1])
        contrast = self.add("Sqrt", [variance], "copy_contrast")
        floored = self.add("Add", [contrast, self.constant("copy_floor", FLOOR)], "copy_floored")
        copy = self.add("Div", [centred, floored], "copy")
        distances = [self.add_distance(novelty.copies, copy, "copy")]
        if novelty.features is not None:
            below = self.names[id(dense.input)]
            distances.append(self.add_distance(novelty.features, below, "feature"))
        self.add("Max", distances, "novelty")

    def add_variance(self, x: Sequence[str], name: str, axes: list[int]) -> tuple[str, str]:
        """Add the centred values and their variance over ``axes``."""
        mean = self.add("ReduceMean", x, f"{name}_mean", axes=axes, keepdims=1)
        centred = self.add("Sub", [*x, mean], f"{name}_centred")
        square = self.add("Mul", [centred, centred], f"{name}_square")
        return centred, self.add("ReduceMean", [square], f"{name}_variance", axes=axes, keepdims=1)

    def add_distance(self, distance: Distance, values: str, name: str) -> str:
        """Add the distance to the nearest of several means."""
        whitening = self.constant(f"{name}_whitening", distance.whitening / distance.scale)
        lengths = []
        for number, mean in enumerate(distance.means):
            own = f"{name}_{number}"
            moved = self.add("Sub", [values, self.constant(f"{own}_mean", mean)], f"{own}_moved")
            white = self.add("MatMul", [moved, whitening], f"{own}_white")
            lengths.append(self.add("ReduceL2", [white], f"{own}_distance", axes=[1], keepdims=0))
        return self.add("Min", lengths, f"{name}_distance")


def _numpy(variable: Any) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


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


def _rescaling(w: _Writer, layer: Any, x: list[str]) -> str:
    name = layer.name
    scaled = w.add("Mul", [*x, w.constant(f"{name}_scale", layer.scale)], f"{name}_scaled")
    return w.add("Add", [scaled, w.constant(f"{name}_offset", layer.offset)], name)


def _group_normalization(w: _Writer, layer: Any, x: list[str]) -> str:
    if layer.groups != 1 or layer.center or layer.scale:
        raise ConfigError("only a group normalisation of one group and no weights can be exported")
    name = layer.name
    centred, variance = w.add_variance(x, name, [1, 2, 3])
    safe = w.add("Add", [variance, w.constant(f"{name}_epsilon", layer.epsilon)], f"{name}_safe")
    return w.add("Div", [centred, w.add("Sqrt", [safe], f"{name}_deviation")], name)


def _convolution(w: _Writer, layer: Any, x: list[str]) -> str:
    standardised = isinstance(layer, StandardisedConv2D)
    kernel = _numpy(layer.standardised_kernel() if standardised else layer.kernel)
    return _convolve(w, layer, x, kernel.transpose(3, 2, 0, 1), layer.groups)


def _depthwise_convolution(w: _Writer, layer: Any, x: list[str]) -> str:
    kernel = _numpy(layer.kernel)  # height, width, channels, filters of each channel
    height, width, channels, filters = kernel.shape
    each = kernel.transpose(2, 3, 0, 1).reshape(channels * filters, 1, height, width)
    return _convolve(w, layer, x, each, channels)


def _convolve(
    w: _Writer, layer: Any, x: list[str], kernel: NDArray[np.float32], groups: int
) -> str:
    inputs = [*x, w.constant(f"{layer.name}_kernel", kernel)]
    if layer.use_bias:
        inputs.append(w.constant(f"{layer.name}_bias", _numpy(layer.bias)))
    # Attributes with the default of ONNX are omitted.
    further: dict[str, Any] = {} if groups == 1 else {"group": groups}
    if tuple(layer.dilation_rate) != (1, 1):
        further["dilations"] = list(layer.dilation_rate)
    window = {"strides": list(layer.strides), "pads": _pads(layer)}
    return _activation(w, layer, w.add("Conv", inputs, layer.name, **window, **further))


def _relu(w: _Writer, layer: Any, x: list[str]) -> str:
    if layer.negative_slope or layer.threshold:
        raise ConfigError(
            f"the layer {layer.name} cannot be exported",
            received=f"negative_slope={layer.negative_slope}, threshold={layer.threshold}",
            remedy="use a ReLU without them",
        )
    if layer.max_value is None:
        return w.add("Relu", x, layer.name)
    limits = [
        w.constant(f"{layer.name}_{key}", v) for key, v in (("low", 0), ("high", layer.max_value))
    ]
    return w.add("Clip", [*x, *limits], layer.name)


def _batch_normalization(w: _Writer, layer: Any, x: list[str]) -> str:
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    names = [
        w.constant(f"{layer.name}_{part.removeprefix('moving_')}", _numpy(getattr(layer, part)))
        for part in parts
    ]
    return w.add("BatchNormalization", [*x, *names], layer.name, epsilon=float(layer.epsilon))


def _pooling(operator: str) -> Callable[[_Writer, Any, list[str]], str]:
    def write(w: _Writer, layer: Any, x: list[str]) -> str:
        window = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
        return w.add(operator, x, layer.name, pads=_pads(layer), **window)

    return write


def _global_average_pooling(w: _Writer, layer: Any, x: list[str]) -> str:
    return w.add("Flatten", [w.add("GlobalAveragePool", x, f"{layer.name}_plane")], layer.name)


def _flatten(w: _Writer, layer: Any, x: list[str]) -> str:
    # Keras flattens channels last, and the weights of the next dense layer have that order.
    last = w.add("Transpose", x, f"{layer.name}_channels_last", perm=[0, 2, 3, 1])
    return w.add("Flatten", [last], layer.name)


def _dense(w: _Writer, layer: Any, x: list[str]) -> str:
    kernel = w.constant(f"{layer.name}_kernel", _numpy(layer.kernel))
    bias = w.constant(f"{layer.name}_bias", _numpy(layer.bias))
    return _activation(w, layer, w.add("Gemm", [*x, kernel, bias], layer.name))


def _activation(w: _Writer, layer: Any, x: str) -> str:
    if layer.activation is keras.activations.linear:
        return x
    if layer.activation is keras.activations.relu:
        return w.add("Relu", [x], f"{layer.name}_activated")
    raise ConfigError(
        f"the activation of the layer {layer.name} cannot be exported",
        received=layer.activation.__name__,
        remedy="use linear or relu",
    )


def _skip_gain(w: _Writer, layer: Any, x: list[str]) -> str:
    return w.add("Mul", [*x, w.constant(f"{layer.name}_factor", _numpy(layer.factor))], layer.name)


_WRITERS: dict[type, Callable[[_Writer, Any, list[str]], str]] = {
    layers.Rescaling: _rescaling,
    layers.GroupNormalization: _group_normalization,
    layers.Conv2D: _convolution,
    StandardisedConv2D: _convolution,
    layers.BatchNormalization: _batch_normalization,
    layers.DepthwiseConv2D: _depthwise_convolution,
    layers.ReLU: _relu,
    layers.MaxPooling2D: _pooling("MaxPool"),
    layers.AveragePooling2D: _pooling("AveragePool"),
    layers.GlobalAveragePooling2D: _global_average_pooling,
    layers.Flatten: _flatten,
    layers.Dense: _dense,
    layers.Add: lambda w, layer, x: w.add("Sum", x, layer.name),
    layers.Dropout: lambda w, layer, x: w.add("Identity", x, layer.name),
    SkipGain: _skip_gain,
}

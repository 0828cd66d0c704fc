"""Write a network as an ONNX graph, layer by layer, whatever backend trained it.

A general converter would trace one backend's graph and bring its own dependencies and opinions;
our networks are made of a dozen layers, and writing those out directly gives the same bytes on
every backend, a graph that a person can read, and the class activation map as a second output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from plainfilm._optional import require
from plainfilm.errors import ConfigError
from plainfilm.models.standardised import SkipGain, StandardisedConv2D
from plainfilm.records import Task

__all__ = ["Distance", "feature_network", "has_activation_map", "to_onnx"]

_OPSET = 17
_IR = 8
_WIDEST = 1024  # features below the last layer; more would outgrow the network in the bundle


class Distance(Protocol):
    """A scaled distance to the nearest of several means."""

    @property
    def means(self) -> NDArray[np.float64]:
        """Return the means, (c, d)."""

    @property
    def whitening(self) -> NDArray[np.float64]:
        """Return the matrix (d, d) after which distances are plain ones."""

    @property
    def scale(self) -> float:
        """Return what the distance is divided by."""


class Distances(Protocol):
    """Those that make up the novelty of an image."""

    @property
    def features(self) -> Distance | None:
        """Return that of what lies below the last layer, if it is used."""

    @property
    def copies(self) -> Distance:
        """Return that of the coarse copy of the image."""


def has_activation_map(network: Any) -> bool:
    """Return whether the network ends in global average pooling (dropout) and a dense layer."""
    return _pooled_by(network) is not None


def feature_network(network: Any) -> Any | None:
    """Return the network up to what its last dense layer takes; None if that is too wide."""
    *_, last = network.layers
    if not isinstance(last, layers.Dense) or int(last.input.shape[-1]) > _WIDEST:
        return None
    return keras.Model(network.inputs, last.input)


def to_onnx(
    network: Any,
    task: Task,
    head: str,
    temperature: float,
    novelty: tuple[Distances, int, float] | None = None,
) -> bytes:
    """Return the graph of a network as the bytes of an ONNX file.

    Parameters
    ----------
    network
        Keras model from images (n, size, size, 1), 0 to 255, to logits (n, outputs), float32.
    task
        Names the labels.
    head
        ``sigmoid`` or ``softmax``.
    temperature
        Divides the logits before they become probabilities.
    novelty
        The distances that tell how far an image is from those learnt from, the side of the coarse
        copy, and what is added to its contrast; None leaves the output out.

    Returns
    -------
    bytes
        A graph with input ``image`` uint8 (n, size, size) and outputs ``probabilities``
        (n, labels), ``logits`` (n, outputs) and, where there are such, ``activation``
        (n, labels, height, width) and ``novelty`` (n,).

    Raises
    ------
    ConfigError
        If the network has a layer that this writer does not know.
    """
    return _Writer(network).write(task, head, temperature, novelty)


def _pooled_by(network: Any) -> Any | None:
    """Return the global pooling under the last dense layer, if that is how the network ends."""
    *_, last = network.layers
    if not isinstance(last, layers.Dense):
        return None
    below = last.input._keras_history.operation
    if isinstance(below, layers.Dropout):
        below = below.input._keras_history.operation
    return below if isinstance(below, layers.GlobalAveragePooling2D) else None


class _Writer:
    """Walks the layers in order; tensors are channels first inside the graph."""

    def __init__(self, network: Any) -> None:
        self.onnx = require("onnx", "train")
        self.network = network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.names: dict[int, str] = {}  # Keras tensor to ONNX name

    def write(
        self,
        task: Task,
        head: str,
        temperature: float,
        novelty: tuple[Distances, int, float] | None,
    ) -> bytes:
        onnx, helper = self.onnx, self.onnx.helper
        size = int(self.network.inputs[0].shape[1])
        outputs = int(self.network.outputs[0].shape[-1])
        self.emit("Cast", ["image"], "image_float", to=onnx.TensorProto.FLOAT)
        self.emit("Unsqueeze", ["image_float", self.integers("axis_one", [1])], "image_planes")
        for layer in self.network.layers:
            if isinstance(layer, layers.InputLayer):
                self.names[id(layer.output)] = "image_planes"
            else:
                self.names[id(layer.output)] = self.layer(layer)
        logits = self.names[id(self.network.outputs[0])]
        if logits != "logits":
            self.emit("Identity", [logits], "logits")
        self.head(head, len(task.labels), temperature)
        made = {"probabilities": ["n", len(task.labels)], "logits": ["n", outputs]}
        if (pool := _pooled_by(self.network)) is not None:
            self.activation_map(self.names[id(pool.input)], head, len(task.labels))
            made["activation"] = ["n", len(task.labels), "height", "width"]
        if novelty is not None:
            self.novelty(*novelty, size)
            made["novelty"] = ["n"]
        graph = helper.make_graph(
            self.nodes,
            f"plainfilm-{self.network.name}",
            [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", size, size])],
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                for name, shape in made.items()
            ],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="plainfilm",
        )
        onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def head(self, head: str, labels: int, temperature: float) -> None:
        self.emit("Div", ["logits", self.constant("temperature", np.float32(temperature))], "cool")
        if head == "sigmoid":
            self.emit("Sigmoid", ["cool"], "probabilities")
        elif labels == 1:
            self.emit("Softmax", ["cool"], "both", axis=1)
            one, two = self.integers("one", [1]), self.integers("two", [2])
            self.emit("Slice", ["both", one, two, one], "probabilities")
        else:
            self.emit("Softmax", ["cool"], "probabilities", axis=1)

    def activation_map(self, features: str, head: str, labels: int) -> None:
        kernel = _numpy(self.network.layers[-1].kernel)
        if head == "softmax" and labels == 1:
            kernel = kernel[:, 1:] - kernel[:, :1]
        weight = self.constant("activation_kernel", kernel.T[:, :, None, None])
        self.emit("Conv", [features, weight], "activation")

    def novelty(self, distances: Distances, side: int, floor: float, size: int) -> None:
        step = size // min(side, size)
        window = {"kernel_shape": [step, step], "strides": [step, step]}
        coarse = self.emit("AveragePool", ["image_planes"], "copy_coarse", **window)
        flat = self.emit("Flatten", [coarse], "copy_flat")
        mean = self.emit("ReduceMean", [flat], "copy_mean", axes=[1], keepdims=1)
        centred = self.emit("Sub", [flat, mean], "copy_centred")
        square = self.emit("Mul", [centred, centred], "copy_square")
        variance = self.emit("ReduceMean", [square], "copy_variance", axes=[1], keepdims=1)
        contrast = self.emit("Sqrt", [variance], "copy_contrast")
        floored = self.emit("Add", [contrast, self.constant("copy_floor", floor)], "copy_floored")
        copy = self.emit("Div", [centred, floored], "copy")
        far = self.distance(distances.copies, copy, "copy")
        if distances.features is not None:
            below = self.names[id(self.network.layers[-1].input)]
            far = [*far, *self.distance(distances.features, below, "feature")]
        self.emit("Max", far, "novelty")

    def distance(self, distance: Distance, values: str, name: str) -> list[str]:
        """Write a distance to the nearest of several means; return the name of its output."""
        whitening = self.constant(f"{name}_whitening", distance.whitening / distance.scale)
        lengths = []
        for number, mean in enumerate(distance.means):
            own = f"{name}_{number}"
            moved = self.emit("Sub", [values, self.constant(f"{own}_mean", mean)], f"{own}_moved")
            white = self.emit("MatMul", [moved, whitening], f"{own}_white")
            lengths.append(self.emit("ReduceL2", [white], f"{own}_distance", axes=[1], keepdims=0))
        return [self.emit("Min", lengths, f"{name}_distance")]

    def layer(self, layer: Any) -> str:
        write = _WRITERS.get(type(layer))
        if write is not None:
            # A functional layer that is used once has one node.
            sources = layer._inbound_nodes[0].input_tensors
            return write(self, layer, [self.names[id(tensor)] for tensor in sources])
        raise ConfigError(
            f"a network with the layer {layer.name} cannot be sealed",
            received=type(layer).__name__,
            remedy=f"use only: {', '.join(sorted(kind.__name__ for kind in _WRITERS))}",
        )

    def emit(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(
            self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        )
        return output

    def constant(self, name: str, value: Any) -> str:
        array = np.ascontiguousarray(value, dtype=np.float32)
        self.constants.append(
            self.onnx.numpy_helper.from_array(array.reshape(np.shape(value)), name)
        )
        return name

    def integers(self, name: str, value: list[int]) -> str:
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(value, np.int64), name))
        return name


def _numpy(variable: Any) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def _pads(layer: Any) -> list[int]:
    """Return what ``same`` padding adds: top, left, bottom, right."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    before, after = [], []
    window = getattr(layer, "kernel_size", None) or layer.pool_size
    for axis in (0, 1):
        side, stride = layer.input.shape[1 + axis], layer.strides[axis]
        missing = max((-(-side // stride) - 1) * stride + window[axis] - side, 0)
        before.append(missing // 2)
        after.append(missing - missing // 2)
    return [*before, *after]


def _rescaling(w: _Writer, layer: Any, x: list[str]) -> str:
    scaled = w.emit(
        "Mul", [*x, w.constant(f"{layer.name}_scale", layer.scale)], f"{layer.name}_scaled"
    )
    return w.emit("Add", [scaled, w.constant(f"{layer.name}_offset", layer.offset)], layer.name)


def _group_normalization(w: _Writer, layer: Any, x: list[str]) -> str:
    if layer.groups != 1 or layer.center or layer.scale:
        raise ConfigError("only a group normalisation of one group and no weights can be sealed")
    name = layer.name
    mean = w.emit("ReduceMean", x, f"{name}_mean", axes=[1, 2, 3], keepdims=1)
    centred = w.emit("Sub", [*x, mean], f"{name}_centred")
    square = w.emit("Mul", [centred, centred], f"{name}_square")
    variance = w.emit("ReduceMean", [square], f"{name}_variance", axes=[1, 2, 3], keepdims=1)
    safe = w.emit("Add", [variance, w.constant(f"{name}_epsilon", layer.epsilon)], f"{name}_safe")
    return w.emit("Div", [centred, w.emit("Sqrt", [safe], f"{name}_deviation")], name)


def _convolution(w: _Writer, layer: Any, x: list[str]) -> str:
    standardised = isinstance(layer, StandardisedConv2D)
    kernel = _numpy(layer.standardised_kernel() if standardised else layer.kernel)
    inputs = [*x, w.constant(f"{layer.name}_kernel", kernel.transpose(3, 2, 0, 1))]
    if layer.use_bias:
        inputs.append(w.constant(f"{layer.name}_bias", _numpy(layer.bias)))
    convolved = w.emit("Conv", inputs, layer.name, strides=list(layer.strides), pads=_pads(layer))
    return _activated(w, layer, convolved)


def _batch_normalization(w: _Writer, layer: Any, x: list[str]) -> str:
    parts = {
        "gamma": _numpy(layer.gamma),
        "beta": _numpy(layer.beta),
        "mean": _numpy(layer.moving_mean),
        "variance": _numpy(layer.moving_variance),
    }
    inputs = [*x, *(w.constant(f"{layer.name}_{part}", array) for part, array in parts.items())]
    return w.emit("BatchNormalization", inputs, layer.name, epsilon=float(layer.epsilon))


def _max_pooling(w: _Writer, layer: Any, x: list[str]) -> str:
    window = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
    return w.emit("MaxPool", x, layer.name, pads=_pads(layer), **window)


def _average_pooling(w: _Writer, layer: Any, x: list[str]) -> str:
    window = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
    return w.emit("AveragePool", x, layer.name, pads=_pads(layer), **window)


def _global_average_pooling(w: _Writer, layer: Any, x: list[str]) -> str:
    return w.emit("Flatten", [w.emit("GlobalAveragePool", x, f"{layer.name}_plane")], layer.name)


def _flatten(w: _Writer, layer: Any, x: list[str]) -> str:
    # Keras flattens channels last; the weights of the dense layer above count in that order.
    last = w.emit("Transpose", x, f"{layer.name}_channels_last", perm=[0, 2, 3, 1])
    return w.emit("Flatten", [last], layer.name)


def _dense(w: _Writer, layer: Any, x: list[str]) -> str:
    kernel = w.constant(f"{layer.name}_kernel", _numpy(layer.kernel))
    product = w.emit(
        "Gemm", [*x, kernel, w.constant(f"{layer.name}_bias", _numpy(layer.bias))], layer.name
    )
    return _activated(w, layer, product)


def _activated(w: _Writer, layer: Any, x: str) -> str:
    if layer.activation is keras.activations.linear:
        return x
    if layer.activation is keras.activations.relu:
        return w.emit("Relu", [x], f"{layer.name}_activated")
    raise ConfigError(
        f"the activation of {layer.name} cannot be sealed", received=layer.activation.__name__
    )


def _skip_gain(w: _Writer, layer: Any, x: list[str]) -> str:
    return w.emit("Mul", [*x, w.constant(f"{layer.name}_factor", _numpy(layer.factor))], layer.name)


_WRITERS: dict[type, Callable[[_Writer, Any, list[str]], str]] = {
    layers.Rescaling: _rescaling,
    layers.GroupNormalization: _group_normalization,
    layers.Conv2D: _convolution,
    StandardisedConv2D: _convolution,
    layers.BatchNormalization: _batch_normalization,
    layers.ReLU: lambda w, layer, x: w.emit("Relu", x, layer.name),
    layers.MaxPooling2D: _max_pooling,
    layers.AveragePooling2D: _average_pooling,
    layers.GlobalAveragePooling2D: _global_average_pooling,
    layers.Flatten: _flatten,
    layers.Dense: _dense,
    layers.Add: lambda w, layer, x: w.emit("Sum", x, layer.name),
    layers.Dropout: lambda w, layer, x: w.emit("Identity", x, layer.name),
    SkipGain: _skip_gain,
}

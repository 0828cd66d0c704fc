"""Walks through a Keras network and adds each of its operations to an ONNX graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ConfigError
from plainfilm.models.graph import GraphBuilder

LayerWriter = Callable[["Writer", Any, str, list[str]], str]
"""Adds a layer with a name and the names of its inputs; returns the name of its output."""


class Writer(GraphBuilder):
    """Adds the operations of a network in order.

    Images in the graph are channels first, and those of Keras channels last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, str] = {}  # id of a Keras tensor to its name in the graph
        self._used: set[str] = set()

    def add_operations(
        self, network: Any, find: Callable[[Any], LayerWriter], prefix: str = ""
    ) -> None:
        """Add all operations between the inputs, which have names already, and the outputs.

        ``find`` returns the function that adds a layer. A network within the network is added in
        place, with its name as a prefix of the names.
        """
        by_depth = network._nodes_by_depth
        nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
        for number, node in enumerate(nodes):
            layer = node.operation
            if isinstance(layer, keras.layers.InputLayer):
                continue
            name = prefix + _stable_name(layer, number)
            if name in self._used:  # the layer is used several times
                name += f"_{number}"
            self._used.add(name)
            if isinstance(layer, keras.Model):
                output = self._add_nested(layer, node, find, name)
            else:
                _check_shapes(layer, node)
                output = find(layer)(self, layer, name, self._arguments(node, name))
            self.names[id(node.output_tensors[0])] = output

    def _add_nested(
        self, network: Any, node: Any, find: Callable[[Any], LayerWriter], name: str
    ) -> str:
        inner = getattr(network, "_functional", None) or network  # of a Sequential
        self.names[id(inner.inputs[0])] = self.names[id(node.input_tensors[0])]
        self.add_operations(inner, find, f"{name}/")
        return self.names[id(inner.outputs[0])]

    def _arguments(self, node: Any, name: str) -> list[str]:
        """Return the names of the inputs; numbers, as in ``x + 3``, become constants."""
        if isinstance(node.operation, keras.layers.Layer):
            return [self.names[id(tensor)] for tensor in node.input_tensors]
        return [
            self.names[id(one)]
            if keras.utils.is_keras_tensor(one)
            else self.constant(f"{name}_by", one)
            for one in node.arguments.args
        ]

    def add_variance(self, x: Sequence[str], name: str, axes: list[int]) -> tuple[str, str]:
        """Add the centred values and their variance over ``axes``."""
        mean = self.add("ReduceMean", x, f"{name}_mean", axes=axes, keepdims=1)
        centred = self.add("Sub", [*x, mean], f"{name}_centred")
        square = self.add("Mul", [centred, centred], f"{name}_square")
        return centred, self.add("ReduceMean", [square], f"{name}_variance", axes=axes, keepdims=1)


def to_numpy(variable: Any) -> NDArray[np.float32]:
    """Return the value of a Keras variable or tensor as float32."""
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def unsupported(name: str, received: object, remedy: str | None = None) -> ConfigError:
    """Return the error for a layer that cannot be exported."""
    return ConfigError(f"the layer {name} cannot be exported", received=received, remedy=remedy)


def _stable_name(layer: Any, number: int) -> str:
    """Return the name of a layer, without numbers that depend on what the process created before.

    Keras gives layers without a name the name of their class and such a number.
    """
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(layer).__name__).lower()
    name: str = layer.name
    automatic = re.fullmatch(r"(.*?)(_[0-9]+)?", name)
    return f"{kind}_{number}" if automatic and _letters(automatic[1]) == _letters(kind) else name


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _check_shapes(layer: Any, node: Any) -> None:
    """Raise a ConfigError unless all tensors are images or vectors, always of the same shape."""
    for tensor in (*node.input_tensors, *node.output_tensors):
        if len(tensor.shape) not in (2, 4):
            raise unsupported(layer.name, f"values of the shape {tensor.shape}")
    if node.output_tensors[0].shape != layer._inbound_nodes[0].output_tensors[0].shape:
        raise unsupported(layer.name, "it is used for images of different sizes")

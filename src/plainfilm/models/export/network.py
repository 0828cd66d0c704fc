"""Exports a Keras network as an ONNX graph, layer by layer.

The networks consist of a few dozen kinds of layers. Writing them out gives the same bytes on every
backend, a readable graph, and the class activation map and the novelty as further outputs. A
general converter would trace the graph of one backend and bring its own dependencies.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from plainfilm.models.export.activation_map import add_activation_map, has_activation_map
from plainfilm.models.export.layers import find_writer
from plainfilm.models.export.writer import Writer
from plainfilm.models.graph import IMAGE
from plainfilm.models.novelty import MAX_FEATURES, Novelty
from plainfilm.models.novelty_graph import add_novelty
from plainfilm.records import Task


def feature_network(network: Any) -> Any | None:
    """Return the network up to the input of its last dense layer; None if that is too wide."""
    *_, last = network.layers
    if not isinstance(last, layers.Dense) or int(last.input.shape[-1]) > MAX_FEATURES:
        return None
    return keras.Model(network.input, last.input)


def to_onnx(
    network: Any, task: Task, head: str, temperature: float, novelty: Novelty | None = None
) -> bytes:
    """Return the graph of a network as the bytes of an ONNX file.

    The input is ``image`` uint8 (n, size, size). The outputs are ``probabilities`` (n, labels),
    ``logits`` (n, outputs), ``activation`` (n, labels, height, width) if
    `has_activation_map`, and ``novelty`` (n,) if it is given. A ConfigError is raised for an
    unknown layer.
    """
    writer = _NetworkWriter()
    writer.add_network(network)
    writer.add_probabilities(head, len(task.labels), temperature)
    outputs: dict[str, list[str | int]] = {
        "probabilities": ["n", len(task.labels)],
        "logits": ["n", int(network.outputs[0].shape[-1])],
    }
    if has_activation_map(network):
        add_activation_map(writer, network, head, len(task.labels))
        outputs["activation"] = ["n", len(task.labels), "height", "width"]
    size = int(network.inputs[0].shape[1])
    if novelty is not None:
        below = writer.names[id(network.layers[-1].input)]
        add_novelty(writer, novelty, "image_planes", below, size)
        outputs["novelty"] = ["n"]
    return writer.build(f"plainfilm-{network.name}", size, outputs)


class _NetworkWriter(Writer):
    """Adds a network from the image to the outputs of a bundle."""

    def add_network(self, network: Any) -> None:
        """Add everything from the image to the logits."""
        self.add("Cast", [IMAGE], "image_float", to=self.onnx.TensorProto.FLOAT)
        axis = self.constant("axis_one", [1], np.int64)
        self.add("Unsqueeze", ["image_float", axis], "image_planes")
        self.names[id(network.inputs[0])] = "image_planes"
        self.add_operations(network, find_writer)
        logits = self.names[id(network.outputs[0])]
        if logits != "logits":
            self.add("Identity", [logits], "logits")

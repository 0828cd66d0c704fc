"""Inserts a recalibration into the ONNX graph of a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainfilm._optional import require
from plainfilm.errors import BundleError
from plainfilm.records import Recalibration

_OUTPUT = "probabilities"
_HEADS = ("Sigmoid", "Softmax")
_PASSING = ("Slice", "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Gather")


def recalibrate_graph(graph: bytes, recalibration: Recalibration) -> bytes:
    """Return a graph whose probabilities are recalibrated; its other outputs are unchanged.

    The log odds are multiplied by the slopes, and the intercepts are added, just before the last
    sigmoid or softmax.

    Raises
    ------
    BundleError
        If the probabilities do not come from a sigmoid or softmax, or the result is not a valid
        graph.
    """
    onnx = require("onnx", "onnx")
    model = onnx.load_model_from_string(graph)
    head = _find_head(model.graph)
    names = {one.name for one in model.graph.initializer}
    names |= {name for node in model.graph.node for name in (node.name, *node.output)}
    slopes, intercepts = (
        np.array([values], np.float32)
        for values in (recalibration.slopes, recalibration.intercepts)
    )
    if head.op_type == "Softmax" and slopes.shape[1] == 1:  # a logit for each of two classes
        slopes = np.repeat(slopes, 2, axis=1)
        intercepts = np.array([[0.0, intercepts[0, 0]]], np.float32)
    constants = {_free("slopes", names): slopes, _free("intercepts", names): intercepts}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    slope, intercept = constants
    scaled, shifted = _free("scaled", names), _free("recalibrated", names)
    makers = [node.output[0] for node in model.graph.node]
    position = makers.index(head.output[0])
    make = onnx.helper.make_node
    nodes = [
        make("Mul", [head.input[0], slope], [scaled], name=scaled),
        make("Add", [scaled, intercept], [shifted], name=shifted),
    ]
    for number, node in enumerate(nodes):
        model.graph.node.insert(position + number, node)
    model.graph.node[position + len(nodes)].input[0] = shifted
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker raises errors of several kinds
        raise BundleError(
            "the recalibrated graph is not valid", received=str(error).splitlines()[0]
        ) from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _find_head(graph: Any) -> Any:
    """Return the sigmoid or softmax that the probabilities come from."""
    makers = {output: node for node in graph.node for output in node.output}
    node = makers.get(_OUTPUT)
    while node is not None and node.op_type in _PASSING:
        node = makers.get(node.input[0])
    if node is None or node.op_type not in _HEADS:
        raise BundleError(
            "the graph of the bundle cannot be recalibrated",
            received="no sigmoid or softmax before its probabilities"
            + ("" if node is None else f", but {node.op_type}"),
            remedy="train or import the model again with this version",
        )
    return node


def _free(name: str, used: set[str]) -> str:
    """Return a name that is not used yet, and add it to the used ones."""
    found, number = name, 2
    while found in used:
        found, number = f"{name}_{number}", number + 1
    used.add(found)
    return found

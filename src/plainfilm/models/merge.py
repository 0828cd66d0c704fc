"""Several sealed graphs as one: the mean of their logits, under one temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plainfilm._optional import require
from plainfilm.errors import ConfigError
from plainfilm.records import Task

__all__ = ["merge_graphs"]

_IMAGE = "image"


def merge_graphs(
    graphs: Sequence[bytes],
    task: Task,
    head: str,
    temperature: float,
    scales: Sequence[float] | None = None,
) -> bytes:
    """Return one ONNX graph that gives the mean of several.

    Logits are averaged before the temperature, so that activation maps, which are linear in them,
    are averaged as well and go on explaining what is answered.

    Parameters
    ----------
    graphs
        Two or more, from `plainfilm.models.export.to_onnx`, of one task and image size.
    task, head, temperature
        As for `to_onnx`.
    scales
        What each member's novelty is divided by before the mean is taken; None leaves novelty out.

    Returns
    -------
    bytes
        A graph with the inputs and outputs of its members; ``activation`` and ``novelty`` where
        every member has them.

    Raises
    ------
    ConfigError
        If there are fewer than two graphs, or they do not take and give the same.
    """
    onnx = require("onnx", "train")
    helper = onnx.helper
    if len(graphs) < 2:
        raise ConfigError("an ensemble needs two members at least", received=len(graphs))
    members = [onnx.load_model_from_string(graph) for graph in graphs]
    outputs = [_shapes(member) for member in members]
    wanted = ["logits", *(name for name in ("activation",) if all(name in o for o in outputs))]
    if scales is not None and all("novelty" in made for made in outputs):
        wanted.append("novelty")
    _check(members, outputs, wanted)
    nodes, constants = [], []
    for number, member in enumerate(members):
        own = onnx.compose.add_prefix(member, f"m{number}_")
        _share_image(own.graph, f"m{number}_{_IMAGE}")
        nodes += _needed(own.graph, [f"m{number}_{name}" for name in wanted])
        used = {name for node in nodes for name in node.input}
        constants += [one for one in own.graph.initializer if one.name in used]
    for name in wanted:
        parts = [f"m{number}_{name}" for number in range(len(members))]
        if name == "novelty":
            parts = _scaled(onnx, parts, scales or (), nodes, constants)
        nodes.append(helper.make_node("Mean", parts, [name], name=name))
    _head(onnx, head, len(task.labels), temperature, nodes, constants)
    made = {"probabilities": ["n", len(task.labels)], **{k: outputs[0][k] for k in wanted}}
    size = members[0].graph.input[0].type.tensor_type.shape.dim[1].dim_value
    graph = helper.make_graph(
        nodes,
        "plainfilm-ensemble",
        [helper.make_tensor_value_info(_IMAGE, onnx.TensorProto.UINT8, ["n", size, size])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in made.items()
        ],
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=members[0].opset_import,
        ir_version=members[0].ir_version,
        producer_name="plainfilm",
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _shapes(model: Any) -> dict[str, list[Any]]:
    return {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in model.graph.output
    }


def _check(
    members: Sequence[Any], outputs: Sequence[dict[str, list[Any]]], wanted: Sequence[str]
) -> None:
    takes = {member.graph.input[0].type.SerializeToString() for member in members}
    gives = {str([made.get(name) for name in wanted]) for made in outputs}
    if len(takes) > 1 or len(gives) > 1 or "logits" not in outputs[0]:
        raise ConfigError(
            "the members of an ensemble must take the same images and give the same outputs",
            received=f"{len(takes)} kinds of input, {len(gives)} of outputs",
        )


def _share_image(graph: Any, own: str) -> None:
    """Let a member read the one input of the whole."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == own:
                node.input[place] = _IMAGE


def _needed(graph: Any, outputs: Sequence[str]) -> list[Any]:
    """Return the nodes that some outputs rest on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def _scaled(
    onnx: Any, parts: Sequence[str], scales: Sequence[float], nodes: list[Any], constants: list[Any]
) -> list[str]:
    scaled = []
    for part, scale in zip(parts, scales, strict=True):
        value = np.asarray(scale, np.float32)
        constants.append(onnx.numpy_helper.from_array(value, f"{part}_scale"))
        name = f"{part}_scaled"
        nodes.append(onnx.helper.make_node("Div", [part, f"{part}_scale"], [name], name=name))
        scaled.append(name)
    return scaled


def _head(
    onnx: Any,
    head: str,
    labels: int,
    temperature: float,
    nodes: list[Any],
    constants: list[Any],
) -> None:
    """Write what turns mean logits into probabilities."""
    make = onnx.helper.make_node
    constants.append(onnx.numpy_helper.from_array(np.float32(temperature), "temperature"))
    nodes.append(make("Div", ["logits", "temperature"], ["cool"], name="cool"))
    if head == "sigmoid":
        nodes.append(make("Sigmoid", ["cool"], ["probabilities"], name="probabilities"))
        return
    if labels > 1:
        nodes.append(make("Softmax", ["cool"], ["probabilities"], name="probabilities", axis=1))
        return
    nodes.append(make("Softmax", ["cool"], ["both"], name="both", axis=1))
    for name, value in (("one", 1), ("two", 2)):
        constants.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
    names = ["both", "one", "two", "one"]
    nodes.append(make("Slice", names, ["probabilities"], name="probabilities"))

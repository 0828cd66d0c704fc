"""Merges the graphs of several bundles into one that predicts the mean of their logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plainfilm.errors import ConfigError
from plainfilm.models.graph import IMAGE, GraphBuilder
from plainfilm.records import Task


def merge_graphs(
    graphs: Sequence[bytes],
    task: Task,
    head: str,
    temperature: float,
    scales: Sequence[float] | None = None,
) -> bytes:
    """Return one ONNX graph that predicts the mean of several.

    Logits are averaged before the temperature is applied. Activation maps are linear in the logits,
    so their mean explains the mean of the logits. The graphs are two or more from
    `plainfilm.models.export.to_onnx`, with the same input and outputs. Each member's novelty is
    divided by its entry of ``scales`` before the mean is taken; None omits novelty.
    """
    if len(graphs) < 2:
        raise ConfigError("an ensemble needs at least two members", received=len(graphs))
    builder = GraphBuilder()
    members = [builder.onnx.load_model_from_string(graph) for graph in graphs]
    shapes = [_output_shapes(member) for member in members]
    optional = ["activation"] if scales is None else ["activation", "novelty"]
    names = ["logits", *(name for name in optional if all(name in own for own in shapes))]
    _check(members, shapes, names)
    for number, member in enumerate(members):
        prefix = f"m{number}_"
        graph = builder.onnx.compose.add_prefix(member, prefix).graph
        nodes = _required_nodes(graph, [prefix + name for name in names])
        for node in nodes:  # all members share one input
            node.input[:] = [IMAGE if name == prefix + IMAGE else name for name in node.input]
        used = {name for node in nodes for name in node.input}
        builder.nodes += nodes
        builder.constants += [one for one in graph.initializer if one.name in used]
    for name in names:
        parts = [f"m{number}_{name}" for number in range(len(members))]
        if name == "novelty":
            parts = [
                builder.add("Div", [part, builder.constant(f"{part}_scale", by)], f"{part}_scaled")
                for part, by in zip(parts, scales or (), strict=True)
            ]
        builder.add("Mean", parts, name)
    builder.add_probabilities(head, len(task.labels), temperature)
    outputs = {
        "probabilities": ["n", len(task.labels)],
        **{name: shapes[0][name] for name in names},
    }
    size = members[0].graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return builder.build("plainfilm-ensemble", size, outputs)


def _output_shapes(model: Any) -> dict[str, list[Any]]:
    return {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in model.graph.output
    }


def _check(members: Sequence[Any], shapes: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Check that all members have the same input and outputs."""
    inputs = {member.graph.input[0].type.SerializeToString() for member in members}
    outputs = {str([own.get(name) for name in names]) for own in shapes}
    if len(inputs) > 1 or len(outputs) > 1 or "logits" not in shapes[0]:
        raise ConfigError(
            "the members of an ensemble must have the same input and outputs",
            received=f"{len(inputs)} kinds of input, {len(outputs)} of outputs",
        )


def _required_nodes(graph: Any, outputs: Sequence[str]) -> list[Any]:
    """Return the nodes that some outputs depend on, in their order."""
    required, kept = set(outputs), []
    for node in reversed(graph.node):
        if required & set(node.output):
            kept.append(node)
            required |= set(node.input)
    return kept[::-1]

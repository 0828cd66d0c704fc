"""Merges the graphs of several bundles into one that predicts the mean of their logits.

What the members have in common, such as a frozen encoder, is in the merged graph once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plainfilm.errors import ConfigError
from plainfilm.models.graph import GraphBuilder
from plainfilm.models.shared_nodes import SharedNodes, output_shapes
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
    shapes = [output_shapes(member) for member in members]
    optional = ["activation"] if scales is None else ["activation", "novelty"]
    names = ["logits", *(name for name in optional if all(name in own for own in shapes))]
    _check(members, shapes, names)
    shared = SharedNodes(builder)
    outputs = [
        shared.add(member.graph, f"m{number}_", names) for number, member in enumerate(members)
    ]
    for name in names:
        parts = [own[name] for own in outputs]
        if name == "novelty":
            parts = [
                builder.add("Div", [part, builder.constant(f"scale_{number}", by)], f"own_{number}")
                for number, (part, by) in enumerate(zip(parts, scales or (), strict=True))
            ]
        builder.add("Mean", parts, name)
    builder.add_probabilities(head, len(task.labels), temperature)
    results = {
        "probabilities": ["n", len(task.labels)],
        **{name: shapes[0][name] for name in names},
    }
    size = members[0].graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return builder.build("plainfilm-ensemble", size, results, like=members[0])


def _check(members: Sequence[Any], shapes: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Check that all members have the same input, outputs and versions of operators."""
    inputs = {member.graph.input[0].type.SerializeToString() for member in members}
    versions = {str(sorted(map(str, member.opset_import))) for member in members}
    outputs = {str([own.get(name) for name in names]) for own in shapes}
    if len(inputs) > 1 or len(outputs) > 1 or len(versions) > 1 or "logits" not in shapes[0]:
        raise ConfigError(
            "the members of an ensemble must have the same input and outputs",
            received=f"{len(inputs)} kinds of input, {len(outputs)} of outputs, {len(versions)} "
            "versions of operators",
        )

"""Merges the graphs of several bundles into one that predicts the mean of their logits.

What the members have in common, such as a frozen encoder, is in the merged graph once.
"""

from __future__ import annotations

import hashlib
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
    shared = _Shared(builder)
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


def _output_shapes(model: Any) -> dict[str, list[Any]]:
    return {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in model.graph.output
    }


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


class _Shared:
    """Adds graphs to a builder; a node or constant that an earlier graph has is not added again.

    Two nodes are the same if operator, attributes and inputs are, so that two equal encoders become
    one from the image to the first layer that differs.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self.known: dict[str, Sequence[str]] = {}  # content to the names that it has in the graph

    def add(self, graph: Any, prefix: str, outputs: Sequence[str]) -> dict[str, str]:
        """Add what ``outputs`` depend on; return the name that each has in the merged graph."""
        nodes = _required_nodes(graph, outputs)
        used = {name for node in nodes for name in node.input}
        names = {"": "", IMAGE: IMAGE}  # an omitted input has no name; all members share the image
        for own in graph.initializer:
            if own.name in used:
                constant = _copy(own, name="", doc_string="")
                [names[own.name]] = self._find(constant, [prefix + own.name])
                if names[own.name] == prefix + own.name:
                    constant.name = prefix + own.name
                    self.builder.constants.append(constant)
        for own in nodes:
            node = _copy(own, name="", doc_string="")
            node.input[:] = [names[name] for name in own.input]
            node.output[:] = ["" if not name else "output" for name in own.output]
            new = [name and prefix + name for name in own.output]
            found = self._find(node, new)
            names.update(zip(own.output, found, strict=True))
            if found == new:
                node.name, node.output[:] = prefix + own.name, new
                self.builder.nodes.append(node)
        return {name: names[name] for name in outputs}

    def _find(self, part: Any, names: Sequence[str]) -> Sequence[str]:
        """Return the names of the same part of an earlier graph, or the given ones."""
        content = part.SerializeToString(deterministic=True)
        kind = type(part).__name__
        return self.known.setdefault(f"{kind} {hashlib.sha256(content).hexdigest()}", names)


def _copy(message: Any, **changed: str) -> Any:
    """Return a copy of a part of a graph with other texts."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name, text in changed.items():
        setattr(copy, name, text)
    return copy


def _required_nodes(graph: Any, outputs: Sequence[str]) -> list[Any]:
    """Return the nodes that some outputs depend on, in their order."""
    required, kept = set(outputs), []
    for node in reversed(graph.node):
        if required & set(node.output):
            kept.append(node)
            required |= set(node.input)
    return kept[::-1]

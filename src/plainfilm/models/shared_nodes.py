"""Adds the nodes of finished graphs to a new one; what two of them have in common is added once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from plainfilm.models.graph import IMAGE, GraphBuilder


def output_shapes(model: Any) -> dict[str, list[Any]]:
    """Return the shape of each output of a graph; an unknown side is a name."""
    return {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in model.graph.output
    }


class SharedNodes:
    """Adds graphs to a builder; a node or constant that an earlier graph has is not added again.

    Two nodes are the same if operator, attributes and inputs are, so that two equal encoders become
    one from the image to the first layer that differs.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self.known: dict[str, Sequence[str]] = {}  # content to the names that it has in the graph

    def add(
        self, graph: Any, prefix: str, outputs: Sequence[str], image: str = IMAGE
    ) -> dict[str, str]:
        """Add what ``outputs`` depend on; return the name that each has in the builder.

        ``image`` is what the added nodes receive as the image.
        """
        nodes = _required_nodes(graph, outputs)
        used = {name for node in nodes for name in node.input}
        names = {"": "", IMAGE: image}  # an omitted input has no name
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
                node.name, node.output[:] = own.name and prefix + own.name, new
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

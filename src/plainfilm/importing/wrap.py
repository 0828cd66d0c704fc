"""Puts a graph between the image input and the outputs of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plainfilm.bundle.imported import Preprocessing
from plainfilm.encoders.graph_input import TYPES, add_source
from plainfilm.encoders.source import SourceGraph, infer_shapes
from plainfilm.importing.outputs import HIGH, LOW, Meaning
from plainfilm.models.graph import IMAGE, GraphBuilder

__all__ = ["wrap_graph"]

_IR = 8


def wrap_graph(
    source: SourceGraph,
    size: int,
    how: Preprocessing,
    meaning: Meaning,
    columns: int,
    *,
    batch: int | None = None,
    temperature: float = 1.0,
) -> bytes:
    """Return a graph with the input and outputs of a bundle as the bytes of an ONNX file.

    Its operators have one form in all versions since the oldest that is imported, so that the
    operators of the network keep their version.

    Parameters
    ----------
    source, size, how, meaning
        The network, the side of its images, how it expects them, and what its output means.
    columns
        Number of columns of its output.
    batch
        Number of images in a run; None for any number.
    temperature
        Divisor of the logits.
    """
    writer = _Writer("onnx")
    output = add_source(writer, source, size, how, batch)
    writer.add_logits(output, columns, meaning)
    head = "softmax" if meaning.task.kind == "multiclass" else "sigmoid"
    writer.add_probabilities(head, len(meaning.task.labels), temperature)
    wrapped = writer.build_like(source, size, batch, len(meaning.task.labels))
    infer_shapes(wrapped)
    data: bytes = wrapped.SerializeToString(deterministic=True)
    return data


class _Writer(GraphBuilder):
    """Adds the outputs of a bundle to a network."""

    def add_logits(self, output: str, columns: int, meaning: Meaning) -> None:
        """Add one logit per label, as `outputs.to_logits` does it."""
        self.add("Cast", [output], "output_float", to=TYPES["float32"])
        shape = self.constant("output_shape", [-1, columns], np.int64)
        value = self.add("Reshape", ["output_float", shape], "output_columns")
        if meaning.kind == "logits" and meaning.pair:
            parts = [
                self.add_columns(value, [column], f"output_{name}")
                for column, name in zip(meaning.columns, ("negative", "positive"), strict=True)
            ]
            self.add("Sub", parts[::-1], "logits")
            return
        chosen = meaning.columns[1:] if meaning.pair else meaning.columns
        value = self.add_columns(value, chosen, "output_chosen")
        if meaning.kind == "logits":
            self.add("Identity", [value], "logits")
            return
        floored = self.add("Add", [value, self.constant("low", LOW)], "output_floored")
        if meaning.task.kind == "multiclass":
            self.add("Log", [floored], "logits")
            return
        log = self.add("Log", [floored], "output_log")
        rest = self.add("Sub", [self.constant("one", 1.0), value], "output_rest")
        raised = self.add("Add", [rest, self.constant("high", HIGH)], "output_rest_floored")
        self.add("Sub", [log, self.add("Log", [raised], "output_rest_log")], "logits")

    def add_columns(self, value: str, columns: Sequence[int], name: str) -> str:
        numbers = self.constant(f"{name}_columns", list(columns), np.int64)
        return self.add("Gather", [value, numbers], name, axis=1)

    def build_like(self, source: SourceGraph, size: int, batch: int | None, labels: int) -> Any:
        helper, types = self.onnx.helper, self.onnx.TensorProto
        count: int | str = "n" if batch is None else batch
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "plainfilm-imported",
            [tensor(IMAGE, types.UINT8, [count, size, size])],
            [tensor(name, types.FLOAT, [count, labels]) for name in ("probabilities", "logits")],
            self.constants,
        )
        used = {node.domain for node in self.nodes} | {""}
        opsets = [one for one in source.model.opset_import if one.domain in used]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=max(_IR, source.model.ir_version),
            producer_name="plainfilm",
        )

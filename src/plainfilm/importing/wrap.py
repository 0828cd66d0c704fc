"""Puts a graph between the image input and the outputs of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plainfilm._optional import require
from plainfilm.bundle.imported import Preprocessing
from plainfilm.importing.free_batch import free_batch
from plainfilm.importing.outputs import HIGH, LOW, Meaning
from plainfilm.importing.source import SourceGraph, infer_shapes

__all__ = ["wrap_graph"]

_PREFIX = "model_"
_IR = 8
_FLOAT, _TYPES = 1, {"float32": 1, "float16": 10, "float64": 11, "uint8": 2}


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
    writer = _Writer()
    writer.add_input(size, how)
    declared = source.shape[0]
    model = source.model if declared in (None, batch) else free_batch(source.model, declared)
    prefixed = writer.onnx.compose.add_prefix(model, _PREFIX).graph
    for node in prefixed.node:
        node.input[:] = ["prepared" if o == _PREFIX + source.input else o for o in node.input]
    writer.nodes += prefixed.node
    writer.constants += prefixed.initializer
    writer.add_logits(_PREFIX + source.output, columns, meaning)
    writer.add_probabilities(meaning.task.kind == "multiclass", temperature)
    wrapped = writer.build(source, size, batch, len(meaning.task.labels))
    infer_shapes(wrapped)
    data: bytes = wrapped.SerializeToString(deterministic=True)
    return data


class _Writer:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self.onnx = require("onnx", "onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        node = self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        self.nodes.append(node)
        return output

    def constant(self, name: str, value: Any, kind: Any = np.float32) -> str:
        array = np.asarray(value, kind)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def add_input(self, size: int, how: Preprocessing) -> None:
        """Add everything from ``image`` to ``prepared``, as `images.prepare` does it."""
        self.add("Cast", ["image"], "image_float", to=_FLOAT)
        shape = self.constant("plane_shape", [-1, 1, size, size], np.int64)
        value = self.add("Reshape", ["image_float", shape], "image_plane")
        if how.transposed:
            value = self.add("Transpose", [value], "image_transposed", perm=[0, 1, 3, 2])
        if how.scaling == "image":
            value = self.add_spread(value)
        unit = 1.0 if how.scaling == "image" else 255.0
        mean, std = (
            np.broadcast_to(np.array(one, np.float64), how.channels).reshape(1, -1, 1, 1)
            for one in (how.mean, how.std)
        )
        scale = self.constant("input_scale", (how.high - how.low) / unit / std)
        offset = self.constant("input_offset", (how.low - mean) / std)
        value = self.add("Mul", [value, scale], "input_scaled")
        value = self.add("Add", [value, offset], "input_planes")
        if how.axes == "nhwc":
            value = self.add("Transpose", [value], "input_last", perm=[0, 2, 3, 1])
        elif how.axes == "nhw":
            flat = self.constant("input_shape", [-1, size, size], np.int64)
            value = self.add("Reshape", [value, flat], "input_flat")
        self.add("Cast", [value], "prepared", to=_TYPES[how.dtype])

    def add_spread(self, value: str) -> str:
        """Scale each image from its darkest to its lightest pixel to 0..1."""
        top = self.add("GlobalMaxPool", [value], "image_top")
        negative = self.add("Neg", [value], "image_negative")
        bottom = self.add("GlobalMaxPool", [negative], "image_bottom")  # minus the smallest value
        spread = self.add("Add", [top, bottom], "image_spread")
        safe = self.add("Max", [spread, self.constant("grey_level", [1.0])], "image_spread_safe")
        above = self.add("Add", [value, bottom], "image_above")
        return self.add("Div", [above, safe], "image_unit")

    def add_logits(self, output: str, columns: int, meaning: Meaning) -> None:
        """Add one logit per label, as `outputs.to_logits` does it."""
        self.add("Cast", [output], "output_float", to=_FLOAT)
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

    def add_probabilities(self, softmax: bool, temperature: float) -> None:
        """Add the same names as a trained graph has, from ``logits`` to ``probabilities``."""
        self.add("Div", ["logits", self.constant("temperature", temperature)], "cool")
        if softmax:
            self.add("Softmax", ["cool"], "probabilities", axis=1)
        else:
            self.add("Sigmoid", ["cool"], "probabilities")

    def build(self, source: SourceGraph, size: int, batch: int | None, labels: int) -> Any:
        helper, types = self.onnx.helper, self.onnx.TensorProto
        count: int | str = "n" if batch is None else batch
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "plainfilm-imported",
            [tensor("image", types.UINT8, [count, size, size])],
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

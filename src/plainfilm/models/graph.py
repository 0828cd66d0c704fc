"""Builds ONNX graphs with the inputs and outputs of a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plainfilm._optional import require

IMAGE = "image"
_OPSET = 17
_IR = 8


class GraphBuilder:
    """Collects the nodes and constants of a graph.

    ``extra`` is the extra of plainfilm that installs what the caller needs.
    """

    def __init__(self, extra: str = "train") -> None:
        self.onnx = require("onnx", extra)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        self.nodes.append(
            self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        )
        return output

    def constant(self, name: str, value: Any, kind: type[np.number[Any]] = np.float32) -> str:
        """Add a constant; return its name."""
        array = np.ascontiguousarray(value, dtype=kind).reshape(np.shape(value))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    @property
    def parameters(self) -> int:
        """Return the number of values of all constants of real numbers."""
        kinds = self.onnx.TensorProto
        real = {kinds.FLOAT, kinds.FLOAT16, kinds.DOUBLE, kinds.BFLOAT16}
        return sum(math.prod(one.dims) for one in self.constants if one.data_type in real)

    def add_probabilities(self, head: str, labels: int, temperature: float) -> None:
        """Add the nodes from ``logits`` to ``probabilities`` (n, labels)."""
        self.add("Div", ["logits", self.constant("temperature", temperature)], "cool")
        if head == "sigmoid":
            self.add("Sigmoid", ["cool"], "probabilities")
        elif labels > 1:
            self.add("Softmax", ["cool"], "probabilities", axis=1)
        else:  # of the two classes, the probability of the positive one
            self.add("Softmax", ["cool"], "both", axis=1)
            one, two = self.constant("one", [1], np.int64), self.constant("two", [2], np.int64)
            self.add("Slice", ["both", one, two, one], "probabilities")

    def build(
        self, name: str, size: int, outputs: Mapping[str, Sequence[str | int]], like: Any = None
    ) -> bytes:
        """Return the checked graph with these output shapes as the bytes of an ONNX file.

        Its operators have the versions of the graph ``like``, if that is given.
        """
        helper, types = self.onnx.helper, self.onnx.TensorProto
        tensor = helper.make_tensor_value_info
        inputs = [tensor(IMAGE, types.UINT8, ["n", size, size])]
        results = [tensor(output, types.FLOAT, shape) for output, shape in outputs.items()]
        graph = helper.make_graph(self.nodes, name, inputs, results, self.constants)
        opsets = [helper.make_opsetid("", _OPSET)] if like is None else like.opset_import
        version = _IR if like is None else max(_IR, like.ir_version)
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=version, producer_name="plainfilm"
        )
        self.onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data

"""Reads the ONNX file that is imported: its input, its output, and what it was written by."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm._files import read_regular
from plainfilm._optional import require
from plainfilm._text import printable
from plainfilm.bundle.graph_check import MOST_BYTES, check_graph
from plainfilm.errors import BundleError, UsageError

__all__ = ["Side", "SourceGraph", "infer_shapes", "read_source"]

Side = int | None
"""A side of a tensor, None if it is not fixed."""

_OLDEST = 8  # the oldest opset in which all operators that are added have one form
_TYPES = {1: "float32", 10: "float16", 11: "float64", 2: "uint8"}
_MOST_VALUES = 1 << 28  # of a tensor for one image: a gibibyte of float32
_PLAIN = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, slots=True, eq=False)
class SourceGraph:
    """A checked ONNX model with one image input and one output.

    ``activation`` is Sigmoid or Softmax if the output is that of such a node, else an empty string.
    """

    model: Any
    file: str
    sha256: str
    producer: str | None
    opset: int
    input: str
    shape: tuple[Side, ...]
    dtype: str
    output: str
    columns: int | None
    activation: str


def read_source(path: Path, input_name: str | None, output_name: str | None) -> SourceGraph:
    """Read and check an ONNX file.

    Raises
    ------
    BundleError
        If the file is not a graph that can be imported.
    UsageError
        If the file does not exist, or the input or output must be named.
    """
    onnx = require("onnx", "onnx")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BundleError(
                f"an ONNX file may have at most {MOST_BYTES >> 20:,} MiB",
                received=f"{path}: {path.stat().st_size >> 20:,} MiB",
                remedy="export the network with weights of 16 bits",
            )
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise UsageError(
            "the ONNX file cannot be read", received=f"{path}: {error.strerror}"
        ) from error
    model = _inlined(onnx, data)
    graph, opset = model.graph, _opset(model)
    constants = {one.name for one in graph.initializer}
    image = _choose([o for o in graph.input if o.name not in constants], input_name, "input")
    result = _choose(graph.output, output_name, "output")
    kind = image.type.tensor_type
    if kind.elem_type not in _TYPES:
        raise BundleError(
            "the input must be a tensor of float32, float16, float64 or uint8",
            received=f"{printable(image.name)}: {onnx.TensorProto.DataType.Name(kind.elem_type)}",
            remedy="export the network with an image as its input",
        )
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the library raises several kinds
        raise BundleError(
            "the ONNX graph is not valid",
            received=_first_line(error),
            remedy="check it with onnx.checker.check_model, and export the network again",
        ) from error
    shapes = infer_shapes(model)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return SourceGraph(
        model=model,
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        producer=printable(producer) or None,
        opset=opset,
        input=image.name,
        shape=_sides(image),
        dtype=_TYPES[kind.elem_type],
        output=result.name,
        columns=_columns(shapes.get(result.name, ())),
        activation=_activation(graph, result.name),
    )


def _inlined(onnx: Any, data: bytes) -> Any:
    """Return the model without functions, after checking it."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own
        raise BundleError(
            "the file is not an ONNX graph",
            received=f"{len(data):,} bytes",
            remedy="export the network again, for example with torch.onnx.export",
        ) from error
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as error:
            raise BundleError(
                "the functions of the ONNX file cannot be inlined",
                received=str(error).partition("\n")[0],
                remedy="export the network with standard operators",
            ) from error
    for one in [*model.graph.node, *model.opset_import]:
        if one.domain == "ai.onnx":  # another name of the default domain
            one.domain = ""
    check_graph(model.SerializeToString())
    return model


def _opset(model: Any) -> int:
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if not versions or min(versions) < _OLDEST or model.ir_version < 3:
        raise BundleError(
            f"the graph must have operators of version {_OLDEST} (opset) or newer",
            received=f"opset {versions[0] if versions else 'not stated'}",
            remedy="export the network with opset_version=17",
        )
    return int(versions[0])


def _choose(found: Sequence[Any], name: str | None, what: str) -> Any:
    names = [one.name for one in found]
    shown = printable(", ".join(names))
    if name is None and len(found) == 1:
        return found[0]
    if name not in names:
        raise UsageError(
            f"the graph has no {what} of this name"
            if name is not None
            else f"the graph does not have exactly one {what}",
            received=name if name is not None else shown or f"no {what}",
            remedy=f"choose one of: {shown}, with {what}=" if names else "export the network again",
        )
    if what == "input" and len(found) > 1:
        raise BundleError(
            "a network must have one input, the image",
            received=shown,
            remedy="export a network that computes the others itself, or has them as constants",
        )
    return found[names.index(name)]


def infer_shapes(model: Any) -> dict[str, tuple[Side, ...]]:
    """Return the shapes of a model's tensors; refuse tensors that do not fit in memory."""
    onnx = require("onnx", "onnx")
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:  # the library raises several kinds
        raise BundleError(
            "the shapes of the ONNX graph contradict each other",
            received=_first_line(error),
            remedy="check it with onnx.checker.check_model, and export the network again",
        ) from error
    shapes = {one.name: _sides(one) for one in [*graph.value_info, *graph.output]}
    for name, sides in shapes.items():
        values = math.prod(1 if side is None else side for side in sides)
        if values > _MOST_VALUES:
            raise BundleError(
                "a tensor of the ONNX graph does not fit in memory",
                received=f"{printable(name)}: {values:,} values",
                remedy="export the network for a smaller image",
            )
    return shapes


def _columns(shape: Sequence[Side]) -> int | None:
    """Return the number of columns of an output: one if it only has images."""
    sides = [side for side in shape[1:] if side is not None]
    return math.prod(sides) if shape and len(sides) == len(shape) - 1 else None


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return printable(lines[0]) if lines else type(error).__name__


def _sides(value: Any) -> tuple[Side, ...]:
    shape = value.type.tensor_type.shape.dim
    return tuple(int(d.dim_value) if d.HasField("dim_value") else None for d in shape)


def _activation(graph: Any, output: str) -> str:
    """Return the operator that computes an output, if it is a sigmoid or softmax."""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(output)
    while node is not None and node.op_type in _PLAIN:
        node = makers.get(node.input[0])
    return node.op_type if node is not None and node.op_type in ("Sigmoid", "Softmax") else ""

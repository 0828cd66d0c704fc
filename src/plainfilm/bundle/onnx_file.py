"""Reads the structure of an ONNX file without the library ``onnx``.

An ONNX file is a protocol buffer: fields with a number, in any order. Only what
`plainfilm.bundle.graph_check` needs is read; weights are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from plainfilm.errors import BundleError

# Numbers of the fields in onnx.proto.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 7, 8, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_CONSTANT, _GRAPH_INPUT, _GRAPH_SPARSE = 1, 5, 11, 15
_VALUE_NAME = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER, _ATTRIBUTE_TENSOR = 1, 3, 5
_ATTRIBUTE_INTEGERS, _ATTRIBUTE_TENSORS = 8, 10
_ATTRIBUTE_GRAPHS = frozenset({6, 11})
_ATTRIBUTE_SPARSE = frozenset({22, 23})
_TENSOR_SIDES, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_INTEGERS = 1, 2, 4, 7
_TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 8, 9, 13, 14
_RAW_FORMATS = {1: "f", 6: "i", 7: "q", 11: "d"}  # of the types of tensors that sizes have

_LARGEST = 1 << 64  # keeps products small, whatever a file declares
_FEW = 64  # more values decide no size
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Constant(NamedTuple):
    """A tensor in the file: name, number of values that its shape declares, and its bytes."""

    name: str
    values: int
    content: memoryview
    external: bool

    def numbers(self) -> list[float] | None:
        """Return the values if they are a few numbers, else None."""
        return _read_numbers(self.content) if self.values <= _FEW else None


class Operator(NamedTuple):
    """A node: its operator, its domain, its inputs and outputs, integers among its attributes.

    ``constants`` are tensors among the attributes, and ``has_graph`` is whether there is a graph.
    """

    kind: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    integers: Mapping[str, list[int]]
    constants: list[Constant]
    has_graph: bool


class Structure(NamedTuple):
    """The nodes, constants and inputs of a file, and whether it has functions or sparse constants.

    ``constants`` are those of the graph and of its nodes; ``opsets`` are versions by domain.
    """

    operators: list[Operator]
    constants: list[Constant]
    inputs: list[str]
    opsets: Mapping[str, int]
    functions: int
    sparse: int


def read_structure(data: bytes) -> Structure:
    """Return the structure of an ONNX file; raise a BundleError if it is not one."""
    found = Structure([], [], [], {}, 0, 0)
    graphs = functions = 0
    opsets = {}
    try:
        for number, value in _fields(memoryview(data)):
            functions += number == _MODEL_FUNCTION
            if number == _MODEL_GRAPH and isinstance(value, memoryview):
                graphs += 1
                found = _read_graph(value)
            elif number == _MODEL_OPSET and isinstance(value, memoryview):
                fields = dict(_fields(value))
                version = fields.get(_OPSET_VERSION, 0)
                opsets[_text(fields.get(_OPSET_DOMAIN, 0))] = (
                    version if isinstance(version, int) else 0
                )
    except (ValueError, IndexError) as error:
        raise BundleError("the file is not an ONNX graph", received=str(error)) from error
    if graphs != 1 or not found.operators:
        raise BundleError("the file is not an ONNX graph", received=f"{len(data):,} bytes")
    return found._replace(functions=functions, opsets=opsets)


def _read_graph(data: memoryview) -> Structure:
    operators: list[Operator] = []
    constants: list[Constant] = []
    inputs: list[str] = []
    sparse = 0
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_NODE:
            operator, few = _read_node(value)
            operators.append(operator)
            constants += operator.constants
            sparse += few
        elif number == _GRAPH_CONSTANT:
            constants.append(_read_constant(value))
        elif number == _GRAPH_INPUT:
            inputs += [_text(own) for field, own in _fields(value) if field == _VALUE_NAME]
        sparse += number == _GRAPH_SPARSE
    return Structure(operators, constants, inputs, {}, 0, sparse)


def _read_node(data: memoryview) -> tuple[Operator, int]:
    kind = domain = ""
    inputs: list[str] = []
    outputs: list[str] = []
    integers: dict[str, list[int]] = {}
    constants: list[Constant] = []
    has_graph, sparse = False, 0
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_INPUT:
            inputs.append(_text(value))
        elif number == _NODE_OUTPUT:
            outputs.append(_text(value))
        elif number == _NODE_OPERATOR:
            kind = _text(value)
        elif number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_ATTRIBUTE:
            name, own = "", []
            for field, content in _fields(value):
                has_graph |= field in _ATTRIBUTE_GRAPHS
                sparse += field in _ATTRIBUTE_SPARSE
                if field == _ATTRIBUTE_NAME:
                    name = _text(content)
                elif field in (_ATTRIBUTE_INTEGER, _ATTRIBUTE_INTEGERS):
                    own += _integers(content)
                elif field in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    constants += (
                        [_read_constant(content)] if isinstance(content, memoryview) else []
                    )
            integers[name] = own
    return Operator(kind, domain, inputs, outputs, integers, constants, has_graph), sparse


def _read_constant(data: memoryview) -> Constant:
    name, values, external = "", 1, False
    for number, value in _fields(data):
        if number == _TENSOR_SIDES:
            for side in _integers(value):
                values = min(values * (side if side >= 0 else _LARGEST), _LARGEST)
        elif number == _TENSOR_NAME:
            name = _text(value)
        elif number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value):
            external = True
    return Constant(name, values, data, external)


def _read_numbers(data: memoryview) -> list[float] | None:
    """Return the values of a small tensor of a type that sizes have."""
    kind, found, raw = 0, list[float](), b""
    for number, value in _fields(data):
        if number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number in (5, _TENSOR_INTEGERS):
            found += _integers(value)
        elif number == _TENSOR_FLOATS and isinstance(value, memoryview):
            found += struct.unpack(f"<{len(value) // 4}f", value[: len(value) // 4 * 4])
        elif number == _TENSOR_RAW and isinstance(value, memoryview):
            raw = value.tobytes()
    if raw and kind in _RAW_FORMATS:
        size = struct.calcsize(f"<{_RAW_FORMATS[kind]}")
        count = len(raw) // size
        return [*struct.unpack(f"<{count}{_RAW_FORMATS[kind]}", raw[: count * size])]
    return found if kind in _RAW_FORMATS else None


def _text(value: int | memoryview) -> str:
    return "" if isinstance(value, int) else value.tobytes().decode("utf-8", "replace")


def _integers(value: int | memoryview) -> list[int]:
    """Return one signed integer, or those of a packed field."""
    found = [value] if isinstance(value, int) else list(_packed(value))
    return [one - _LARGEST if one >= _LARGEST >> 1 else one for one in found]


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and the value of each field: an integer, or the bytes of anything else."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at + length > end:
            raise ValueError("the file is truncated")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")

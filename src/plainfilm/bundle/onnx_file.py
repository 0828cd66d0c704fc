"""Reads the structure of an ONNX file without the library ``onnx``.

An ONNX file is a protocol buffer: fields with a number, in any order. Only what
`plainfilm.bundle.graph_check` needs is read; weights are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from plainfilm.errors import BundleError

# Numbers of the fields in onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_CONSTANT, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_OPERATOR, _NODE_DOMAIN = 5, 4, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPHS = frozenset({6, 11})
_ATTRIBUTE_SPARSE = frozenset({22, 23})
_TENSOR_SIDES, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 8, 13, 14

_LARGEST = 1 << 64  # keeps products small, whatever a file declares
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Constant(NamedTuple):
    """A tensor in the file: name, number of values that its shape declares, and bytes it has."""

    name: str
    values: int
    stored: int
    external: bool


class Operator(NamedTuple):
    """A node: its operator, the domain that defines it, and whether it contains a graph."""

    kind: str
    domain: str
    has_graph: bool


class Structure(NamedTuple):
    """The nodes and constants of a file, and whether it has functions or sparse constants."""

    operators: list[Operator]
    constants: list[Constant]
    functions: int
    sparse: int


def read_structure(data: bytes) -> Structure:
    """Return the structure of an ONNX file; raise a BundleError if it is not one."""
    found = Structure([], [], 0, 0)
    graphs = functions = 0
    try:
        for number, value in _fields(memoryview(data)):
            functions += number == _MODEL_FUNCTION
            if number == _MODEL_GRAPH and isinstance(value, memoryview):
                graphs += 1
                found = _read_graph(value)
    except (ValueError, IndexError) as error:
        raise BundleError("the file is not an ONNX graph", received=str(error)) from error
    if graphs != 1 or not found.operators:
        raise BundleError("the file is not an ONNX graph", received=f"{len(data):,} bytes")
    return found._replace(functions=functions)


def _read_graph(data: memoryview) -> Structure:
    operators, constants, sparse = [], [], 0
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_NODE:
            operator, own, few = _read_node(value)
            operators.append(operator)
            constants += own
            sparse += few
        elif number == _GRAPH_CONSTANT:
            constants.append(_read_constant(value))
        sparse += number == _GRAPH_SPARSE
    return Structure(operators, constants, 0, sparse)


def _read_node(data: memoryview) -> tuple[Operator, list[Constant], int]:
    kind = domain = ""
    constants, has_graph, sparse = [], False, 0
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_OPERATOR:
            kind = _text(value)
        elif number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_ATTRIBUTE:
            for own, content in _fields(value):
                has_graph |= own in _ATTRIBUTE_GRAPHS
                sparse += own in _ATTRIBUTE_SPARSE
                if own in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS) and not isinstance(content, int):
                    constants.append(_read_constant(content))
    return Operator(kind, domain, has_graph), constants, sparse


def _read_constant(data: memoryview) -> Constant:
    name, values, external = "", 1, False
    for number, value in _fields(data):
        if number == _TENSOR_SIDES:
            for side in [value] if isinstance(value, int) else _packed(value):
                values = min(values * side, _LARGEST)  # a negative side is a large number here
        elif number == _TENSOR_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value):
            external = True
    return Constant(name, values, len(data), external)


def _text(value: memoryview) -> str:
    return value.tobytes().decode("utf-8", "replace")


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

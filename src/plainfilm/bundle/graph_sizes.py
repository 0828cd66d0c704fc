"""Bounds the sizes that an ONNX graph decides by constants, before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping

from plainfilm._text import printable
from plainfilm.bundle.onnx_file import Constant, Operator, Structure
from plainfilm.errors import BundleError

__all__ = ["MOST_VALUES", "check_sizes"]

MOST_VALUES = 1 << 28
"""Most values that constant shapes may add up to: a gibibyte of float32."""

_MOST_TIMES = 1 << 16  # by which an operator enlarges its input, and a side or a stride
# The inputs that decide the size of the output.
_SIZE_INPUTS: Mapping[str, tuple[int, ...]] = {
    "CenterCropPad": (1,),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "Tile": (1,),
    "Upsample": (1,),
}
_SHAPES = frozenset({"CenterCropPad", "ConstantOfShape", "Expand"})
_SIZE_ATTRIBUTES = frozenset(
    {"dilations", "kernel_shape", "output_padding", "output_shape", "pads", "strides"}
)
_ONLY_SHAPE = frozenset({"Shape", "Size"})  # of their input they use the shape, not the values


def check_sizes(found: Structure) -> None:
    """Raise a BundleError if constants decide large sizes, or the values of the image decide any.

    The nodes must be sorted, each after those that compute its inputs, so that there is no cycle.
    """
    constants = {one.name: one for one in found.constants if one.name}
    known = {"", *found.inputs, *constants}
    varying = {name for name in found.inputs if name not in constants}
    total = 0
    for operator in found.operators:
        _check_order(operator, known)
        _check_attributes(operator)
        used = operator.inputs
        deciding = _SIZE_INPUTS.get(operator.kind, ())
        if any(used[at] in varying for at in deciding if at < len(used)):
            raise _wrong(operator, "decides a size by the values of the image", "a computed size")
        if operator.kind not in _ONLY_SHAPE and not varying.isdisjoint(used):
            varying.update(operator.outputs)
        known.update(operator.outputs)
        if operator.kind == "Constant" and operator.outputs:
            for constant in operator.constants:
                constants[operator.outputs[0]] = constant
        numbers = [_numbers(constants, used[at]) if at < len(used) else None for at in deciding]
        total += _decided_values(operator, numbers)
    if total > MOST_VALUES:
        raise BundleError(
            "the constant shapes of an ONNX graph are too large",
            received=f"{total:,} values (at most {MOST_VALUES:,})",
            remedy="export the network for a smaller image",
        )


def _numbers(constants: Mapping[str, Constant], name: str) -> list[float] | None:
    constant = constants.get(name)
    return None if constant is None else constant.numbers()


def _decided_values(operator: Operator, numbers: list[list[float] | None]) -> int:
    """Return how many values constants give the output; refuse a size that is too large."""
    kind, sizes = operator.kind, numbers[-1] if numbers else None
    if kind in _SHAPES and sizes is not None:
        return _product(operator, sizes)
    if kind == "Resize" and sizes:
        return _product(operator, sizes[1:])  # the first is the number of images
    if kind == "Range" and all(one is not None and len(one) == 1 for one in numbers):
        start, limit, step = (one[0] for one in numbers if one)
        count = (limit - start) / step if step else math.inf
        return _product(operator, [count])
    if kind in ("Resize", "Upsample", "Tile") and numbers[0]:
        _product(operator, numbers[0], _MOST_TIMES)
    elif kind in ("Pad", "OneHot") and sizes:
        for one in sizes:
            _product(operator, [one], _MOST_TIMES)
    return 0


def _product(operator: Operator, sizes: list[float], most: int = MOST_VALUES) -> int:
    values = 1.0
    for size in sizes:
        values *= max(size, 1.0)
        if not values <= most:  # also where it is NaN
            raise _wrong(
                operator, "decides a size that is too large", f"{sizes} (at most {most:,})"
            )
    return int(values)


def _check_order(operator: Operator, known: set[str]) -> None:
    for name in operator.inputs:
        if name not in known:
            raise _wrong(operator, "uses a value before it is computed", printable(name))


def _check_attributes(operator: Operator) -> None:
    for name in _SIZE_ATTRIBUTES & operator.integers.keys():
        numbers = operator.integers[name]
        if any(abs(one) > _MOST_TIMES for one in numbers):
            raise _wrong(operator, "decides a size that is too large", f"{name} {numbers[:8]}")


def _wrong(operator: Operator, what: str, received: str) -> BundleError:
    return BundleError(
        f"a node of the ONNX graph {what}",
        received=f"{printable(operator.kind)}: {printable(received)}",
        remedy="export the network again, for one image size and in inference mode",
    )

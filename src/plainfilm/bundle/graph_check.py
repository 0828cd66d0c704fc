"""Checks that an ONNX graph is safe to load: bounded, complete, and of standard operators."""

from __future__ import annotations

from collections import Counter

from plainfilm._text import printable
from plainfilm.bundle.graph_sizes import check_sizes
from plainfilm.bundle.onnx_file import Constant, Operator, Structure, read_structure
from plainfilm.bundle.operators import LEARN, STANDARD
from plainfilm.errors import BundleError

__all__ = ["MOST_BYTES", "MOST_NODES", "check_graph"]

MOST_BYTES = 1 << 30
"""Largest size of an ONNX file."""

MOST_NODES = 50_000
"""Largest number of nodes of a graph."""

_OPERATORS = {"": STANDARD, "ai.onnx": STANDARD, "ai.onnx.ml": LEARN}
_OLDEST = 7  # opset: operators of older ones mean other things
_VALUES_PER_BYTE = 2  # the smallest types of ONNX have four bits


def check_graph(data: bytes) -> Structure:
    """Raise a BundleError unless a graph is safe to load; return its structure.

    A graph is refused that is larger than `MOST_BYTES`, has more than `MOST_NODES` nodes, stores
    weights outside the file, contains other graphs (If, Loop and Scan: a loop may never end), has
    operators that are not in `plainfilm.bundle.operators`, or decides sizes as `check_sizes`
    refuses it. What the operators compute is not bounded: `plainfilm.trial` runs the graph.
    """
    if len(data) > MOST_BYTES:
        raise BundleError(
            f"an ONNX graph may have at most {MOST_BYTES >> 20:,} MiB",
            received=f"{len(data) >> 20:,} MiB",
            remedy="export the network with weights of 16 bits",
        )
    found = read_structure(data)
    if len(found.operators) > MOST_NODES:
        raise BundleError(
            f"an ONNX graph may have at most {MOST_NODES:,} nodes",
            received=f"{len(found.operators):,} nodes",
            remedy="export the network in inference mode, without loops that are unrolled",
        )
    if found.functions or found.sparse:
        raise BundleError(
            "an ONNX graph must not have functions or sparse constants",
            received=f"{found.functions} functions, {found.sparse} sparse constants",
            remedy="export the network with standard operators and dense weights",
        )
    _check_operators(found.operators)
    version = max((found.opsets.get(domain, 0) for domain in ("", "ai.onnx")), default=0)
    if version < _OLDEST:
        raise BundleError(
            f"an ONNX graph must have operators of version {_OLDEST} (opset) or newer",
            received=f"opset {version}" if version else "no opset",
            remedy="export the network with opset_version=17",
        )
    for constant in found.constants:
        _check_constant(constant)
    check_sizes(found)
    return found


def _check_operators(operators: list[Operator]) -> None:
    nested = Counter(one.kind for one in operators if one.has_graph)
    if nested:
        raise BundleError(
            "an ONNX graph must not contain loops or branches",
            received=_counted(nested),
            remedy="export the network for one image size, with torch.onnx.export or Keras' export",
        )
    custom = Counter(f"{o.domain}.{o.kind}" for o in operators if o.domain not in _OPERATORS)
    if custom:
        raise BundleError(
            "an ONNX graph must have standard operators only",
            received=_counted(custom),
            remedy="export the network without custom operators, and before any optimisation "
            "for one machine",
        )
    other = Counter(o.kind for o in operators if o.kind not in _OPERATORS[o.domain])
    if other:
        raise BundleError(
            "an ONNX graph must have only operators of image classifiers in inference",
            received=_counted(other),
            remedy="export the network in inference mode, without operators for random numbers, "
            "text, sequences or training",
        )


def _check_constant(constant: Constant) -> None:
    if constant.external:
        raise BundleError(
            "an ONNX graph must not have weights in other files",
            received=f"external data of the constant {printable(constant.name)!r}",
            remedy="export one file, with external_data=False in PyTorch, or use onnx.save_model "
            "with save_as_external_data=False",
        )
    stored = len(constant.content)
    if constant.values > _VALUES_PER_BYTE * stored:
        raise BundleError(
            "a constant of the ONNX graph has fewer values than its shape declares",
            received=f"{printable(constant.name)!r}: {constant.values:,} values in "
            f"{stored:,} bytes",
            remedy="export the network again; the file is damaged",
        )


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} x {printable(kind)!r}" for kind, number in kinds.most_common(5))

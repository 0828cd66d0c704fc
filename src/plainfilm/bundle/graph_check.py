"""Checks that an ONNX graph is safe to load: bounded, complete, and of standard operators."""

from __future__ import annotations

from collections import Counter

from plainfilm.bundle.onnx_file import Constant, Operator, Structure, read_structure
from plainfilm.errors import BundleError

__all__ = ["MOST_BYTES", "MOST_NODES", "check_graph"]

MOST_BYTES = 1 << 30
"""Largest size of an ONNX file."""

MOST_NODES = 50_000
"""Largest number of nodes of a graph."""

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Domains whose operators every ONNX Runtime has."""

_VALUES_PER_BYTE = 2  # the smallest types of ONNX have four bits


def check_graph(data: bytes) -> Structure:
    """Raise a BundleError unless a graph is safe to load; return its structure.

    A graph is refused that is larger than `MOST_BYTES`, has more than `MOST_NODES` nodes, stores
    weights outside the file, contains other graphs (If, Loop and Scan: a loop may never end), or
    has operators outside the `STANDARD_DOMAINS`.
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
    for constant in found.constants:
        _check_constant(constant)
    return found


def _check_operators(operators: list[Operator]) -> None:
    nested = Counter(one.kind for one in operators if one.has_graph)
    if nested:
        raise BundleError(
            "an ONNX graph must not contain loops or branches",
            received=_counted(nested),
            remedy="export the network for one image size, with torch.onnx.export or Keras' export",
        )
    custom = Counter(f"{o.domain}.{o.kind}" for o in operators if o.domain not in STANDARD_DOMAINS)
    if custom:
        raise BundleError(
            "an ONNX graph must have standard operators only",
            received=_counted(custom),
            remedy="export the network without custom operators, and before any optimisation "
            "for one machine",
        )


def _check_constant(constant: Constant) -> None:
    if constant.external:
        raise BundleError(
            "an ONNX graph must not have weights in other files",
            received=f"external data of the constant {constant.name!r}",
            remedy="export one file, with external_data=False in PyTorch, or use onnx.save_model "
            "with save_as_external_data=False",
        )
    if constant.values > _VALUES_PER_BYTE * constant.stored:
        raise BundleError(
            "a constant of the ONNX graph has fewer values than its shape declares",
            received=f"{constant.name!r}: {constant.values:,} values in {constant.stored:,} bytes",
            remedy="export the network again; the file is damaged",
        )


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} x {kind!r}" for kind, number in kinds.most_common(5))

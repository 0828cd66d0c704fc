"""Runs a graph with ONNX Runtime."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import memory_bytes
from plainfilm._text import printable
from plainfilm.bundle.graph_check import check_graph
from plainfilm.errors import BundleError

__all__ = ["NetworkSession", "import_onnxruntime"]

_CHUNK = 64  # images in a run of the graph: enough to keep all cores busy, with little memory
_FOLDED = 1 << 26  # bytes of a value that is computed when a graph is loaded
_MEMORY_SHARE = 0.75  # of the machine, for all graphs of a process

Array = NDArray[Any]
Shape = Sequence[int | str | None]


class NetworkSession:
    """A loaded ONNX graph.

    Parameters
    ----------
    graph
        The content of an ONNX file.
    threads
        Number of threads that compute; 0 uses one for each core.

    Attributes
    ----------
    inputs, outputs
        Shape of each input and output; an unknown side is a name or None.

    Raises
    ------
    BundleError
        If the graph is not safe to load, or ONNX Runtime cannot load it.
    """

    def __init__(self, graph: bytes, threads: int = 0) -> None:
        check_graph(graph)
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised
        # A thread that waits must not keep a core busy that others decode on.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(
            "optimization.constant_folding_max_output_size_in_bytes", str(_FOLDED)
        )
        if _limit_memory():
            options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the exceptions of ONNX Runtime have no public base class
            raise BundleError(
                "ONNX Runtime refuses the graph", received=printable(str(error))
            ) from error
        self.inputs: Mapping[str, Shape] = {o.name: o.shape for o in self._session.get_inputs()}
        self.outputs: Mapping[str, Shape] = {o.name: o.shape for o in self._session.get_outputs()}

    @property
    def batch(self) -> int | None:
        """Return the number of images that the graph takes in a run, None for any number."""
        first = next(iter(self.inputs.values()))
        return first[0] if first and isinstance(first[0], int) else None

    def run(self, outputs: Sequence[str], images: Array) -> list[Array]:
        """Return outputs for images (n, ...), the first input of the graph.

        A graph for a fixed number of images runs as often as needed; the last run is filled up
        with copies. Raises a BundleError if a run fails.
        """
        name, shape = next(iter(self.inputs.items()))
        if len(images) == 0:
            return [_empty(self.outputs[one]) for one in outputs]
        step = self.batch or _CHUNK
        parts: list[list[Array]] = []
        for start in range(0, len(images), step):
            some = images[start : start + step]
            count = len(some)
            if self.batch is not None and count < step:
                some = np.concatenate([some, np.repeat(some[-1:], step - count, axis=0)])
            try:
                found = self._session.run([*outputs], {name: some})
            except Exception as error:  # the exceptions of ONNX Runtime have no public base class
                raise BundleError(
                    "the ONNX graph fails on an image",
                    received=f"{some.dtype} of shape {some.shape}, the graph: {list(shape)}; "
                    + printable(str(error)),
                ) from error
            shapes = [getattr(one, "shape", ()) for one in found]  # a sequence or map has none
            earlier = [one.shape[1:] for one in parts[0]] if parts else [s[1:] for s in shapes]
            if any(s[:1] != (len(some),) for s in shapes) or [s[1:] for s in shapes] != earlier:
                raise BundleError(
                    "the ONNX graph does not return one row for each image",
                    received=f"outputs {', '.join(map(str, shapes))} for {len(some)} images",
                )
            parts.append([one[:count] for one in found])
        return [np.concatenate(part) for part in zip(*parts, strict=True)]


@functools.cache
def _limit_memory() -> bool:
    """Let all graphs of this process use a share of the memory; return whether that is possible.

    A graph that needs more fails with an error, instead of the machine.
    """
    total = memory_bytes()
    if total is None:
        return False
    onnxruntime = import_onnxruntime()
    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    cpu = onnxruntime.OrtMemoryInfo("Cpu", arena, 0, onnxruntime.OrtMemType.DEFAULT)
    limits = onnxruntime.OrtArenaCfg({"max_mem": int(_MEMORY_SHARE * total)})
    try:
        onnxruntime.create_and_register_allocator(cpu, limits)
    except Exception:  # the program that uses plainfilm has registered its own
        return False
    return True


def import_onnxruntime() -> Any:
    """Import ONNX Runtime without its reports to its maker."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _empty(shape: Shape) -> Array:
    sides = (side if isinstance(side, int) else 1 for side in shape[1:])
    return np.empty((0, *sides), np.float32)

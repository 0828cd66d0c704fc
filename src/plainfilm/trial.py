"""Tries a bundle in a process with limits, before a service or an import accepts it.

A graph that is safe to load may still take all memory, never end, crash the process that runs it,
or return values that are no probabilities.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.bundle import Bundle, BundleMetadata
from plainfilm.decoding.sandbox import (
    decoder_environment,
    open_output,
    restrict_process,
    start_command,
)
from plainfilm.errors import BundleError, PlainfilmError
from plainfilm.network_session import import_onnxruntime
from plainfilm.runtime import Predictor

__all__ = ["TRIAL", "TrialLimits", "stop_trials", "try_bundle"]

_BATCH = 16  # images in a run of a service
_QUICK = 2.0  # seconds for two images, above which no larger batch is tried
_REMEDY = "use another bundle, or check how its network was exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLimits:
    """Limits of a trial: bytes of memory, in addition to four times the graph, and seconds."""

    memory: int = 4 << 30
    seconds: float = 60.0


TRIAL = TrialLimits()
_passed: set[str] = set()  # ids, which stand for all content of a bundle
_running: set[subprocess.Popen[bytes]] = set()


def try_bundle(bundle: Bundle, limits: TrialLimits = TRIAL) -> None:
    """Predict on a black image and on one of noise, then on a batch if that is quick.

    This takes about half a second, once for each content of a bundle. On Windows and macOS memory
    is not limited.

    Raises
    ------
    BundleError
        If the network needs more memory or time than the limits, crashes, or does not return
        finite values of the right shapes.
    """
    if bundle.id in _passed:
        return
    graph = bundle.read_graph()
    memory = limits.memory + 4 * len(graph)
    order = {
        "metadata": bundle.to_json(),
        "folder": str(bundle.folder),
        "graph": len(graph),
        "memory": memory,
        "seconds": limits.seconds,
    }
    lines = f"{json.dumps(sys.path)}\n{json.dumps(order)}\n".encode()
    where = f"the bundle {bundle.folder} does not pass its trial"
    try:
        output, status = _communicate(lines + graph, limits.seconds)
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"{where}: it takes too long",
            received=f"no result after {limits.seconds:g} s",
            remedy=_REMEDY,
        ) from error
    try:
        reply = json.loads(output)
        problem, received = reply.get("problem"), reply.get("received")
    except (ValueError, AttributeError) as error:
        raise BundleError(
            f"{where}: the process that runs it ended",
            received=f"exit status {status}, limit of memory {memory >> 20:,} MiB",
            remedy=_REMEDY,
        ) from error
    if problem:
        raise BundleError(f"{where}: {problem}", received=received or None, remedy=_REMEDY)
    _passed.add(bundle.id)


def stop_trials() -> None:
    """Let the trials that other threads wait for end at once, without success."""
    for process in [*_running]:
        process.kill()


def _communicate(request: bytes, seconds: float) -> tuple[bytes, int]:
    """Return the reply to a request, and the exit status of the process that gave it."""
    process = subprocess.Popen(
        start_command("plainfilm.trial"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=decoder_environment(),
    )
    with process:
        _running.add(process)
        try:
            output, _ = process.communicate(request, seconds)
        finally:
            process.kill()
            _running.discard(process)
    return output, process.returncode


def serve() -> None:
    """Try the bundle that standard input describes, and write a line of JSON."""
    output, requests = open_output(), sys.stdin.buffer
    order = json.loads(requests.readline())
    graph = requests.read(order["graph"])
    import_onnxruntime()  # before memory is limited
    restrict_process(order["memory"], sealed=True)
    with contextlib.suppress(AttributeError):  # this process outlives no parent for long
        signal.alarm(int(order["seconds"]) + 10)
    try:
        _run(order, graph)
        reply = {}
    except PlainfilmError as error:
        reply = {"problem": error.problem, "received": str(error.received or "")}
    except MemoryError:
        reply = {"problem": f"it needs more memory than {order['memory'] >> 20:,} MiB"}
    except Exception as error:
        reply = {"problem": f"it fails with {type(error).__name__}"}
    output.write(json.dumps(reply).encode())
    output.flush()


def _run(order: dict[str, Any], graph: bytes) -> None:
    metadata = BundleMetadata.from_json(order["metadata"], "the metadata")
    predictor = Predictor(Bundle.join(metadata, Path(order["folder"]), graph), threads=1)
    size = metadata.pixels.size
    noise = np.random.default_rng(0).integers(0, 256, (_BATCH, size, size), np.uint8)
    noise[0] = 0
    began = time.monotonic()
    _check(predictor, noise[:2])
    if time.monotonic() - began < _QUICK:
        _check(predictor, noise)


def _check(predictor: Predictor, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Call what a service calls; each raises a BundleError if values are not usable."""
    predictor.probabilities_and_novelty(pixels)
    predictor.logits(pixels)
    predictor.activation_maps(pixels)
    for prediction in predictor.predict_pixels(pixels, [{}] * len(pixels)):
        if prediction.is_unreadable:
            raise BundleError(prediction.problem or "the network returned no prediction")

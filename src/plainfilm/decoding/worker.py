"""The main loop of a decoding process: reads requests, decodes, writes outcomes.

A request is a line of JSON, ``{"spec": {...}, "display": null, "files": [path or byte count,
...]}``, followed by the bytes of the files that are not paths. The reply is a line of JSON with the
outcome of one or more files, in order, followed by the pixels of each that became an image,
and its copy for display.
A process starts sooner because it imports only this package and :mod:`plainfilm.pixels`.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial, reduce
from typing import Any, BinaryIO

import numpy as np

from plainfilm.decoding.decode import Decoded, Failure, decode_one
from plainfilm.decoding.sandbox import open_output, restrict_process
from plainfilm.pixels import LIMITS, Limits
from plainfilm.pixels.display import encode_png
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.records import PixelSpec

_PATIENCE = 0.005  # seconds after which the outcomes so far are written


def serve() -> None:
    """Decode what standard input requests until it ends."""
    output, requests = open_output(), sys.stdin.buffer
    # A signal to the whole process group must not lose the files that the parent waits for.
    # This process ends when the parent closes its input.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    order = json.loads(requests.readline())
    module, _, name = order["reader"].partition(":")
    reader: Any = reduce(getattr, name.split("."), importlib.import_module(module))
    limits = LIMITS
    if order["limits"] is not None:
        limits = Limits(**order["limits"])
        reader = partial(reader, limits=limits)
    decode = partial(decode_one, reader, limits=limits)
    if order["sealed"]:  # now, while there is time and no limit
        importlib.import_module("plainfilm.pixels.dicom")
        png = encode_png(np.zeros((8, 8), np.uint8))
        decode(PixelSpec(8), png, np.empty((8, 8), np.uint8), display="png")
    restrict_process(order["memory"], order["sealed"])
    output.write(b"ready\n")
    output.flush()
    with ISOLATION:  # once for all files: it takes a tenth of the time of a small one
        while line := requests.readline():
            request = json.loads(line)
            spec, display = PixelSpec(**request["spec"]), request["display"]
            files = [
                file if isinstance(file, str) else requests.read(file) for file in request["files"]
            ]
            out = np.empty((len(files), spec.size, spec.size), dtype=np.uint8)
            outcomes: list[Decoded | Failure] = []
            began = time.monotonic()
            for source, row in zip(files, out, strict=True):
                if outcomes and time.monotonic() - began > _PATIENCE:
                    _write(output, outcomes)
                    began, outcomes = time.monotonic(), []
                outcomes.append(decode(spec, source, row, display=display))
            _write(output, outcomes)


def _write(output: BinaryIO, outcomes: Sequence[Decoded | Failure]) -> None:
    lines: list[dict[str, Any]] = []
    chunks: list[bytes | memoryview] = []
    for one in outcomes:
        if isinstance(one, Failure):
            lines.append(asdict(one))
        else:
            size = len(one.display)
            fields = {"metadata": one.metadata, "region": one.region, "sha256": one.sha256}
            lines.append({**fields, "display": size})
            chunks += [one.pixels.data, one.display]
    output.writelines([json.dumps(lines).encode() + b"\n", *chunks])
    output.flush()

"""The life of a decoding process that :class:`plainfilm.decoding.pool.Decoders` starts.

It imports this room and what that needs, and nothing of the rest: it is up sooner.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Sequence
from functools import reduce
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from plainfilm.decoding.decode import Decoded, Failure, Reader, decode_one
from plainfilm.decoding.sandbox import cap_memory, open_output
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.records import PixelSpec

__all__ = ["serve"]

_SOON = 0.05  # seconds after which it tells what it has


def serve() -> None:
    """Decode what standard input asks for until it ends: the life of a worker."""
    answers = open_output()
    order = json.loads(sys.stdin.buffer.readline())
    module, _, name = order["reader"].partition(":")
    reader: Reader = reduce(getattr, name.split("."), importlib.import_module(module))  # type: ignore[assignment]
    spec = PixelSpec(**order["spec"])
    out = np.empty((order["together"], spec.size, spec.size), dtype=np.uint8)
    if order["memory"] is not None:
        cap_memory(order["memory"])
    answers.write(b"ready\n")
    answers.flush()
    with ISOLATION:  # once for all files: for a small one it takes a tenth of its decoding
        for line in sys.stdin.buffer:
            told = time.monotonic()
            outcomes: list[Decoded | Failure] = []
            for path in json.loads(line):
                if outcomes and time.monotonic() - told > _SOON:
                    _tell(answers, outcomes, out)
                    told, outcomes = time.monotonic(), []
                outcomes.append(decode_one(reader, spec, path, out[len(outcomes)]))
            _tell(answers, outcomes, out)


def _tell(answers: BinaryIO, outcomes: Sequence[Decoded | Failure], out: NDArray[np.uint8]) -> None:
    """Write what became of some files, the pixels of which lie in the first rows of ``out``."""
    told = [
        {"metadata": one.metadata}
        if isinstance(one, Decoded)
        else {"reason": one.reason, "problem": one.problem}
        for one in outcomes
    ]
    answers.write(json.dumps(told).encode() + b"\n")
    for one, pixels in zip(outcomes, out, strict=False):
        if isinstance(one, Decoded):
            answers.write(pixels.data)
    answers.flush()

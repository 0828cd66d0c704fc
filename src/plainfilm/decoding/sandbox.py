"""What goes on inside a decoding process: its caps, and one file decoded whatever it holds.

A process caps its own memory once it has loaded its code, and a decoder's failure is an answer: the
process lives on. Who starts such processes, hands files to them and watches their time is
:mod:`plainfilm.decoding.pool` for a data set and :mod:`plainfilm.serve.workers` for a service.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import LIMITS, Limits
from plainfilm.records import PixelSpec

__all__ = [
    "MEMORY",
    "OF_DECODERS",
    "Decoded",
    "Failure",
    "Reader",
    "attempt",
    "cap_memory",
    "clean_metadata",
    "decode_one",
    "memory_cap",
    "open_answers",
    "reader_name",
    "start_command",
]

T = TypeVar("T")

OF_DECODERS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""Environment of a decoding process. One thread: there are as many processes as cores. And glibc
keeps the memory of one file's pixels for the next, rather than giving it back and having every page
of it cleared anew, which takes as long as decoding an uncompressed radiograph."""


class ReadImage(Protocol):
    """What is used of :class:`plainfilm.pixels.Image`."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Grey values, (size, size)."""

    @property
    def metadata(self) -> Mapping[str, str | float]:
        """What the file says about itself."""


Reader = Callable[[str, PixelSpec], ReadImage]
"""A function like :func:`plainfilm.pixels.read_image`."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The metadata of a file that became an image."""

    metadata: dict[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file did not become an image: a stable code and a sentence."""

    reason: str
    problem: str


def decode_one(
    reader: Reader, spec: PixelSpec, path: str, out: NDArray[np.uint8]
) -> Decoded | Failure:
    """Decode ``path`` into ``out``, (size, size); every failure is an answer, not an error."""

    def read() -> Decoded:
        image = reader(path, spec)
        out[...] = image.pixels
        return Decoded(clean_metadata(image.metadata))

    return attempt(read)


def attempt(read: Callable[[], T]) -> T | Failure:
    """Return what ``read`` returns, or why it failed; no file may end the process by an error."""
    try:
        return read()
    except ImageError as error:
        return Failure(error.reason, error.problem)
    except MemoryError:
        return Failure("out-of-memory", "there was not enough memory to decode the file")
    except Exception as error:  # a defect of a decoder must cost one file, not the run
        # The type alone: its words may quote the file.
        return Failure("decoder-failed", f"the decoder failed: {type(error).__name__}")


def clean_metadata(metadata: Mapping[str, Any]) -> dict[str, str | float]:
    """Keep what JSON can hold."""
    clean: dict[str, str | float] = {}
    for name, value in metadata.items():
        if isinstance(value, str):
            clean[name] = value
        elif math.isfinite(value):
            clean[name] = int(value) if value == int(value) and abs(value) < 2**53 else float(value)
    return clean


def reader_name(reader: Reader) -> str | None:
    """Return ``module:name`` if another process can import ``reader`` by it, else None."""
    module = getattr(reader, "__module__", "__main__")
    name = getattr(reader, "__qualname__", "<")
    if module == "__main__" or "<" in name:
        return None
    return f"{module}:{name}"


def memory_cap(limits: Limits = LIMITS) -> int:
    """Return how many bytes a worker may take for its files, beyond what its code takes.

    The file and what it inflates to, 48 bytes for every pixel (a DICOM picture of 32 bits takes 42
    in all, one of 16 bits 13), and 1 GiB for what libraries map: 6.9 GB with the default limits.
    """
    return 2 * limits.bytes + 48 * limits.pixels + (1 << 30)


MEMORY = memory_cap()
"""Bytes that a worker may take where nothing else is asked for."""


def cap_memory(count: int) -> None:
    """Let this process take ``count`` more bytes of address space and no more."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        cap = pages * resource.getpagesize() + count
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or hard > cap:
            resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    except (ImportError, OSError, ValueError):  # a system without such a limit, or without /proc
        return


def start_command(module: str) -> list[str]:
    """Return the command of a process that runs ``serve()`` of a module.

    Its first line of input must be our ``sys.path`` as JSON: it shall find the code that we run.
    """
    code = (
        "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
        f"from {module} import serve; serve()"
    )
    return [sys.executable, "-c", code]


def open_answers() -> BinaryIO:
    """Return the stream of answers of this process, which nothing else can write to from now on."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # A decoder that prints must not write between our answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers

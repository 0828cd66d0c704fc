"""What goes on inside a decoding process: its caps, and one file decoded whatever it holds.

A process caps its own memory once it has loaded its code, and a decoder's failure is an answer: the
process lives on. Who starts such processes, hands files to them and watches their time is
:mod:`plainfilm.decoding.pool` for a data set and :mod:`plainfilm.serve.workers` for a service.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from plainfilm.pixels.limits import LIMITS, Limits

__all__ = ["ENVIRONMENT", "MEMORY", "cap_memory", "memory_cap", "open_output", "start_command"]

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""Environment of a decoding process. One thread: there are as many processes as cores. And glibc
keeps the memory of one file's pixels for the next, rather than giving it back and having every page
of it cleared anew, which takes as long as decoding an uncompressed radiograph."""


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


def open_output() -> BinaryIO:
    """Return the stream of answers of this process, which nothing else can write to from now on."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # A decoder that prints must not write between our answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers

"""Limits of a decoding process, and how it is started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from plainfilm.pixels.limits import LIMITS, Limits

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""Environment variables of a decoding process. It has one thread, since there are as many processes
as cores. glibc keeps the memory of one image for the next: otherwise the system clears every page
again, which takes as long as decoding an uncompressed radiograph."""

_SECRETS = frozenset({"PLAINFILM_TOKEN", "PLAINFILM_SALT"})
_CREDENTIALS = ("AWS_", "AZURE_", "GOOGLE_", "RAY_")


def memory_cap(limits: Limits = LIMITS) -> int:
    """Return the bytes of memory that decoding may take, in addition to the code.

    The sum of twice the size of the file (the file and what it inflates to), 48 bytes for each
    pixel (a DICOM image of 32 bits takes 42, one of 16 bits 13) and 1 GiB that libraries map.
    With the default limits that is 6.9 GB.
    """
    return 2 * limits.bytes + 48 * limits.pixels + (1 << 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Limits of a decoding process."""

    limits: Limits | None = None
    """Limits that the reader is called with (``limits=...``); None calls it without."""
    memory: int | None = memory_cap()
    """Bytes of address space in addition to the code, where the system has such a limit
    (``RLIMIT_AS``; Windows and macOS have none); None sets no limit. A file that needs more fails
    alone with the reason ``out-of-memory``, or ``decoder-died`` if a library cannot handle that."""
    seconds: float | None = 120.0
    """Time for one file; None sets no limit. A process that takes longer is killed, and the file
    has the reason ``decoder-timeout``. The largest radiographs take a few seconds."""
    sealed: bool = False
    """Whether a new process loads every library before its first file, and cannot write to any
    file afterwards."""


def restrict_process(memory: int | None, sealed: bool) -> None:
    """Let this process dump no core, take ``memory`` more bytes, and if sealed write no file."""
    try:
        import resource
    except ImportError:  # Windows, and Pythons that are built without it
        return
    caps = {resource.RLIMIT_CORE: 0}
    if sealed:
        caps[resource.RLIMIT_FSIZE] = 0
    if memory is not None:
        with contextlib.suppress(OSError, ValueError):  # no /proc
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            caps[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
    for kind, cap in caps.items():
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(kind)
            if hard == resource.RLIM_INFINITY or hard > cap:
                resource.setrlimit(kind, (cap, cap))


def decoder_environment() -> dict[str, str]:
    """Return the environment of a decoding process, without secrets and credentials."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _SECRETS and not name.startswith(_CREDENTIALS)
    }
    return kept | ENVIRONMENT


def start_command(module: str) -> list[str]:
    """Return the command of a process that runs ``serve()`` of a module.

    The first line of its input must be ``sys.path`` as JSON, so that it runs the same code.
    """
    code = (
        "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
        f"from {module} import serve; serve()"
    )
    return [sys.executable, "-c", code]


def open_output() -> BinaryIO:
    """Return standard output as a stream that nothing else in this process writes to."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # A library that prints must not write between the messages.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output

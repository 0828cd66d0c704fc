"""Reads properties of this machine and versions of installed packages."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return the memory of the machine in bytes, or of this container if that is less."""
    total = None
    with contextlib.suppress(ValueError, OSError, AttributeError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(ValueError, OSError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        total = min(limit, total or limit)
    return total


def processor() -> str:
    """Return the name of the processor, or of its architecture if the name is unknown."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine without its name and user; ``memory_gib`` is None where it is unknown."""

    system: str
    processor: str
    cores: int
    memory_gib: float | None
    python: str


def describe_machine() -> Machine:
    """Return what this machine is."""
    memory = memory_bytes()
    return Machine(
        system=platform.system(),
        processor=processor(),
        cores=cores(),
        memory_gib=None if memory is None else round(memory / 2**30, 1),
        python=platform.python_version(),
    )


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found

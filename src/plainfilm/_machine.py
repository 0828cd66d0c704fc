"""Reads properties of this machine and versions of installed packages."""

from __future__ import annotations

import contextlib
import gc
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_RARELY = (100_000, 50, 100)
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


@contextlib.contextmanager
def rare_collection() -> Iterator[None]:
    """Let the garbage collector run rarely while millions of objects without cycles are made.

    It would look at all of them again and again, which takes a third of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(*map(max, _RARELY, before) if before[0] else before)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def cores() -> int:
    """Return how many cores this process may use: its affinity and the quota of its container."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quotas = [words.split() for words in _cgroup_values("cpu", "cpu.max")]  # version 2
    for folder in _cgroup_folders("cpu"):  # version 1
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        with contextlib.suppress(OSError):
            quotas.append([(folder / name).read_text(encoding="ascii").strip() for name in names])
    for quota in quotas:
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max" is no limit, nor is -1
            share, period = map(int, quota)
            if share > 0:
                count = min(count, math.ceil(share / period))
    return max(1, count)


def memory_bytes() -> int | None:
    """Return the memory of the machine in bytes, or of this container if that is less."""
    total = None
    with contextlib.suppress(ValueError, OSError, AttributeError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory.limit_in_bytes"):  # of version 2 and 1
        for text in _cgroup_values("memory", name):
            with contextlib.suppress(ValueError):  # "max" is no limit
                total = min(int(text), total or int(text))
    return total


def resident_bytes(*pids: int) -> int | None:
    """Return the resident memory of processes, by default of this one; None where it is unknown."""
    if not Path("/proc/self/statm").exists():
        return None
    pages = 0
    for pid in pids or ("self",):
        with contextlib.suppress(OSError):  # it has ended
            pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cgroup_values(controller: str, name: str) -> Iterator[str]:
    """Yield the content of a file of each control group that this process is in."""
    for folder in _cgroup_folders(controller):
        with contextlib.suppress(OSError):
            yield (folder / name).read_text(encoding="ascii").strip()


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, with all that contain them.

    Each of them may have a limit. In a container the path may be that of the host, which does not
    exist here; then the top folder is that of the container.
    """
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            top = _CGROUPS
        elif controller in controllers.split(","):
            top = _CGROUPS / controller
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))
        yield from (top / parent for parent in (own, *own.parents))


def processor() -> str:
    """Return the name of the processor, or of its architecture if the name is unknown."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    import platform

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
    import platform  # a slow import that predictions do not need

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
    import importlib.metadata  # a slow import that predictions do not need

    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found

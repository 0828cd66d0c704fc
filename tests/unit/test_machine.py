"""Cores and memory respect the limits of control groups, version 1 and 2."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from plainfilm import _machine


def place(
    monkeypatch: pytest.MonkeyPatch, top: Path, own: str, files: dict[str, str], cores: int = 8
) -> None:
    """Write the files of control groups, and put this process in one of them."""
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text + "\n")
    (top / "own").write_text(own + "\n")
    monkeypatch.setattr(_machine, "_CGROUPS", top)
    monkeypatch.setattr(_machine, "_OWN_CGROUP", top / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)],
)
def test_cores_of_version_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: int
) -> None:
    place(monkeypatch, tmp_path, "0::/", {"cpu.max": text})
    assert _machine.cores() == cores


def test_the_smallest_limit_of_nested_groups_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}
    files |= {"a/memory.max": "1000", "a/b/memory.max": "4000"}
    place(monkeypatch, tmp_path, "0::/a/b", files)
    assert _machine.cores() == 3 and _machine.memory_bytes() == 1000


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("250000", 3), ("0", 8)])
def test_cores_of_version_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    files = {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000"}
    place(monkeypatch, tmp_path, "4:cpu,cpuacct:/host/path", files)
    assert _machine.cores() == cores


def test_memory_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, tmp_path, "9:memory:/docker/x", {"memory/memory.limit_in_bytes": "5000"})
    assert _machine.memory_bytes() == 5000


@pytest.mark.parametrize("own", ["", "0::/", "nonsense", "1:name=systemd:/"])
def test_without_limits_the_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    before = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    place(monkeypatch, tmp_path, own, {"memory.max": "max"}, cores=5)
    assert _machine.cores() == 5 and _machine.memory_bytes() == before
    monkeypatch.setattr(_machine, "_OWN_CGROUP", tmp_path / "absent")
    assert _machine.cores() == 5 and _machine.memory_bytes() == before


def test_the_garbage_collector_is_as_before_after_a_time_with_few_collections() -> None:
    before = gc.get_threshold()
    try:
        for given, expected in (((700, 10, 10), (100_000, 50, 100)), ((0, 10, 10), (0, 10, 10))):
            gc.set_threshold(*given)
            with pytest.raises(ZeroDivisionError), _machine.rare_collection():
                assert gc.get_threshold() == expected
                raise ZeroDivisionError
            assert gc.get_threshold() == given
    finally:
        gc.set_threshold(*before)

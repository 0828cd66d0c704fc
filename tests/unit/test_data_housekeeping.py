"""Size, pruning and clearing of the cache."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.cli.main import main
from plainfilm.data import fill_cache
from plainfilm.data.housekeeping import clear_cache, list_cache, prune_cache
from plainfilm.data.manifest import Manifest
from plainfilm.records import PixelSpec, Record, Task

Draw = Callable[[Path, float], Path]


@pytest.fixture
def manifest(tmp_path: Path, draw_grey: Draw) -> Manifest:
    paths = [draw_grey(tmp_path / "in" / f"{n}.png", 30 * n) for n in range(5)]
    for path in paths:  # a file that was just written is not indexed
        os.utime(path, (1e9, 1e9))
    records = tuple(
        Record(id=path.name, path=str(path), labels=(float(n % 2),), patient=path.name)
        for n, path in enumerate(paths)
    )
    return Manifest("drawn", Task("binary", ("b",), ("a", "b")), records)


@pytest.fixture
def cache(tmp_path: Path, manifest: Manifest) -> Path:
    folder = tmp_path / "cache"
    for size in (16, 32):
        fill_cache(manifest, PixelSpec(size), folder=folder)
    return folder


def make_older(folder: Path, days: float) -> None:
    then = time.time() - days * 24 * 3600
    for path in folder.iterdir():
        os.utime(path, (then, then))


def test_entries(cache: Path) -> None:
    entries = list_cache(cache)
    assert [(e.images, e.outdated) for e in entries if e.images] == [(5, False), (5, False)]
    assert sum(e.bytes for e in entries) == sum(
        path.stat().st_size for path in cache.rglob("*") if path.is_file()
    )
    assert "files" in {e.folder.name for e in entries}


def test_a_cache_that_does_not_exist(tmp_path: Path) -> None:
    assert list_cache(tmp_path / "none") == []
    assert clear_cache(tmp_path / "none") == prune_cache(tmp_path / "none") == 0


def test_pruning_keeps_what_is_current(cache: Path) -> None:
    before = list_cache(cache)
    assert prune_cache(cache) == 0
    assert list_cache(cache) == before


def test_pruning_removes_other_versions(cache: Path) -> None:
    current = next(e for e in list_cache(cache) if e.images)
    old = current.folder.rename(cache / f"{current.folder.name.rpartition('-v')[0]}-v0")
    assert {e.folder.name for e in list_cache(cache) if e.outdated} == {old.name}
    assert prune_cache(cache) == current.bytes
    assert not old.exists()


def test_pruning_removes_what_was_not_used(cache: Path, manifest: Manifest) -> None:
    for entry in list_cache(cache):
        make_older(entry.folder, 40)
    fill_cache(manifest, PixelSpec(16), folder=cache)  # a use counts, also without new images
    assert prune_cache(cache, days=30) > 0
    assert [e.folder.name.split("-")[0] for e in list_cache(cache) if e.images] == ["16"]
    assert len(fill_cache(manifest, PixelSpec(16), folder=cache)) == 5


def test_clearing_keeps_the_files_of_others(cache: Path) -> None:
    own = cache / "letters" / "letter.txt"
    own.parent.mkdir()
    own.write_text("x", encoding="utf-8")
    other = next(e for e in list_cache(cache) if e.images).folder / "notes.txt"
    other.write_text("x", encoding="utf-8")
    clear_cache(cache)
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted([own, other])


def test_the_verb(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--cache", str(cache)]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith(f"{cache}: 0.0 MB") and listed.count("5 images") == 2
    assert main(["cache", "size", "--cache", str(cache)]) == 0
    assert capsys.readouterr().out == f"{cache}: 0.0 MB\n"
    assert main(["cache", "clear", "--cache", str(cache)]) == 0
    assert capsys.readouterr().out.startswith("removed 0.0 MB")
    assert list_cache(cache) == []
    assert main(["cache", "clear", "--days", "3"]) == 2
    assert "--days is for prune" in capsys.readouterr().err

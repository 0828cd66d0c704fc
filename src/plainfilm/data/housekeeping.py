"""Measures and empties the cache of decoded images."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plainfilm.data.file_index import INDEX
from plainfilm.pixels import DECODER_VERSION

FEATURES = "features"
"""Name of the folder with the features of encoders."""
AUDIT = "audit"
"""Name of the folder with the evidence of audits that were made in parts, one folder each."""
_DAY = 24 * 3600.0
# Only folders and files of these names are counted and removed: a user may name any folder.
_ENTRY = re.compile(r"(?P<size>\d+)-(?:squash|pad|crop)\S*-v(?P<version>\d+)(?:-[0-9a-f]{8})?")
_FILE = re.compile(r"[0-9a-f]{32}\.(?:u8|json|npy)|[0-9a-f]{2}\.(?:bin|json)|\..*\.part")
_KEY = re.compile(r"[0-9a-f]{32}")
_EVIDENCE = re.compile(r"(?:audit|DONE|\d{5}-\d{5})\.json|\d{5}-[0-9a-f]+\.parquet|\..*\.part")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One folder of the cache: the images of one pixel spec, hashes, features, or evidence.

    Attributes
    ----------
    folder
        The folder.
    images
        Number of decoded images; 0 for hashes, features and evidence.
    bytes
        Size of its files.
    used
        Time of the last use, seconds since 1970.
    outdated
        Whether this version of plainfilm does not read it.
    """

    folder: Path
    images: int
    bytes: int
    used: float
    outdated: bool


def list_cache(folder: Path) -> list[CacheEntry]:
    """Return the entries of a cache folder, the largest first; none if it does not exist."""
    found = [_measure(entry, size, version) for entry, size, version in _entries(folder)]
    return sorted(found, key=lambda entry: -entry.bytes)


def prune_cache(folder: Path, *, days: float | None = None) -> int:
    """Remove what this version does not read and, optionally, what was not used recently.

    Parameters
    ----------
    folder
        The cache folder.
    days
        Also remove images that were not used for this many days.

    Returns
    -------
    int
        Number of bytes that were freed.
    """
    freed = 0
    for entry, _, version in _entries(folder):
        if version is not None and version != DECODER_VERSION:
            freed += _remove(_files(entry))
        elif days is not None:
            freed += _remove(_unused(entry, time.time() - days * _DAY))
        _remove_empty(entry)
    return freed


def clear_cache(folder: Path) -> int:
    """Remove everything that plainfilm wrote to a cache folder; return the bytes freed."""
    freed = 0
    for entry, _, _ in _entries(folder):
        freed += _remove(_files(entry))
        _remove_empty(entry)
    return freed


def _entries(folder: Path) -> Iterator[tuple[Path, int, int | None]]:
    """Yield each folder of the cache, its image size, and the version of the decoder."""
    if not folder.is_dir():
        return
    for entry in sorted(path for path in folder.iterdir() if path.is_dir()):
        if entry.name in (INDEX, FEATURES):
            yield entry, 0, None
        elif entry.name == AUDIT:
            parts = (path for path in sorted(entry.iterdir()) if _KEY.fullmatch(path.name))
            yield from ((path, 0, None) for path in parts)
        elif found := _ENTRY.fullmatch(entry.name):
            yield entry, int(found["size"]), int(found["version"])


def _measure(entry: Path, size: int, version: int | None) -> CacheEntry:
    sizes, times, images = [0], [0.0], 0
    for path in _files(entry):
        with contextlib.suppress(OSError):  # another process removed it
            status = path.stat()
            sizes.append(status.st_size)
            times.append(status.st_mtime)
            images += status.st_size // size**2 if path.suffix == ".u8" else 0
    outdated = version is not None and version != DECODER_VERSION
    return CacheEntry(entry, images, sum(sizes), max(times), outdated)


def _files(entry: Path) -> list[Path]:
    is_evidence = entry.parent.name == AUDIT
    paths, names = (entry.rglob("*"), _EVIDENCE) if is_evidence else (entry.iterdir(), _FILE)
    return [path for path in paths if names.fullmatch(path.name) and path.is_file()]


def _unused(entry: Path, since: float) -> list[Path]:
    """Return the files not used since a time; a shard is as recent as its JSON file."""
    if entry.parent.name == AUDIT:  # the evidence of a data set is used as a whole
        return _files(entry) if _measure(entry, 0, None).used < since else []
    old = []
    for path in _files(entry):
        index = path.with_suffix(".json")
        with contextlib.suppress(OSError):
            if (index if index.exists() else path).stat().st_mtime < since:
                old.append(path)
    return old


def _remove(paths: Iterable[Path]) -> int:
    """Remove files, the JSON file of a shard before its pixels; return their size."""
    freed = 0
    for path in sorted(paths, key=lambda path: (path.stem, path.suffix)):
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            freed += size
    return freed


def _remove_empty(entry: Path) -> None:
    folders = [entry]
    if entry.parent.name == AUDIT:
        folders = [*(path for path in entry.iterdir() if path.is_dir()), entry, entry.parent]
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()

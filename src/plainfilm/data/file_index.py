"""Stores the hashes of files in the cache folder, so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes, write_bytes
from plainfilm.errors import StorageError

INDEX = "files"
"""Name of the folder with the hashes of files."""

Digests = NDArray[np.uint8]
"""SHA-256 of n files, (n, 32)."""
Stamps = NDArray[np.int64]
"""Size in bytes and time of modification in ns of n files, (n, 2); they change when a file does."""

_ENTRY = np.dtype([("path", "S16"), ("stamp", "<i8", 2), ("digest", "u1", 32)])


class FileIndex:
    """Hashes of files by path, valid while the stamp is unchanged.

    The index has up to 256 files, by folder of the hashed files, each replaced atomically. They
    hold sorted entries with hashes of the paths. If two processes replace one at the same time, the
    entries of one are lost and its files are hashed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, paths: Sequence[str], stamps: Stamps) -> tuple[Digests, NDArray[np.bool_]]:
        """Return the hashes of files, and which of the files are in the index unchanged, (n,)."""
        digests = np.zeros((len(paths), 32), np.uint8)
        known = np.zeros(len(paths), bool)
        keys, buckets = _hash_paths(paths)
        for number in np.unique(buckets).tolist():
            own, stored = np.flatnonzero(buckets == number), self._read(number)
            rows, at = find_sorted(stored["path"], keys[own])
            same = (stored["stamp"][at] == stamps[own[rows]]).all(axis=1)
            rows, at = own[rows[same]], at[same]
            digests[rows], known[rows] = stored["digest"][at], True
        return digests, known

    def store(self, paths: Sequence[str], stamps: Stamps, digests: Digests) -> None:
        """Store hashes. If the folder is not writable, the next command hashes again."""
        keys, buckets = _hash_paths(paths)
        for number in np.unique(buckets).tolist():
            rows = np.flatnonzero(buckets == number)
            new = np.empty(len(rows), _ENTRY)
            new["path"], new["stamp"], new["digest"] = keys[rows], stamps[rows], digests[rows]
            entries = np.concatenate([new, self._read(number)])
            first = np.unique(entries["path"], return_index=True)[1]  # the new one of two
            with contextlib.suppress(StorageError):
                write_bytes(self._path(number), entries[first].tobytes())
                self._path(number).with_suffix(".json").unlink(missing_ok=True)  # of version 1

    def _read(self, number: int) -> NDArray[np.void]:
        try:
            return np.frombuffer(self._path(number).read_bytes(), _ENTRY)
        except (OSError, ValueError):  # missing or damaged: the files are hashed again
            return np.empty(0, _ENTRY)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02x}.bin"


def from_hex(digests: Iterable[str]) -> Digests:
    """Return hexadecimal hashes as bytes, (n, 32); raise a ValueError if they are not hashes."""
    rows = [bytes.fromhex(digest) for digest in digests]
    if any(len(row) != 32 for row in rows):
        raise ValueError("a SHA-256 has 64 digits")
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)


def sortable(hashes: Digests) -> NDArray[np.bytes_]:
    """Return hashes as one value each, (n,), that NumPy can sort and compare."""
    # A value of the type S32 is compared as 32 bytes, but loses zeros at its end as an object.
    return np.ascontiguousarray(hashes).view("S32").reshape(-1)


def find_sorted(
    ordered: NDArray[np.bytes_], values: NDArray[np.bytes_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the ``values`` that are in a sorted array, and their places in it."""
    if not len(ordered):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    rows = np.flatnonzero(ordered[at] == values)
    return rows, at[rows]


def _hash_paths(paths: Sequence[str]) -> tuple[NDArray[np.bytes_], NDArray[np.uint8]]:
    """Return a hash of each path, (n,), and the number of its folder's file in the index."""
    numbers: dict[str, int] = {}
    buckets, keys = np.empty(len(paths), np.uint8), bytearray()
    for row, path in enumerate(paths):
        folder = os.path.dirname(path)  # noqa: PTH120 (faster than a Path)
        if folder not in numbers:
            numbers[folder] = int(hash_bytes(os.fsencode(folder))[:2], 16)
        buckets[row] = numbers[folder]
        keys += hashlib.blake2b(os.fsencode(path), digest_size=16).digest()
    return np.frombuffer(keys, "S16"), buckets

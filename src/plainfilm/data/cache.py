"""Provides the decoded images of a manifest, stored as uint8 shards on disk.

Images are addressed by content: an image decoded once for a pixel spec serves every data set,
recipe and run on this machine.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from plainfilm.data.manifest import LeftOut
from plainfilm.data.shards import open_pixels, read_pixels
from plainfilm.errors import DataError, StorageError
from plainfilm.records import PixelSpec

_FEW = 16
"""Below this number of images of a shard, its memory map is faster than opening its file."""


class Location(NamedTuple):
    """The shard, its number of rows, and the row of a decoded image, with its metadata."""

    shard: Path
    rows: int
    row: int
    metadata: Mapping[str, str | float]


class Cache:
    """The decoded images of a manifest, in its order.

    Attributes
    ----------
    ids
        Ids of the records with an image.
    spec
        Pixel spec of the images.
    left_out
        Records whose file cannot be decoded.
    metadata
        Metadata of each file, in the order of ``ids``.
    hashes
        SHA-256 of each file, in the order of ``ids``.
    """

    def __init__(
        self,
        spec: PixelSpec,
        rows: Sequence[tuple[str, str, Location]],
        left_out: Sequence[LeftOut],
    ) -> None:
        self.spec = spec
        self.left_out = tuple(left_out)
        self.ids: tuple[str, ...] = tuple(identity for identity, _, _ in rows)
        self.hashes: tuple[str, ...] = tuple(digest for _, digest, _ in rows)
        self.metadata: list[Mapping[str, str | float]] = [at.metadata for _, _, at in rows]
        self._files = [*dict.fromkeys((at.shard, at.rows) for _, _, at in rows)]
        numbers = {path: number for number, (path, _) in enumerate(self._files)}
        self._shard = np.array([numbers[at.shard] for _, _, at in rows], dtype=np.intp)
        self._row = np.array([at.row for _, _, at in rows], dtype=np.intp)
        self._position = {identity: number for number, identity in enumerate(self.ids)}
        self._maps = self._open()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_maps"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)  # the images stay on disk
        self._maps = self._open()

    def _open(self) -> list[NDArray[np.uint8]]:
        return [open_pixels(path, count, self.spec.size) for path, count in self._files]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, ids: Iterable[str]) -> Cache:
        """Return the cache of some of the records, in the order of ``ids``."""
        selected = list(ids)
        rows = [self._position[identity] for identity in selected if identity in self._position]
        part, chosen = copy.copy(self), set(selected)
        part.ids = tuple(self.ids[row] for row in rows)
        part.hashes = tuple(self.hashes[row] for row in rows)
        part.metadata = [self.metadata[row] for row in rows]
        part.left_out = tuple(record for record in self.left_out if record.id in chosen)
        part._shard, part._row = self._shard[rows], self._row[rows]
        part._position = {identity: number for number, identity in enumerate(part.ids)}
        return part

    def positions(self, ids: Iterable[str]) -> NDArray[np.intp]:
        """Return the positions of the images of ``ids``, for :meth:`gather`.

        Raises `DataError` if an id is not in the cache.
        """
        try:
            return np.array([self._position[str(identity)] for identity in ids], dtype=np.intp)
        except KeyError as error:
            raise DataError(
                "an image is not in the cache",
                received=error.args[0],
                remedy="fill the cache from the manifest that has it, "
                "and drop the records it left out",
            ) from error

    def gather(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Copy images into memory, (n, size, size), 0 to 255.

        ``indices`` are positions (n,) from 0 to ``len(cache) - 1`` in any order, and may repeat.
        Raises `IndexError` if a position is out of range.
        """
        positions = np.asarray(indices, dtype=np.intp).reshape(-1)
        size = self.spec.size
        out = np.empty((len(positions), size, size), dtype=np.uint8)
        shards, rows = self._shard[positions], self._row[positions]
        # A sequential read consists of a few runs of rows in one shard.
        edges = np.flatnonzero(np.diff(shards)) + 1
        if len(edges) < len(self._maps):
            for start, stop in pairwise([0, *edges.tolist(), len(positions)]):
                if stop > start:
                    self._read(int(shards[start]), rows[start:stop], out[start:stop])
            return out
        for number in np.unique(shards).tolist():
            chosen = np.flatnonzero(shards == number)
            images = np.empty((len(chosen), size, size), np.uint8)
            self._read(number, rows[chosen], images)
            out[chosen] = images
        return out

    def _read(self, shard: int, rows: NDArray[np.intp], out: NDArray[np.uint8]) -> None:
        """Read rows of a shard into ``out``, (k, size, size)."""
        # A memory map also loads neighbouring pages, which count as memory of this process as
        # long as the map exists. A read does not.
        if len(rows) >= _FEW:
            with contextlib.suppress(OSError):  # the file was removed; the map still has the data
                read_pixels(self._files[shard][0], rows, out)
                return
        np.take(self._maps[shard], rows, axis=0, out=out)

    def all(self) -> NDArray[np.uint8]:
        """Copy every image into memory, (n, size, size)."""
        return self.gather(np.arange(len(self)))


@contextlib.contextmanager
def explain_cache_errors() -> Iterator[None]:
    """Name the option for the cache folder in errors of writing to it."""
    try:
        yield
    except StorageError as error:
        remedy = error.remedy or ""
        if "PLAINFILM_CACHE" in remedy:
            raise
        choose = "choose another cache folder with cache= or the variable PLAINFILM_CACHE"
        raise StorageError(
            error.problem,
            received=error.received,
            remedy=f"free some space, or {choose}" if remedy.startswith("free") else choose,
        ) from error


def default_folder() -> Path:
    """Return the cache folder: the variable PLAINFILM_CACHE, or the user's cache folder."""
    folder = os.environ.get("PLAINFILM_CACHE")
    return Path(folder).expanduser() if folder else Path(platformdirs.user_cache_dir("plainfilm"))

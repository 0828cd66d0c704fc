"""Provides the decoded images of a manifest, stored as uint8 shards on disk.

Images are addressed by content: an image decoded once for a pixel spec serves every data set,
recipe and run on this machine.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from plainfilm.data.arrow_columns import Column
from plainfilm.data.file_index import Digests
from plainfilm.data.manifest import LeftOut
from plainfilm.data.metadata import Metadata
from plainfilm.data.record_table import Records
from plainfilm.data.shards import lost_pixels, open_pixels, read_pixels
from plainfilm.errors import DataError, StorageError
from plainfilm.records import PixelSpec

_FEW = 16
"""Below this number of images of a shard, its memory map is faster than opening its file."""
_MAPPED = 128
"""Number of shards with a memory map: each is an open file, whose number is limited."""


class ShardFile(NamedTuple):
    """The file with the images of a shard, and their number."""

    path: Path
    rows: int


class Cache:
    """The decoded images of a manifest, in its order.

    Attributes
    ----------
    spec
        Pixel spec of the images.
    hashes
        SHA-256 of each file, (n, 32).
    metadata
        Metadata of each file.
    left_out
        Records whose file cannot be decoded.
    """

    def __init__(
        self,
        spec: PixelSpec,
        ids: Column,
        hashes: Digests,
        metadata: Metadata,
        left_out: Iterable[LeftOut],
        shards: Sequence[ShardFile],
        places: NDArray[np.int32],
    ) -> None:
        """Hold images that are at these ``places``, (n, 2): number of the shard, row in it."""
        self.spec, self.hashes, self.metadata = spec, hashes, metadata
        self.left_out = tuple(left_out)
        self._ids = ids
        self._shards, self._places = tuple(shards), places
        self._maps = self._open()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_maps"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)  # the images stay on disk
        self._maps = self._open()

    def _open(self) -> list[NDArray[np.uint8]]:
        few = self._shards[:_MAPPED]
        return [open_pixels(shard.path, shard.rows, self.spec.size) for shard in few]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ids(self) -> NDArray[np.str_]:
        """Ids of the records with an image, (n,)."""
        return np.array(self._ids.to_pylist(), np.str_)

    def select(self, records: Records) -> Cache:
        """Return the cache of some of the records, in their order."""
        rows = self.find(records)
        rows = rows[rows >= 0]
        part = copy.copy(self)
        part._ids, part.metadata = self._ids.take(rows), self.metadata.take(rows)
        part.hashes, part._places = self.hashes[rows], self._places[rows]
        known = {*records.table["id"].to_pylist()} if self.left_out else ()
        part.left_out = tuple(record for record in self.left_out if record.id in known)
        return part

    def find(self, records: Records) -> NDArray[np.intp]:
        """Return the positions of the images of records, for :meth:`gather`; -1 for no image."""
        import pyarrow.compute as compute

        found = compute.index_in(records.table["id"], self._ids)
        rows: NDArray[np.intp] = found.fill_null(-1).to_numpy().astype(np.intp)
        return rows

    def positions(self, records: Records) -> NDArray[np.intp]:
        """Return the positions of the images of records, for :meth:`gather`.

        Raises `DataError` if a record has no image in the cache.
        """
        rows = self.find(records)
        if (rows < 0).any():
            raise DataError(
                "an image is not in the cache",
                received=records[int(np.argmin(rows))].id,
                remedy="fill the cache from the manifest that has it, "
                "and drop the records it left out",
            )
        return rows

    def gather(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Copy images into memory, (n, size, size), 0 to 255.

        ``indices`` are positions (n,) from 0 to ``len(cache) - 1`` in any order, and may repeat.
        Raises `IndexError` if a position is out of range.
        """
        positions = np.asarray(indices, dtype=np.intp).reshape(-1)
        size = self.spec.size
        out = np.empty((len(positions), size, size), dtype=np.uint8)
        shards, rows = self._places[positions].T
        # A sequential read consists of a few runs of rows in one shard.
        edges = np.flatnonzero(np.diff(shards)) + 1
        if len(edges) < len(self._shards):
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
        mapped = shard < len(self._maps)
        if len(rows) >= _FEW or not mapped:
            with contextlib.suppress(OSError):  # the file was removed; the map still has the data
                read_pixels(self._shards[shard].path, rows, out)
                return
        if not mapped:
            raise lost_pixels(f"{self._shards[shard].path} is missing")
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

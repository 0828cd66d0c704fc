"""Looks up the contents of files in the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.cache import Cache, ShardFile
from plainfilm.data.file_hashes import FileHashes, left_out_records
from plainfilm.data.file_index import find_sorted, from_hex, sortable
from plainfilm.data.manifest import Manifest
from plainfilm.data.metadata import Metadata
from plainfilm.data.shards import Shard
from plainfilm.decoding.decode import Failure
from plainfilm.records import PixelSpec


class Contents:
    """The different contents of files, with the locations of their images in the cache.

    Other rows of the shards are not kept in memory, since a cache may hold many data sets.

    Attributes
    ----------
    failures
        The reason why a content has no image, by its number.
    """

    def __init__(self, files: FileHashes) -> None:
        self._files = files
        readable = files.readable
        self._digests, first, self._numbers = np.unique(
            sortable(files.digests[readable]), return_index=True, return_inverse=True
        )
        self._first = readable[first]
        self.failures: dict[int, Failure] = {}
        self._metadata = Metadata(len(first))
        self._shards: list[ShardFile] = []
        self._shard = np.full(len(first), -1, np.int32)
        self._row = np.zeros(len(first), np.int32)

    def add(self, shard: Shard) -> None:
        """Add the images and failures of a shard, unless they are known or of other contents."""
        rows, numbers = find_sorted(self._digests, sortable(shard.hashes))
        new = self._shard[numbers] < 0
        rows, numbers = rows[new], numbers[new]
        if len(rows):
            self._shard[numbers], self._row[numbers] = len(self._shards), rows
            self._metadata.put(numbers, [shard.metadata[row] for row in rows.tolist()])
            self._shards.append(ShardFile(shard.path, len(shard.hashes)))
        if shard.failures:
            failures = [*shard.failures.values()]
            rows, numbers = find_sorted(self._digests, sortable(from_hex(shard.failures)))
            for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
                self.failures[number] = failures[row]

    def path(self, number: int) -> str:
        """Return the first file with a content."""
        return self._files.paths[int(self._first[number])]

    def digest(self, number: int) -> str:
        """Return the SHA-256 of a content."""
        digest: bytes = self._files.digests[self._first[number]].tobytes()
        return digest.hex()

    def has_changed(self, number: int) -> bool:
        """Return whether the first file with a content may have changed after it was hashed."""
        return self._files.has_changed(int(self._first[number]))

    def missing(self) -> NDArray[np.intp]:
        """Return the numbers with neither an image nor a failure, in the order of the files."""
        missing = self._shard < 0
        missing[[*self.failures]] = False
        numbers = np.flatnonzero(missing)
        return numbers[np.argsort(self._first[numbers])]

    def to_cache(self, manifest: Manifest, spec: PixelSpec) -> Cache:
        """Return the images of the files, which are those of a manifest."""
        files = self._files
        failed = np.isin(self._numbers, [*self.failures])
        reasons = dict(files.failures)
        for row, number in zip(
            files.readable[failed].tolist(), self._numbers[failed].tolist(), strict=True
        ):
            reasons[row] = self.failures[number]
        rows, numbers = files.readable[~failed], self._numbers[~failed]
        ids = manifest.records.table["id"]
        return Cache(
            spec=spec,
            ids=ids if len(rows) == len(ids) else ids.take(rows),
            hashes=files.digests[rows],
            metadata=self._metadata.take(numbers),
            left_out=left_out_records(manifest, reasons),
            shards=self._shards,
            places=np.stack([self._shard[numbers], self._row[numbers]], axis=1),
        )

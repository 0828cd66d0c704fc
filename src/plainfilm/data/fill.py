"""Decodes the images of a manifest into the cache."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes, make_folder
from plainfilm._leftovers import remove_leftovers
from plainfilm._machine import cores
from plainfilm._progress import Progress, silent
from plainfilm.data.cache import Cache, Location, default_folder, explain_cache_errors
from plainfilm.data.file_hashes import Content, hash_files
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.shards import Shard, read_shards, rows_per_shard, write_shard
from plainfilm.decoding.decode import FEW, Decoded, Failure, Reader, reader_name
from plainfilm.decoding.pool import Pool
from plainfilm.errors import StorageError
from plainfilm.pixels import DECODER_VERSION, read_image, read_image_and_text
from plainfilm.records import PixelSpec

# Failures that may not occur the next time; they are not stored.
_TEMPORARY = frozenset(
    {"changed", "decoder-died", "decoder-failed", "decoder-timeout", "missing", "needs-codec"}
    | {"out-of-memory", "unreadable"}
)


@explain_cache_errors()
def fill_cache(
    manifest: Manifest,
    spec: PixelSpec,
    *,
    folder: Path | str | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    reader: Reader = read_image,
) -> Cache:
    """Decode all images of a manifest that are not in the cache yet.

    Parameters
    ----------
    folder
        Folder of the cache; :func:`default_folder` if None. Several data sets and processes can
        share it.
    workers
        Number of decoding processes; 0 decodes in this process. Default: the number of cores, or 0
        for fewer than 64 images. Use at least one for files that are not trusted: only a separate
        process has limits of memory and time (see ``plainfilm.decoding.pool.Pool``).
    progress
        Callback for the stages ``reading files`` and ``decoding images``.

    Returns
    -------
    cache
        The images; files that cannot be decoded are in ``left_out``. A second call decodes
        nothing, since images and failures are stored by the content of the files.

    Raises
    ------
    StorageError
        If the disk is full or not writable. Finished shards are kept.
    """
    top = Path(folder) if folder is not None else default_folder()
    files, unread = hash_files(manifest.records, top, progress)
    shard_folder = top / _name(spec, reader)
    found = _Found(files.values(), read_shards(shard_folder, spec.size))
    if reader is read_image:  # this reader gives the same pixels, with more metadata
        for shard in read_shards(top / _name(spec, read_image_and_text), spec.size):
            found.add(shard)
    todo = found.missing()
    remove_leftovers(shard_folder)
    if todo:
        check_space(shard_folder, len(todo) * spec.size**2)
        if workers is None:
            workers = 0 if len(todo) < FEW else cores()
        with Pool(workers, reader) as pool:
            _decode(todo, pool, shard_folder, spec, found, progress)
    rows, left_out = [], []
    for record in manifest.records:
        file = files.get(record.id)
        failure = unread[record.id] if file is None else found.failures.get(file.digest)
        if failure is not None:
            left_out.append(LeftOut(record.id, record.path, failure.reason, failure.problem))
        elif file is not None:
            rows.append((record.id, file.digest, found.rows[file.digest]))
    return Cache(spec, rows, left_out)


class _Found:
    """Locations of the requested contents in the cache, and failures.

    Other rows of the shards are not kept in memory, since a cache may hold many data sets.
    """

    def __init__(self, contents: Iterable[Content], shards: Iterable[Shard]) -> None:
        self._contents = {file.digest: file for file in contents}
        self.rows: dict[str, Location] = {}
        self.failures: dict[str, Failure] = {}
        for shard in shards:
            self.add(shard)

    def add(self, shard: Shard) -> None:
        rows = len(shard.hashes)
        for row, digest in enumerate(shard.hashes):
            file = self._contents.get(digest)
            if file is not None and digest not in self.rows:
                metadata = _shared(shard.metadata[row])
                self.rows[file.digest] = Location(shard.path, rows, row, metadata)
        self.failures.update(
            (digest, why) for digest, why in shard.failures.items() if digest in self._contents
        )

    def missing(self) -> list[Content]:
        """Return the contents with neither an image nor a failure."""
        done = self.rows.keys() | self.failures.keys()
        return [file for digest, file in self._contents.items() if digest not in done]


def _shared(metadata: Mapping[str, str | float]) -> dict[str, str | float]:
    """Return metadata with interned strings: most images share the same few values."""
    return {
        name: sys.intern(value) if isinstance(value, str) else value
        for name, value in metadata.items()
    }


def _name(spec: PixelSpec, reader: Reader) -> str:
    # Each reader has its own folder, since its images differ.
    other = "" if reader is read_image else f"-{hash_bytes(str(reader_name(reader)).encode())[:8]}"
    return f"{spec.key}-v{DECODER_VERSION}{other}"


def check_space(shard_folder: Path, needed: int) -> None:
    """Check that the folder can be created and its disk has ``needed`` bytes free."""
    free = shutil.disk_usage(make_folder(shard_folder)).free
    if free < needed:
        raise StorageError(
            f"the disk that holds {shard_folder} has too little space for the decoded images",
            received=f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed",
            remedy="free some space, or set the variable PLAINFILM_CACHE to another folder",
        )


def _decode(
    todo: Sequence[Content],
    pool: Pool,
    shard_folder: Path,
    spec: PixelSpec,
    found: _Found,
    progress: Progress,
) -> None:
    """Decode shard by shard; write one while the next is decoded."""
    step = rows_per_shard(spec.size)
    started, done = time.monotonic(), 0

    def count() -> None:
        nonlocal done
        done += 1
        rate = done / max(time.monotonic() - started, 1e-9)
        progress("decoding images", done, len(todo), f"{rate:.0f}/s")

    writing: Future[Shard] | None = None
    with ThreadPoolExecutor(max_workers=1) as writer:
        for start in range(0, len(todo), step):
            files = todo[start : start + step]
            pixels = np.empty((len(files), spec.size, spec.size), dtype=np.uint8)
            outcomes = pool.decode([file.path for file in files], spec, pixels, count)
            if writing is not None:
                found.add(writing.result())
            writing = _store(files, outcomes, pixels, shard_folder, found, writer)
        if writing is not None:
            found.add(writing.result())


def _store(
    files: Sequence[Content],
    outcomes: Sequence[Decoded | Failure],
    pixels: NDArray[np.uint8],
    shard_folder: Path,
    found: _Found,
    writer: ThreadPoolExecutor,
) -> Future[Shard] | None:
    images: dict[int, Decoded] = {}  # by row
    failures: dict[str, Failure] = {}
    for row, (file, outcome) in enumerate(zip(files, outcomes, strict=True)):
        if file.has_changed():
            outcome = Failure("changed", "the file changed while it was being read")
        if isinstance(outcome, Decoded):
            images[row] = outcome
        elif outcome.reason in _TEMPORARY:
            found.failures[file.digest] = outcome
        else:
            failures[file.digest] = outcome
    if not images and not failures:
        return None
    hashes = [files[row].digest for row in images]
    metadata = [image.metadata for image in images.values()]
    chosen = pixels if len(images) == len(files) else pixels[[*images]]
    return writer.submit(write_shard, shard_folder, chosen, hashes, metadata, failures)

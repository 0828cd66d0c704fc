"""Decoding into the cache what was not decoded before."""

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
from plainfilm._machine import cores
from plainfilm._progress import Progress, silent
from plainfilm.data.cache import Cache, Place, default_folder
from plainfilm.data.file_hashes import Content, hash_files
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.shards import (
    Shard,
    clear_leftovers,
    read_shards,
    rows_per_shard,
    write_shard,
)
from plainfilm.decoding.decode import Decoded, Failure, Reader, reader_name
from plainfilm.decoding.pool import Decoders
from plainfilm.errors import StorageError
from plainfilm.pixels import DECODER_VERSION, read_image, read_image_and_colour
from plainfilm.records import PixelSpec

__all__ = ["check_space", "fill_cache"]

_FEW = 64
"""Below this many images, starting processes takes longer than decoding."""

# What may be otherwise the next time is not remembered.
_PASSING = frozenset(
    {"changed", "decoder-died", "decoder-failed", "decoder-timeout", "missing", "needs-codec"}
    | {"out-of-memory", "unreadable"}
)


def fill_cache(
    manifest: Manifest,
    spec: PixelSpec,
    *,
    folder: Path | str | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    reader: Reader = read_image,
) -> Cache:
    """Decode every image of a manifest that was not decoded before.

    Parameters
    ----------
    manifest
        The records.
    spec
        What files become.
    folder
        Where the cache lies; :func:`default_folder` if None. Several data sets, and several
        processes at once, may share it.
    workers
        Decoding processes; 0 decodes in this one; as many as there are cores if None (in this one
        where there are fewer than 64 images to decode). Name one at least where files are not
        trusted: only a process of its own can be capped in memory and in time, and may die without
        harm (see :class:`plainfilm.decoding.pool.Decoders`).
    progress
        Told ``reading files`` and ``decoding images``.
    reader
        What decodes.

    Returns
    -------
    cache
        The images; those that failed are in ``left_out``. A second call finds all of them, failures
        included, by the content of the files.

    Raises
    ------
    StorageError
        If the disk is full or not writable. What was finished stays, and is not done again.
    """
    top = Path(folder) if folder is not None else default_folder()
    files, unread = hash_files(manifest.records, top, progress)
    place = top / _name(spec, reader)
    found = _Found(files.values(), read_shards(place, spec.size))
    if reader is read_image:  # the same pixels with a fact more
        for shard in read_shards(top / _name(spec, read_image_and_colour), spec.size):
            found.add(shard)
    todo = found.missing()
    if todo:
        check_space(place, len(todo) * spec.size**2)
        clear_leftovers(place)
        if workers is None:
            workers = 0 if len(todo) < _FEW else cores()
        with Decoders(reader, spec, workers) as decoders:
            _decode(todo, decoders, place, spec, found, progress)
    rows, left_out = [], []
    for record in manifest.records:
        file = files.get(record.id)
        failure = unread[record.id] if file is None else found.failures.get(file.digest)
        if file is not None and failure is None:
            rows.append((record.id, file.digest, found.rows[file.digest]))
        elif failure is not None:
            left_out.append(LeftOut(record.id, record.path, failure.reason, failure.problem))
    return Cache(spec, rows, left_out)


class _Found:
    """Where every content that is wanted is, or why it is nowhere.

    Of the shards no more is kept: a cache may hold many data sets.
    """

    def __init__(self, wanted: Iterable[Content], shards: Iterable[Shard]) -> None:
        self._wanted = {file.digest: file for file in wanted}
        self.rows: dict[str, Place] = {}
        self.failures: dict[str, Failure] = {}
        for shard in shards:
            self.add(shard)

    def add(self, shard: Shard) -> None:
        rows = len(shard.hashes)
        for row, digest in enumerate(shard.hashes):
            file = self._wanted.get(digest)
            if file is not None and digest not in self.rows:
                self.rows[file.digest] = Place(shard.path, rows, row, _shared(shard.metadata[row]))
        self.failures.update(
            (digest, why) for digest, why in shard.failures.items() if digest in self._wanted
        )

    def missing(self) -> list[Content]:
        """Return the contents that are neither an image nor known not to become one."""
        return [
            file
            for digest, file in self._wanted.items()
            if digest not in self.rows and digest not in self.failures
        ]


def _shared(metadata: Mapping[str, str | float]) -> dict[str, str | float]:
    """Return metadata whose words are one object each: most images say the same few."""
    return {
        name: sys.intern(value) if isinstance(value, str) else value
        for name, value in metadata.items()
    }


def _name(spec: PixelSpec, reader: Reader) -> str:
    # The images of another reader are others, and must never be taken for ours.
    other = "" if reader is read_image else f"-{hash_bytes(str(reader_name(reader)).encode())[:8]}"
    return f"{spec.key}-v{DECODER_VERSION}{other}"


def check_space(place: Path, needed: int) -> None:
    """Refuse to start on a disk without room for ``needed`` bytes.

    Raises
    ------
    StorageError
        If there is less, or ``place`` cannot be made.
    """
    free = shutil.disk_usage(make_folder(place)).free
    if free < needed:
        raise StorageError(
            f"the disk that holds {place} has too little room for the decoded images",
            received=f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed",
            remedy="free some space, or name another folder with the variable PLAINFILM_CACHE",
        )


def _decode(
    todo: Sequence[Content],
    decoders: Decoders,
    place: Path,
    spec: PixelSpec,
    found: _Found,
    progress: Progress,
) -> None:
    """Decode shard by shard; one is written while the next is decoded."""
    step = rows_per_shard(spec.size)
    started, done = time.monotonic(), 0

    def tell() -> None:
        nonlocal done
        done += 1
        rate = done / max(time.monotonic() - started, 1e-9)
        progress("decoding images", done, len(todo), f"{rate:.0f}/s")

    writing: Future[Shard] | None = None
    with ThreadPoolExecutor(max_workers=1) as writer:
        for start in range(0, len(todo), step):
            files = todo[start : start + step]
            pixels = np.empty((len(files), spec.size, spec.size), dtype=np.uint8)
            outcomes = decoders.decode([file.path for file in files], pixels, tell)
            if writing is not None:
                found.add(writing.result())
            writing = _store(files, outcomes, pixels, place, found, writer)
        if writing is not None:
            found.add(writing.result())


def _store(
    files: Sequence[Content],
    outcomes: Sequence[Decoded | Failure],
    pixels: NDArray[np.uint8],
    place: Path,
    found: _Found,
    writer: ThreadPoolExecutor,
) -> Future[Shard] | None:
    hashes, metadata, kept = [], [], []
    lasting: dict[str, Failure] = {}
    for row, (file, outcome) in enumerate(zip(files, outcomes, strict=True)):
        if file.has_changed():
            outcome = Failure("changed", "the file changed while it was read")
        if isinstance(outcome, Decoded):
            hashes.append(file.digest)
            metadata.append(outcome.metadata)
            kept.append(row)
        elif outcome.reason in _PASSING:
            found.failures[file.digest] = outcome
        else:
            lasting[file.digest] = outcome
    if not hashes and not lasting:
        return None
    chosen = pixels if len(kept) == len(files) else pixels[kept]
    return writer.submit(write_shard, place, chosen, hashes, metadata, lasting)

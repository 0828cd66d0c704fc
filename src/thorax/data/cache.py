"""The decoded images of a manifest as uint8 shards, memory-mapped.

Images are addressed by content: what is decoded once for a pixel spec serves every data set,
recipe and run of it on this machine.
"""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from thorax._files import hash_bytes, make_folder
from thorax._machine import cores
from thorax._progress import Progress, silent
from thorax.data.contents import Content, hash_files
from thorax.data.decode import Decoded, Decoders, Failure, Reader, reader_name
from thorax.data.manifest import LeftOut, Manifest
from thorax.data.shards import (
    FileIndex,
    Shard,
    clear_leftovers,
    open_pixels,
    read_shards,
    rows_per_shard,
    write_shard,
)
from thorax.errors import DataError, StorageError
from thorax.pixels import DECODER_VERSION, read_image, read_image_and_colour
from thorax.records import PixelSpec

__all__ = ["Cache", "check_space", "default_folder", "fill_cache"]

_FEW = 64
"""Below this many images, starting processes takes longer than decoding."""

# What may be otherwise the next time is not remembered.
_PASSING = frozenset(
    {"changed", "decoder-died", "decoder-failed", "decoder-timeout", "missing", "needs-codec"}
    | {"out-of-memory", "unreadable"}
)


class Cache:
    """The decoded images of a manifest, in its order, without those that failed.

    Attributes
    ----------
    ids
        Ids of the records that became images.
    spec
        What they became.
    left_out
        Records that did not, and why.
    facts
        What each file said about itself, in the order of ``ids``.
    hashes
        SHA-256 of each file, in the order of ``ids``; equal ones are one file twice.
    """

    def __init__(
        self,
        spec: PixelSpec,
        rows: Sequence[tuple[str, str, Shard, int]],
        left_out: Sequence[LeftOut],
    ) -> None:
        self.spec = spec
        self.left_out = tuple(left_out)
        self.ids: tuple[str, ...] = tuple(identity for identity, _, _, _ in rows)
        self.hashes: tuple[str, ...] = tuple(digest for _, digest, _, _ in rows)
        self.facts: list[Mapping[str, str | float]] = [s.facts[row] for _, _, s, row in rows]
        shards = {id(shard): shard for _, _, shard, _ in rows}
        numbers = {key: number for number, key in enumerate(shards)}
        self._files = [(shard.path, len(shard.hashes)) for shard in shards.values()]
        self._maps = [open_pixels(path, count, spec.size) for path, count in self._files]
        self._shard = np.array([numbers[id(shard)] for _, _, shard, _ in rows], dtype=np.intp)
        self._row = np.array([row for _, _, _, row in rows], dtype=np.intp)
        self._position = {identity: number for number, identity in enumerate(self.ids)}

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_maps"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)  # the images stay where they are, on disk
        self._maps = [open_pixels(path, count, self.spec.size) for path, count in self._files]

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, ids: Iterable[str]) -> Cache:
        """Return the cache of some of its records, in the order of ``ids``."""
        wanted = list(ids)
        rows = [self._position[identity] for identity in wanted if identity in self._position]
        part, chosen = copy.copy(self), set(wanted)
        part.ids = tuple(self.ids[row] for row in rows)
        part.hashes = tuple(self.hashes[row] for row in rows)
        part.facts = [self.facts[row] for row in rows]
        part.left_out = tuple(record for record in self.left_out if record.id in chosen)
        part._shard, part._row = self._shard[rows], self._row[rows]
        part._position = {identity: number for number, identity in enumerate(part.ids)}
        return part

    def positions(self, ids: Iterable[str]) -> NDArray[np.intp]:
        """Return where the images of ``ids`` are, for :meth:`gather`.

        Raises
        ------
        DataError
            If one is not in the cache.
        """
        try:
            return np.array([self._position[str(identity)] for identity in ids], dtype=np.intp)
        except KeyError as error:
            raise DataError(
                "an image is not in the cache",
                received=error.args[0],
                todo="fill the cache from the manifest that has it; drop what it left out",
            ) from error

    def gather(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Copy images into memory.

        Parameters
        ----------
        indices
            (n,) positions, 0 to ``len(cache) - 1``, in any order, also repeatedly.

        Returns
        -------
        images
            (n, size, size), 0 to 255.

        Raises
        ------
        IndexError
            If a position is out of range.
        """
        wanted = np.asarray(indices, dtype=np.intp).reshape(-1)
        size = self.spec.size
        out = np.empty((len(wanted), size, size), dtype=np.uint8)
        shards, rows = self._shard[wanted], self._row[wanted]
        # Runs of one shard: a sequential read is a handful of slices.
        edges = np.flatnonzero(np.diff(shards)) + 1
        if len(edges) < len(self._maps):
            bounds = [0, *edges.tolist(), len(wanted)]
            for start, stop in pairwise(bounds):
                if stop > start:
                    self._copy(int(shards[start]), rows[start:stop], out[start:stop])
            return out
        for number in np.unique(shards).tolist():
            places = np.flatnonzero(shards == number)
            out[places] = self._maps[number][rows[places]]
        return out

    def _copy(self, shard: int, rows: NDArray[np.intp], out: NDArray[np.uint8]) -> None:
        first, last = int(rows[0]), int(rows[-1])
        if last - first == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
            out[:] = self._maps[shard][first : last + 1]
        else:
            np.take(self._maps[shard], rows, axis=0, out=out)

    def all(self) -> NDArray[np.uint8]:
        """Copy every image into memory, (n, size, size)."""
        return self.gather(np.arange(len(self)))


def default_folder() -> Path:
    """Return the folder of caches: the variable THORAX_CACHE, or the user's cache folder."""
    given = os.environ.get("THORAX_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("thorax"))


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
        harm (see :class:`thorax.data.decode.Decoders`).
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
    index = FileIndex(top / "files")
    files, unread = hash_files(manifest.records, index, progress)
    place = top / _name(spec, reader)
    found = _Found(read_shards(place, spec.size))
    if reader is read_image:  # the same pixels with a fact more
        for shard in read_shards(top / _name(spec, read_image_and_colour), spec.size):
            found.add(shard)
    todo = {
        file.digest: file
        for file in files.values()
        if file.digest not in found.rows and file.digest not in found.failures
    }
    if todo:
        check_space(place, len(todo) * spec.size**2)
        clear_leftovers(place)
        if workers is None:
            workers = 0 if len(todo) < _FEW else cores()
        with Decoders(reader, spec, workers) as decoders:
            _decode(list(todo.values()), decoders, place, spec, found, progress)
    index.save()
    rows, left_out = [], []
    for record in manifest.records:
        file = files.get(record.id)
        failure = unread[record.id] if file is None else found.failures.get(file.digest)
        if file is not None and failure is None:
            rows.append((record.id, file.digest, *found.rows[file.digest]))
        elif failure is not None:
            left_out.append(LeftOut(record.id, record.path, failure.reason, failure.what))
    return Cache(spec, rows, left_out)


class _Found:
    """Where every content is, or why it is nowhere."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        self.rows: dict[str, tuple[Shard, int]] = {}
        self.failures: dict[str, Failure] = {}
        for shard in shards:
            self.add(shard)

    def add(self, shard: Shard) -> None:
        for row, digest in enumerate(shard.hashes):
            self.rows.setdefault(digest, (shard, row))
        self.failures.update(shard.failures)


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
            todo="free some space, or name another folder with the variable THORAX_CACHE",
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
    hashes, facts, kept = [], [], []
    lasting: dict[str, Failure] = {}
    for row, (file, outcome) in enumerate(zip(files, outcomes, strict=True)):
        if file.has_changed():
            outcome = Failure("changed", "the file changed while it was read")
        if isinstance(outcome, Decoded):
            hashes.append(file.digest)
            facts.append(outcome.facts)
            kept.append(row)
        elif outcome.reason in _PASSING:
            found.failures[file.digest] = outcome
        else:
            lasting[file.digest] = outcome
    if not hashes and not lasting:
        return None
    chosen = pixels if len(kept) == len(files) else pixels[kept]
    return writer.submit(write_shard, place, chosen, hashes, facts, lasting)

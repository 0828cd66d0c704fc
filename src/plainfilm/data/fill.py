"""Decodes the images of a manifest into the cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes, make_folder
from plainfilm._leftovers import remove_leftovers
from plainfilm._machine import cores
from plainfilm._progress import Progress, silent
from plainfilm.data.cache import Cache, default_folder, explain_cache_errors
from plainfilm.data.contents import Contents
from plainfilm.data.file_hashes import hash_files
from plainfilm.data.manifest import Manifest
from plainfilm.data.shards import Shard, read_shards, rows_per_shard, write_shard
from plainfilm.decoding.decode import FEW, TEMPORARY, Decoded, Failure, Reader, reader_name
from plainfilm.decoding.pool import Pool
from plainfilm.errors import StorageError
from plainfilm.pixels import DECODER_VERSION, read_image, read_image_and_text
from plainfilm.records import PixelSpec


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
    contents = Contents(hash_files(manifest.records.paths, top, progress))
    shard_folder = top / _name(spec, reader)
    folders = [shard_folder]
    if reader is read_image:  # this reader gives the same pixels, with more metadata
        folders.append(top / _name(spec, read_image_and_text))
    for place in folders:
        for shard in read_shards(place, spec.size):
            contents.add(shard)
    todo = contents.missing()
    remove_leftovers(shard_folder)
    if len(todo):
        check_space(shard_folder, len(todo) * spec.size**2)
        if workers is None:
            workers = 0 if len(todo) < FEW else cores()
        with Pool(workers, reader) as pool:
            _decode(contents, todo, pool, shard_folder, spec, progress)
    return contents.to_cache(manifest, spec)


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
    contents: Contents,
    todo: NDArray[np.intp],
    pool: Pool,
    shard_folder: Path,
    spec: PixelSpec,
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
            numbers = todo[start : start + step].tolist()
            pixels = np.empty((len(numbers), spec.size, spec.size), dtype=np.uint8)
            outcomes = pool.decode([contents.path(n) for n in numbers], spec, pixels, count)
            if writing is not None:
                contents.add(writing.result())
            writing = _store(contents, numbers, outcomes, pixels, shard_folder, writer)
        if writing is not None:
            contents.add(writing.result())


def _store(
    contents: Contents,
    numbers: Sequence[int],
    outcomes: Sequence[Decoded | Failure],
    pixels: NDArray[np.uint8],
    shard_folder: Path,
    writer: ThreadPoolExecutor,
) -> Future[Shard] | None:
    images: dict[int, Decoded] = {}  # by row
    failures: dict[str, Failure] = {}
    for row, (number, outcome) in enumerate(zip(numbers, outcomes, strict=True)):
        if contents.has_changed(number):
            outcome = Failure("changed", "the file changed while it was being read")
        if isinstance(outcome, Decoded):
            images[row] = outcome
        elif outcome.reason in TEMPORARY:
            contents.failures[number] = outcome
        else:
            failures[contents.digest(number)] = outcome
    if not images and not failures:
        return None
    hashes = [contents.digest(numbers[row]) for row in images]
    metadata = [image.metadata for image in images.values()]
    chosen = pixels if len(images) == len(numbers) else pixels[[*images]]
    return writer.submit(write_shard, shard_folder, chosen, hashes, metadata, failures)

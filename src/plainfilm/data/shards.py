"""Reads and writes the shards of decoded images of a cache.

A shard consists of two files. ``NAME.u8`` holds the images; ``NAME.json`` holds their content
hashes and metadata, and the files that cannot be decoded. The second is written last and
atomically, and makes the shard valid. No file describes several shards, so two processes can fill
one cache.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import atomic_path, hash_json, read_into, read_json, write_text
from plainfilm.data.file_index import Digests, from_hex
from plainfilm.decoding.decode import Failure
from plainfilm.errors import StorageError

_SCHEMA = 1
_ROWS = 1024
_BYTES = 64 * 1024 * 1024
_CLOSE = 4
"""A span of up to this many rows for each requested row is faster to read in one piece."""
_DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Shard:
    """Some decoded images; hashes are SHA-256 of their files."""

    path: Path  # of the pixels
    hashes: Digests  # of each row, (n, 32)
    metadata: tuple[dict[str, str | float], ...]  # of each row
    failures: dict[str, Failure]  # of files that cannot be decoded, by hash


def open_pixels(path: Path, count: int, size: int) -> NDArray[np.uint8]:
    """Memory-map the images of a shard, (count, size, size), read-only."""
    return np.memmap(path, np.uint8, mode="r", shape=(count, size, size))


def read_pixels(path: Path, rows: NDArray[np.intp], out: NDArray[np.uint8]) -> None:
    """Read images of a shard into ``out``, (k, size, size); raise `OSError` if it is missing."""
    first, span = int(rows.min()), int(np.ptp(rows)) + 1
    with open(path, "rb", buffering=0) as file:
        if span == len(rows) and bool((np.diff(rows) == 1).all()):
            _read_into(file, first, out)
        elif span <= _CLOSE * len(rows):  # one read that includes the rows between
            piece = np.empty((span, *out.shape[1:]), np.uint8)
            _read_into(file, first, piece)
            np.take(piece, rows - first, axis=0, out=out)
        else:
            for image, row in zip(out, rows.tolist(), strict=True):
                _read_into(file, row, image)


def _read_into(file: io.FileIO, first: int, out: NDArray[np.uint8]) -> None:
    file.seek(first * out.shape[-1] ** 2)
    try:
        read_into(file, out.data)
    except EOFError as error:
        raise lost_pixels(f"{file.name} became shorter") from error


def lost_pixels(received: str) -> StorageError:
    """Return the error for images that were removed from the cache after it was opened."""
    return StorageError(
        "decoded images disappeared from the cache while they were in use",
        received=received,
        remedy="run the command again; missing images are decoded again",
    )


def rows_per_shard(size: int) -> int:
    """Return the number of images in a shard: 1024, or fewer to stay below 64 MiB."""
    return min(_ROWS, max(1, _BYTES // size**2))


def read_shards(folder: Path, size: int) -> Iterator[Shard]:
    """Yield every complete shard; damaged shards are skipped."""
    for index in sorted(folder.glob("*.json")):
        if shard := _read_shard(index, size):
            yield shard


def _read_shard(index: Path, size: int) -> Shard | None:
    """Return a shard, or None if it is missing or damaged."""
    pixels = index.with_suffix(".u8")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content: dict[str, Any] = read_json(index)
        hashes, metadata = from_hex(content["hashes"]), tuple(content["metadata"])
        failures = {digest: Failure(*pair) for digest, pair in content["failures"].items()}
        from_hex(failures)  # raises an error if one is not a hash
        if (
            (content["schema"], content["size"], len(metadata)) == (_SCHEMA, size, len(hashes))
            and all(isinstance(one, dict) for one in metadata)
            and not (len(hashes) and pixels.stat().st_size != len(hashes) * size**2)
        ):
            with contextlib.suppress(OSError):  # `prune_cache` removes what was not used for long
                if time.time() - index.stat().st_mtime > _DAY:
                    os.utime(index)
            return Shard(pixels, hashes, metadata, failures)
    return None


def write_shard(
    folder: Path,
    pixels: NDArray[np.uint8],
    hashes: Sequence[str],
    metadata: Sequence[dict[str, str | float]],
    failures: dict[str, Failure],
) -> Shard:
    """Write a shard, named by the hash of its content; on an error no incomplete shard remains."""
    name = hash_json([*hashes, *sorted(failures)])[:32]
    shard = Shard(folder / f"{name}.u8", from_hex(hashes), tuple(metadata), failures)
    index = folder / f"{name}.json"
    size = pixels.shape[1]
    if existing := _read_shard(index, size):
        return existing  # another process was faster
    if hashes:
        with atomic_path(shard.path) as temporary, open(temporary, "wb") as file:
            file.write(np.ascontiguousarray(pixels).data.cast("B"))
    content = {
        "schema": _SCHEMA,
        "size": size,
        "hashes": list(hashes),
        "metadata": list(metadata),
        "failures": {digest: [f.reason, f.problem] for digest, f in failures.items()},
    }
    write_text(index, json.dumps(content, separators=(",", ":"), allow_nan=False))
    return shard

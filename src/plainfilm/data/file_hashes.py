"""Hashes the files of a manifest, without reading unchanged files again."""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_file
from plainfilm._machine import cores
from plainfilm._progress import Progress
from plainfilm.data.cache import explain_cache_errors
from plainfilm.data.file_index import INDEX, Digests, FileIndex, Stamps
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.decoding.decode import Failure

_BATCH = 32  # files
_SAFE_AGE = 2.0
"""Seconds after which a rewritten file has another modification time on every file system."""
_MISSING = Failure("missing", "the file does not exist")


@dataclass(frozen=True, slots=True, eq=False)
class FileHashes:
    """The hashes of n files, and the reasons why some cannot be read.

    Attributes
    ----------
    paths
        Location of each file.
    digests
        SHA-256 of each file, (n, 32); zeros for the files in ``failures``.
    stamps
        Size and time of modification of each file, (n, 2).
    failures
        Row to reason.
    """

    paths: Sequence[str]
    digests: Digests
    stamps: Stamps
    failures: Mapping[int, Failure]

    @property
    def readable(self) -> NDArray[np.intp]:
        """The rows that have a hash."""
        return np.delete(np.arange(len(self.digests)), [*self.failures])

    def has_changed(self, row: int) -> bool:
        """Return whether a file may have changed after it was hashed."""
        try:
            status = os.stat(self.paths[row])  # noqa: PTH116 (faster than a Path)
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns) != tuple(self.stamps[row].tolist())


@explain_cache_errors()
def hash_files(paths: Sequence[str], cache: Path, progress: Progress) -> FileHashes:
    """Return the hash of each file, or the reason why it cannot be read.

    Hashes are stored in the folder ``cache`` for the next call, also those before an interruption.
    """
    began = time.time()
    stamps, failures = _read_stamps(paths)
    index = FileIndex(cache / INDEX)
    digests, known = index.find(paths, stamps)
    known[[*failures]] = True
    new = np.flatnonzero(~known)
    # Threads are enough, since reading and hashing release the interpreter lock. Files are hashed
    # in batches, since passing a small file to a thread takes longer than hashing it.
    threads = min(8, 2 * cores())
    step = max(1, min(_BATCH, len(new) // (4 * threads)))
    batches = [new[at : at + step].tolist() for at in range(0, len(new), step)]
    done = 0
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            hashed = pool.map(lambda rows: [_hash_or_failure(paths[row]) for row in rows], batches)
            for rows, contents in zip(batches, hashed, strict=True):
                for row, content in zip(rows, contents, strict=True):
                    if isinstance(content, Failure):
                        failures[row] = content
                    else:
                        digests[row] = np.frombuffer(content, np.uint8)
                done += len(rows)
                progress("reading files", done, len(new))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            # Not those of files that may still be changing.
            stable = stamps[:, 1] / 1e9 < began - _SAFE_AGE
            kept = [row for row in new[:done].tolist() if stable[row] and row not in failures]
            index.store([paths[row] for row in kept], stamps[kept], digests[kept])
    return FileHashes(paths, digests, stamps, failures)


def _read_stamps(paths: Sequence[str]) -> tuple[Stamps, dict[int, Failure]]:
    """Return the stamp of each regular file, and why others have none."""
    stamps, failures = array("q"), {}
    for row, path in enumerate(paths):
        stamp = (0, 0)
        try:
            status = os.stat(path)  # noqa: PTH116 (faster than a Path)
            if stat.S_ISREG(status.st_mode):
                stamp = (status.st_size, status.st_mtime_ns)
            else:
                failures[row] = Failure("unreadable", "this is not a regular file")
        except (OSError, ValueError):
            failures[row] = _MISSING
        stamps.extend(stamp)
    return np.array(stamps, np.int64).reshape(-1, 2), failures


def _hash_or_failure(path: str) -> bytes | Failure:
    try:
        return bytes.fromhex(hash_file(path))
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return Failure("unreadable", f"the file cannot be read: {error.strerror}")


def left_out_records(manifest: Manifest, failures: Mapping[int, Failure]) -> list[LeftOut]:
    """Return the records at the rows of ``failures``."""
    left_out = []
    for row, failure in sorted(failures.items()):
        record = manifest.records[row]
        left_out.append(LeftOut(record.id, record.path, failure.reason, failure.problem))
    return left_out

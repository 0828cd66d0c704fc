"""Hashes the files of a manifest, without reading unchanged files again."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from plainfilm._files import hash_file
from plainfilm._machine import cores
from plainfilm._progress import Progress
from plainfilm.data.cache import explain_cache_errors
from plainfilm.data.shards import INDEX, FileIndex, Stamp
from plainfilm.decoding.decode import Failure
from plainfilm.records import Record

_BATCH = 32  # files
_MISSING = Failure("missing", "the file does not exist")


@dataclass(frozen=True, slots=True)
class Content:
    """A file with the hash of its content."""

    digest: str
    path: str
    stamp: Stamp

    def has_changed(self) -> bool:
        """Return whether the file may have changed after it was hashed."""
        try:
            return Stamp.of(Path(self.path).stat()) != self.stamp
        except OSError:
            return True


@explain_cache_errors()
def hash_files(
    records: Sequence[Record], cache: Path, progress: Progress
) -> tuple[dict[str, Content], dict[str, Failure]]:
    """Return the content of each record's file by id, and the reason for each unreadable file.

    Hashes are stored in the folder ``cache`` for the next call.
    """
    # Local, to free its memory: the index has an entry for every file ever hashed.
    index = FileIndex(cache / INDEX)
    files: dict[str, Content] = {}
    unread: dict[str, Failure] = {}
    new: list[tuple[str, str, Stamp]] = []
    for record in records:
        try:
            status = os.stat(record.path)  # noqa: PTH116 (faster than a Path)
        except (OSError, ValueError):
            unread[record.id] = _MISSING
            continue
        if not stat.S_ISREG(status.st_mode):
            unread[record.id] = Failure("unreadable", "this is not a regular file")
        elif digest := index.get(record.path, stamp := Stamp.of(status)):
            files[record.id] = Content(digest, record.path, stamp)
        else:
            new.append((record.id, record.path, stamp))
    # Threads are enough, since reading and hashing release the interpreter lock. Files are hashed
    # in batches, since passing a small file to a thread takes longer than hashing it.
    threads = min(8, 2 * cores())
    step = max(1, min(_BATCH, len(new) // (4 * threads)))
    batches = [new[at : at + step] for at in range(0, len(new), step)]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        hashed = pool.map(lambda batch: [_hash_or_failure(path) for _, path, _ in batch], batches)
        done = 0
        for batch, contents in zip(batches, hashed, strict=True):
            for (identity, path, stamp), content in zip(batch, contents, strict=True):
                if isinstance(content, Failure):
                    unread[identity] = content
                else:
                    files[identity] = Content(content, path, stamp)
                    index.put(path, stamp, content)
            done += len(batch)
            progress("reading files", done, len(new))
    index.save()
    return files, unread


def _hash_or_failure(path: str) -> str | Failure:
    try:
        return hash_file(path)
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return Failure("unreadable", f"the file cannot be read: {error.strerror}")

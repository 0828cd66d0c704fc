"""What the files of a manifest hold, by content hash, without reading unchanged ones again."""

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
from plainfilm.data.shards import FileIndex, Stamp
from plainfilm.decoding.decode import Failure
from plainfilm.records import Record

__all__ = ["Content", "hash_files"]

_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Content:
    """One content to decode, and the file that has it."""

    digest: str
    path: str
    stamp: Stamp

    def has_changed(self) -> bool:
        """Tell whether bytes read just now may be others than those that were hashed."""
        try:
            now = Path(self.path).stat()
        except OSError:
            return True
        return Stamp.of(now) != self.stamp


def hash_files(
    records: Sequence[Record], cache: Path, progress: Progress
) -> tuple[dict[str, Content], dict[str, Failure]]:
    """Return the content of every record's file by id, and why it is not known.

    What was hashed is remembered in the folder ``cache``.
    """
    # Only here, so that it goes when this ends: it knows of every file that was ever seen.
    index = FileIndex(cache / "files")
    files: dict[str, Content] = {}
    unread: dict[str, Failure] = {}
    new: list[tuple[str, str, Stamp]] = []
    for record in records:
        try:
            status = os.stat(record.path)  # noqa: PTH116 (a hundred thousand times)
        except (OSError, ValueError):
            unread[record.id] = Failure("missing", "there is no such file")
            continue
        if not stat.S_ISREG(status.st_mode):
            unread[record.id] = Failure("unreadable", "this is no ordinary file")
        elif digest := index.get(record.path, stamp := Stamp.of(status)):
            files[record.id] = Content(digest, record.path, stamp)
        else:
            new.append((record.id, record.path, stamp))
    # Reading and hashing let go of the interpreter: threads are enough. Handing a small file to one
    # takes longer than hashing it.
    threads = min(8, 2 * cores())
    step = max(1, min(_TOGETHER, len(new) // (4 * threads)))
    parts = [new[at : at + step] for at in range(0, len(new), step)]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        hashed = pool.map(lambda part: [_hash_or_failure(path) for _, path, _ in part], parts)
        done = 0
        for part, contents in zip(parts, hashed, strict=True):
            for (identity, path, stamp), content in zip(part, contents, strict=True):
                if isinstance(content, Failure):
                    unread[identity] = content
                else:
                    files[identity] = Content(content, path, stamp)
                    index.put(path, stamp, content)
            done += len(part)
            progress("reading files", done, len(new))
    index.save()
    return files, unread


def _hash_or_failure(path: str) -> str | Failure:
    try:
        return hash_file(path)
    except FileNotFoundError:
        return Failure("missing", "there is no such file")
    except OSError as error:
        return Failure("unreadable", f"the file cannot be read: {error.strerror}")

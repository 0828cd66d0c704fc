"""Atomic writes, SHA-256 and canonical JSON: how every stage leaves its files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plainfilm.errors import StorageError

__all__ = [
    "atomic_path",
    "canonical_json",
    "explain_oserror",
    "hash_bytes",
    "hash_file",
    "hash_json",
    "make_folder",
    "read_into",
    "read_json",
    "write_bytes",
    "write_json",
    "write_text",
]


def explain_oserror(error: OSError, path: Path | str) -> StorageError:
    """Turn an operating-system error about ``path`` into a sentence with a way out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"the disk that holds {path} is full",
            remedy="free some space, or choose another place; what was finished before is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"{path} cannot be written", received=error.strerror, remedy="choose a writable place"
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return StorageError(
            f"{path} cannot be a folder: a file is in the way", remedy="choose another place"
        )
    return StorageError(f"{path} cannot be written", received=error.strerror or str(error))


def make_folder(path: Path) -> Path:
    """Create ``path`` and its parents, and prove that a file can be written in it.

    Raises
    ------
    StorageError
        If it cannot be made or written.
    """
    import tempfile

    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise explain_oserror(error, path) from error
    return path


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that takes its name only if the block succeeds.

    A reader sees the old file or the whole new one, whenever the writer is killed.
    """
    import tempfile  # what only reads is up sooner without it

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise explain_oserror(error, path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; what we leave should obey the user's umask like any other.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise explain_oserror(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically, for people: indented, keys in their given order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_into(file: Any, out: memoryview) -> None:
    """Read from a binary file or pipe until ``out`` is full.

    Raises
    ------
    EOFError
        If it ends before.
    """
    view = out.cast("B")
    while len(view):
        count = file.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def hash_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value``."""
    return hash_bytes(canonical_json(value).encode())

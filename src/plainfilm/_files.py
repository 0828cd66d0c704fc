"""Reads regular files; writes files atomically; computes SHA-256 hashes; reads and writes JSON."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plainfilm._leftovers import create_part, remove_leftovers
from plainfilm.errors import StorageError, UsageError

MEBI = 1 << 20
DOCUMENT_BYTES = 256 * MEBI
"""Most bytes of a document, far above that of a million images."""

_remove_leftovers_once = functools.cache(remove_leftovers)


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, without its path and the number of the error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def explain_oserror(error: OSError, path: Path | str) -> StorageError:
    """Convert an operating-system error about ``path`` to an error with a remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"the disk that holds {path} is full",
            remedy="free some space, or choose another folder; finished work is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"{path} cannot be written", received=error.strerror, remedy="choose a writable folder"
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        problem = f"{path} cannot be a folder: a file is in the way"
        return StorageError(problem, remedy="choose another folder")
    return StorageError(f"{path} cannot be written", received=error.strerror or str(error))


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, and check that files can be written in it."""
    import tempfile

    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise explain_oserror(error, path) from error
    return path


def check_output_folder(folder: Path, *markers: str) -> None:
    """Raise a UsageError if a folder has files that are not from an earlier call.

    ``markers`` are the files of an earlier call; evaluations in folders below are accepted, too.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    others = [path for path in entries if not path.name.startswith(".")]
    if any((folder / marker).is_file() for marker in markers):
        return
    if any(not (path / "evaluation.json").is_file() for path in others):
        raise UsageError(
            f"{folder} holds other files, which could be overwritten",
            received=", ".join(path.name for path in others[:5]),
            remedy="name a new folder with out=",
        )


@contextlib.contextmanager
def atomic_path(path: Path, place: Callable[[Path, Path], object] = Path.replace) -> Iterator[Path]:
    """Yield a temporary file that replaces ``path`` if the block succeeds.

    ``place`` gives the complete temporary file its name in another way.

    Even if the writer is killed, a reader sees the complete old or the complete new file. What
    killed writers left in the folder is removed by the first write of a process to it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(path.parent)
        temporary, lock = create_part(path)
    except OSError as error:
        raise explain_oserror(error, path) from error
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # mkstemp creates private files; apply the permissions that the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        place(temporary, path)
    except OSError as error:
        raise explain_oserror(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8.

    What UTF-8 cannot hold, as in the name of a file that is not UTF-8, is escaped as in JSON.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def canonical_json(value: Any) -> str:
    """Return ``value`` as canonical JSON: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically, as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_into(file: Any, out: memoryview) -> None:
    """Read from a binary file or pipe until ``out`` is full; an early end is an EOFError."""
    view = out.cast("B")
    while len(view):
        count = file.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]


def open_regular(path: str | Path, most: int | None = None) -> io.FileIO:
    """Open a file that was not written here, without waiting.

    An OSError is raised if it is a folder, pipe or device, which might never end, or if it has more
    than ``most`` bytes.
    """
    file = open(path, "rb", buffering=0, opener=open_at_once)  # noqa: SIM115
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and (most is None or found.st_size <= most):
        return file
    file.close()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    size = f"{found.st_size:,} bytes, more than {most:,}"
    raise OSError(errno.EFBIG, size, str(path))


def open_at_once(path: str, flags: int) -> int:
    """Open a file like `os.open`, without waiting for the other end of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_regular(path: str | Path, most: int = DOCUMENT_BYTES) -> bytes:
    """Return the content of a file; errors are those of `open_regular`."""
    with open_regular(path, most) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)
    if len(data) != size:
        raise OSError(errno.EIO, "it changes while it is read", str(path))
    return data


def read_json(path: Path) -> Any:
    """Read a JSON document; raise an OSError or ValueError if it cannot be read."""
    return parse_json(read_regular(path))


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON document, or raise a ValueError.

    Refused are also NaN and infinity, keys that occur twice, and text that has no form in UTF-8.
    """
    text = data.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        if "\\ud" in text.lower():  # half of a character that is written as two escapes
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:100]!r} occurs twice")
    return found


def hash_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value``."""
    return hash_bytes(canonical_json(value).encode("utf-8", "backslashreplace"))

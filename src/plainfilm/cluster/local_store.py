"""A store in a folder of this machine, or in one that several machines share."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from plainfilm._files import atomic_path, explain_oserror, reason_of, write_bytes
from plainfilm.cluster.stores import Entry, Reason, StoreError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV)
_UNREACHABLE = (
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    *(errno.ENOTCONN, errno.ECONNRESET, errno.ENETUNREACH, errno.EREMOTEIO, errno.EMFILE),
)
_CLAIM_SECONDS = 60.0


class LocalStore:
    """A folder.

    A new object is written to a temporary file in its folder, flushed to the disk, and linked under
    its name, which fails if the name exists. On file systems without hard links the writer first
    creates ``.NAME.claim``, which only one process can, and renames the temporary file. In both
    cases a reader sees nothing or the complete object. A claim whose owner was killed is ignored
    after a minute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.uri = str(self.path)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield the objects directly in a folder; hidden files are temporary and left out."""
        try:
            with os.scandir(self.path / folder) as found:
                for entry in found:
                    if not entry.name.startswith(".") and entry.is_file():
                        stat = entry.stat()
                        yield Entry(f"{folder}/{entry.name}", stat.st_size, stat.st_mtime)
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain_read(error, self.path / folder) from error

    def exists(self, name: str) -> bool:
        """Return whether there is an object."""
        try:
            (self.path / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise explain_read(error, self.path / name) from error
        return True

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Open an object to read it."""
        try:
            return open(self.path / name, "rb")
        except OSError as error:
            raise explain_read(error, self.path / name) from error

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object; return False if it exists."""
        path = self.path / name
        if path.exists():
            return False
        created = False

        def place(temporary: Path, path: Path) -> None:
            nonlocal created
            created = _link(temporary, path)

        with atomic_path(path, place) as temporary:
            temporary.write_bytes(data)
        _flush_folder(path.parent)
        return created

    def replace(self, name: str, data: bytes) -> None:
        """Write an object in place of one that may exist."""
        write_bytes(self.path / name, data)

    def remove(self, name: str) -> None:
        """Remove an object if it exists."""
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise explain_oserror(error, self.path / name) from error


def explain_read(error: OSError, path: Path | str) -> StoreError:
    """Return the error of a file that cannot be read."""
    reason: Reason = "unreadable"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        reason = "missing"
    elif error.errno in _UNREACHABLE:
        reason = "unreachable"
    return StoreError(reason, f"{path} cannot be read", received=reason_of(error))


def _link(temporary: Path, path: Path) -> bool:
    """Give a complete file its name; return False if the name exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _claim_and_rename(temporary, path)
    return True


def _claim_and_rename(temporary: Path, path: Path) -> bool:
    """Give a file its name where there are no hard links; return False if the name exists."""
    claim = path.with_name(f".{path.name}.claim")
    while True:
        try:
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            if path.exists():
                return False
            with contextlib.suppress(FileNotFoundError):
                if time.time() - claim.stat().st_mtime > _CLAIM_SECONDS:
                    claim.unlink()
            time.sleep(0.01)
            continue
        try:
            if path.exists():
                return False
            temporary.rename(path)
            return True
        finally:
            claim.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, on systems that can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

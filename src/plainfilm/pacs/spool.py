"""Stores received images and results as files, so that a crash at any moment loses none.

An image is written as a ``.part`` file, synced, renamed, and its folder synced; then the ledger
records it, and only then may the sender get a success. A file is removed after the ledger has
recorded that it is not needed any more. `Spool.recover` removes what a crash left behind; files
that the ledger does not know are moved to quarantine, since it may be an older copy.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plainfilm._files import explain_oserror, reason_of
from plainfilm.errors import StorageError
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.state_folder import FOLDERS, check_folder, check_platform

__all__ = ["GIBI", "Recovery", "Spool", "data_set_of", "store_image"]

Buffer = bytes | bytearray | memoryview

GIBI = 1 << 30
_LOCKS = 64
_LEDGER_BYTES = 16 << 20
_NO_FILE = {errno.ENOENT, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL}
"""What is missing, or a folder, link, socket or pipe in the place of a file."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `Spool.recover` found.

    Attributes
    ----------
    removed
        Files that were not complete or are not needed any more.
    unknown
        Files that are not in the ledger, now in quarantine: not acknowledged, or of a later ledger.
    lost_images
        Images that were acknowledged, but are missing or damaged, or whose result is missing. They
        are answered if they are sent again.
    lost_results
        Results to be delivered that are missing.
    """

    removed: int = 0
    unknown: int = 0
    lost_images: int = 0
    lost_results: int = 0


class Spool:
    """The files of a state folder: images in ``spool``, results in ``outbox``.

    Parameters
    ----------
    folder
        State folder, made by `plainfilm.pacs.state_folder.StateLock`.
    reserve
        Bytes of the file system that stay free.

    Raises
    ------
    StorageError
        If the folders are missing, not accessible or links.
    """

    def __init__(self, folder: Path, *, reserve: int = GIBI) -> None:
        check_platform()
        self.folder = folder
        self._reserve = reserve
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._folders: list[int] = []
        try:
            for name in FOLDERS:
                check_folder(folder / name)
                self._folders.append(os.open(folder / name, flags))
        except StorageError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise explain_oserror(error, folder / name) from error
        self._images, self._results, self._quarantine = self._folders

    def close(self) -> None:
        """Close the folders."""
        while self._folders:
            os.close(self._folders.pop())

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_room(self, more: int = 0) -> bool:
        """Return whether the reserve stays free after writing ``more`` bytes."""
        return self.free() - more >= self._reserve

    def free(self) -> int:
        """Return the free bytes of the file system."""
        found = os.fstatvfs(self._images)
        return found.f_bavail * found.f_frsize

    def exclusive(self, key: str) -> threading.Lock:
        """Return the lock of an image; two senders may send the same one at the same time."""
        return self._locks[hash(key) % _LOCKS]

    def receive(self, key: str, *parts: Buffer) -> None:
        """Store an image durably; an OSError, also without room, leaves no incomplete file."""
        self._write(self._images, key, parts)

    def write_result(self, key: str, data: Buffer) -> None:
        """Store a result durably; an OSError leaves no incomplete file.

        Results may use most of the reserve, since delivering them makes room again; recording
        that needs some.
        """
        self._write(self._results, key, (data,), reserve=min(self._reserve // 8, _LEDGER_BYTES))

    def read_image(self, key: str) -> bytes:
        """Return an image, also one in quarantine."""
        try:
            return _read(self._images, key)
        except FileNotFoundError:
            return _read(self._quarantine, key)

    def read_whole_image(self, key: str, sha256: str) -> bytes | None:
        """Return an image; None if it is missing, no regular file, or has another content."""
        try:
            data = self.read_image(key)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        return data if hashlib.sha256(data_set_of(data)).hexdigest() == sha256 else None

    def read_result(self, key: str) -> bytes:
        """Return a result."""
        return _read(self._results, key)

    def drop_image(self, key: str) -> None:
        """Remove an image; call it after the ledger recorded that it is answered."""
        _remove(self._images, _name(key))

    def drop_result(self, key: str) -> None:
        """Remove a result; call it after the ledger recorded its last delivery."""
        _remove(self._results, _name(key))

    def quarantine(self, key: str) -> None:
        """Move an image that cannot be decoded; call it before `Ledger.finish`."""
        self._set_aside(self._images, _name(key))

    def quarantined(self) -> Iterator[os.stat_result]:
        """Yield the details of the files in quarantine."""
        for name in _names(self._quarantine):
            with contextlib.suppress(FileNotFoundError):
                yield os.stat(name, dir_fd=self._quarantine, follow_symlinks=False)

    def remove_quarantined(self, before: float, ledger: Ledger) -> int:
        """Remove files moved to quarantine before a Unix time; return their number.

        Those of images that are not answered yet stay.
        """
        count = 0
        waiting = {_name(key) for key in ledger.waiting_images()}
        for name in set(_names(self._quarantine)) - waiting:
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=self._quarantine, follow_symlinks=False)
                if found.st_ctime < before:
                    os.unlink(name, dir_fd=self._quarantine)
                    count += 1
        return count

    def recover(self, ledger: Ledger) -> Recovery:
        """Remove what a crash left, and find what is missing; call it when a service starts.

        The caller holds the lock of the folder, and no other process uses it.

        Raises
        ------
        StorageError
            If the ledger is damaged, or a file cannot be read or removed.
        """
        ledger.check()
        try:
            waiting, needed = ledger.waiting_images(), ledger.needed_results()
            images = self._clear(self._images, waiting, ledger.has_image)
            results = self._clear(self._results, needed, ledger.has_result)
            lost = self._lost_images(waiting)
            if lost:
                ledger.finish(dict.fromkeys(lost, "lost"), [], [])
            missing = needed - {name.removesuffix(".dcm") for name in _names(self._results)}
            affected = ledger.lose_results(missing) if missing else 0
        except OSError as error:
            path = next(self.folder.glob(f"*/{error.filename}"), self.folder)
            problem, remedy = f"{path} cannot be used", "check the disk and the owner of the file"
            raise StorageError(problem, received=reason_of(error), remedy=remedy) from error
        return Recovery(
            images[0] + results[0], images[1] + results[1], len(lost) + affected, len(missing)
        )

    def _clear(
        self, folder: int, needed: Collection[str], is_known: Callable[[str], bool]
    ) -> tuple[int, int]:
        """Return how many files, not needed or incomplete, were removed, and how many set aside."""
        counts = [0, 0]
        for name in _names(folder):
            key, _, kind = name.partition(".")
            if kind == "dcm" and key in needed:
                continue
            unknown = not (name.endswith(".part") or (kind == "dcm" and is_known(key)))
            (self._set_aside if unknown else _remove)(folder, name)
            counts[unknown] += 1
        return counts[0], counts[1]

    def _set_aside(self, folder: int, name: str) -> None:
        """Move a file to quarantine, unless it was moved before."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(name, name, src_dir_fd=folder, dst_dir_fd=self._quarantine)
            os.fsync(self._quarantine)

    def _lost_images(self, waiting: Mapping[str, str]) -> list[str]:
        """Return the images that are missing or damaged; the latter are moved to quarantine."""
        lost = []
        for key, sha256 in waiting.items():
            try:
                whole = self.read_whole_image(key, sha256) is not None
            except OSError as error:
                if error.errno != errno.EIO:  # it is tried again when it is answered
                    raise
                continue
            if not whole:
                self.quarantine(key)
                lost.append(key)
        return lost

    def _write(
        self, folder: int, key: str, parts: tuple[Buffer, ...], reserve: int | None = None
    ) -> None:
        """Write, sync, rename, and sync the folder."""
        views = [memoryview(part).cast("B") for part in parts]
        size = sum(view.nbytes for view in views)
        if self.free() - size < (self._reserve if reserve is None else reserve):
            raise OSError(errno.ENOSPC, "the reserve of the disk is reached")
        name = _name(key)
        part = f"{key}.{os.urandom(4).hex()}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(part, flags, 0o600, dir_fd=folder)
        try:
            try:
                os.fchmod(descriptor, 0o600)
                for view in views:
                    while view.nbytes:
                        view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(folder, part)
            raise
        os.fsync(folder)


def store_image(
    ledger: Ledger, spool: Spool, key: str, uid: str, sha256: str, study: str, *parts: Buffer
) -> bool:
    """Store an image and record it; return False if it was recorded before.

    When it returns, the sender may get a success. After an OSError the sender gets a failure, and
    no file stays.
    """
    with spool.exclusive(key):
        if ledger.has_image(key):
            return False
        try:
            spool.receive(key, *parts)
            return ledger.add_image(key, uid, sha256, study)
        except BaseException:
            with contextlib.suppress(OSError, StorageError):
                if not ledger.has_image(key):
                    spool.drop_image(key)
            raise


def data_set_of(data: bytes) -> memoryview:
    """Return the data set of a DICOM file without its preamble and file meta information."""
    view = memoryview(data)
    if data[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return view
    return view[144 + int.from_bytes(view[140:144], "little") :]


def _name(key: str) -> str:
    """Return the name of the file of a key, which must not lead out of the folder."""
    if not (key.isascii() and key.isalnum()):
        raise ValueError("a key is a hash")
    return f"{key}.dcm"


def _names(folder: int) -> list[str]:
    """Return the names of the files in a folder, without folders such as lost+found."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]


def _read(folder: int, key: str) -> bytes:
    """Return the content of a regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(_name(key), flags, dir_fd=folder)
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", _name(key))
        return file.read()


def _remove(folder: int, name: str) -> None:
    """Remove a file, also one that is already gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)

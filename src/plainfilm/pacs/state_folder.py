"""Makes the state folder of a service private, and locks it.

The folder and those in it have the mode 0700, and their files 0600, whatever the umask. Symbolic
links in the folder are not followed.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from pathlib import Path

from plainfilm._files import explain_oserror
from plainfilm.errors import StorageError, UsageError

__all__ = [
    "FOLDERS",
    "LEDGER",
    "StateLock",
    "check_folder",
    "check_platform",
    "check_regular",
    "service_process",
]

LEDGER = "ledger.db"
FOLDERS = ("spool", "outbox", "quarantine")
_LOCK = "lock"
_POSIX = os.name == "posix"
_LOCK_SECONDS = 30.0  # a network process that outlives its service by a moment holds the lock, too
_SERVICE_SECONDS = 1.0  # a service that is being stopped holds the lock


class StateLock:
    """Creates a state folder and holds its lock until it is released or its processes end.

    The network process must inherit the lock (`subprocess.Popen` with ``pass_fds``), so that no
    other service starts on the folder while a process of the first one still writes to it.

    Parameters
    ----------
    folder
        State folder; it is created if it does not exist.
    seconds
        Longest time to wait for the lock while the service that took it has ended, but not yet its
        network process.

    Raises
    ------
    UsageError
        If another service holds the lock, or the folder holds other files.
    StorageError
        If the folder is not writable or is not private.
    """

    def __init__(self, folder: Path, *, seconds: float = _LOCK_SECONDS) -> None:
        check_platform()
        try:
            _make_private(folder)
            check_regular(folder / _LOCK, "remove it")
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self.descriptor = os.open(folder / _LOCK, flags, 0o600)
        except OSError as error:
            raise explain_oserror(error, folder) from error
        try:
            os.fchmod(self.descriptor, 0o600)
            self._wait(folder, seconds)
            text = json.dumps({"process": os.getpid(), "since": int(time.time())})
            os.truncate(self.descriptor, 0)
            os.pwrite(self.descriptor, text.encode(), 0)
        except OSError as error:
            self.release()
            raise explain_oserror(error, folder) from error
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> StateLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock; the file stays."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _wait(self, folder: Path, seconds: float) -> None:
        """Take the lock, or raise a UsageError."""
        began = time.monotonic()
        while not _lock(self.descriptor):
            process = service_process(folder)
            waited = time.monotonic() - began
            if waited > (min(seconds, _SERVICE_SECONDS) if _is_alive(process) else seconds):
                raise UsageError(
                    f"another service uses the state folder {folder}",
                    received=f"process {process or 'unknown'}",
                    remedy="stop that service, or choose another folder with --state",
                )
            time.sleep(0.05)


def check_platform() -> None:
    """Raise a UsageError on systems without file locks and without fsync of folders."""
    if not _POSIX:
        raise UsageError(
            "state folders need Linux",
            received="a system without flock and without fsync of folders",
            remedy="run the service and its commands on Linux or in a container",
        )


def check_regular(path: Path, remedy: str) -> None:
    """Refuse a link, folder or device in the place of a file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise StorageError(f"{path} is not a regular file", remedy=remedy)


def check_folder(path: Path) -> None:
    """Refuse a link or file in the place of a folder."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        remedy = "put the folder itself in its place, with its files"
        raise StorageError(f"{path} is not a folder", remedy=remedy)


def service_process(folder: Path) -> int | None:
    """Return the number of the process of a running service; 0 if unknown, None if none runs."""
    check_platform()
    check_regular(folder / _LOCK, "remove it")
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(folder / _LOCK, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain_oserror(error, folder) from error
    try:
        if _lock(descriptor, shared=True):
            return None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return int(json.loads(os.pread(descriptor, 4096, 0))["process"])
        return 0
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    """Return False if another process holds the lock."""
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(process: int | None) -> bool:
    """Return whether a process exists."""
    if not process:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _make_private(folder: Path) -> None:
    """Create a folder and those in it, or give an earlier state folder its mode again."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {entry.name for entry in os.scandir(folder)}
    if names and LEDGER not in names and names - {_LOCK, "lost+found", *FOLDERS}:
        raise UsageError(
            f"{folder} holds other files",
            received=", ".join(sorted(names)[:5]),
            remedy="name a new or empty folder with --state",
        )
    folder.chmod(0o700)
    for name in FOLDERS:
        path = folder / name
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        check_folder(path)
        path.chmod(0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

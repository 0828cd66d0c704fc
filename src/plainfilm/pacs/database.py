"""Opens the SQLite file of a state folder, and turns its errors into those that callers handle.

The file is in WAL mode with ``synchronous=FULL``: what is committed survives a power failure.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from plainfilm._files import explain_oserror, reason_of
from plainfilm.errors import StorageError, UsageError
from plainfilm.pacs.state_folder import FOLDERS, check_regular

__all__ = ["SCHEMA", "Database"]

SCHEMA = 1
"""Version of the tables, in ``PRAGMA user_version``."""

BUSY_SECONDS = 30.0
"""Longest time that a process waits for the transaction of another one."""

_TABLES = """
CREATE TABLE images (
    key TEXT PRIMARY KEY, uid TEXT NOT NULL, sha256 TEXT NOT NULL, study TEXT NOT NULL,
    state TEXT NOT NULL, outcome TEXT, attempts INTEGER NOT NULL DEFAULT 0,
    received REAL NOT NULL, finished REAL, batch TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX images_content ON images (uid, sha256);
CREATE INDEX images_versions ON images (uid) WHERE state != 'ignored';
CREATE INDEX images_waiting ON images (received) WHERE state = 'received';
CREATE INDEX images_studies ON images (study, received) WHERE state = 'received';
CREATE INDEX images_outcomes ON images (state, outcome);
CREATE TABLE results (
    key TEXT PRIMARY KEY, uid TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    created REAL NOT NULL, batch TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX results_batches ON results (batch);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, result TEXT NOT NULL, destination TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL,
    status TEXT, since REAL NOT NULL, commitment TEXT
);
CREATE UNIQUE INDEX deliveries_results ON deliveries (result, destination);
CREATE INDEX deliveries_due ON deliveries (destination, due)
    WHERE state IN ('waiting', 'committing');
CREATE INDEX deliveries_needed ON deliveries (result)
    WHERE state IN ('waiting', 'committing', 'parked', 'class-refused');
CREATE INDEX deliveries_states ON deliveries (destination, state, status, since);
CREATE INDEX deliveries_commitments ON deliveries (commitment) WHERE state = 'committing';
CREATE TABLE fetches (
    uid TEXT PRIMARY KEY, state TEXT NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL,
    reason TEXT NOT NULL, since REAL NOT NULL
) WITHOUT ROWID;
"""
_STATEMENTS = [text.strip() for text in _TABLES.split(";") if text.strip()]

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
_NEW_FOLDER = (
    "start with a new state folder, then send the images in the old spool to the service, and the "
    "results in the old outbox to the archive"
)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """The SQLite file of a state folder; one instance for each process, safe for threads.

    An operation that cannot be stored, because the disk is full, fails or is read-only, or because
    another process does not end its transaction, raises an OSError and changes nothing.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._connection = connection
        self._clock = clock
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Self:
        """Open the file; create it if it does not exist.

        Raises
        ------
        StorageError
            If the file is damaged, of another schema version, not writable or no regular file; or
            if it is missing or empty while the state folder holds images or results.
        """
        try:
            _create(path)
        except OSError as error:
            raise explain_oserror(error, path) from error
        return cls._connect(path, "rw", clock)

    @classmethod
    def open_existing(cls, path: Path, *, write: bool = False) -> Self:
        """Open the file of a state folder, also while a service uses it; create nothing."""
        try:
            path.stat()
            if os.statvfs(path).f_flag & os.ST_RDONLY:  # SQLite writes -shm also to read
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            if not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{path.parent} is not the state folder of a service",
                received=f"no {path.name} in it",
                remedy="give the folder that listen or dicomweb got as --state",
            ) from error
        except OSError as error:
            remedy = "run the command as the user that runs the service"
            if error.errno == errno.EROFS:
                remedy = "mount the file system so that it can be written, or use a copy"
            problem = f"{path} cannot be used"
            raise StorageError(problem, received=reason_of(error), remedy=remedy) from error
        return cls._connect(path, "rw" if write else "ro", time.time)

    @classmethod
    def _connect(cls, path: Path, mode: str, clock: Callable[[], float]) -> Self:
        """Return a database whose tables exist and have the version of this code."""
        for name in ("", "-wal", "-shm"):
            remedy = "put the file itself in its place; never remove it without spool and outbox"
            check_regular(path.with_name(path.name + name), remedy)
        with _errors(path, opening=True):
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        try:
            with _errors(path, opening=True):
                _prepare(connection, path, create=mode == "rw")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def check(self) -> None:
        """Raise a StorageError if the file is damaged; a million rows take about a second."""
        with self._reading() as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _damaged(self.path, "quick_check found an error")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection to this thread alone."""
        with self._lock, _errors(self.path):
            yield self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction: one commit, or no change."""
        with self._lock, _errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise


def _create(path: Path) -> None:
    """Create an empty private file, whatever the umask, unless there is one."""
    if os.path.lexists(path):
        return
    _check_unused(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with contextlib.suppress(FileExistsError):  # another process was faster
        descriptor = os.open(path, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _check_unused(path: Path) -> None:
    """Refuse to start a new ledger for images and results that an earlier one knew."""
    found = [name for name in FOLDERS if any((path.parent / name).glob("*.dcm"))]
    if found:
        raise StorageError(
            f"{path} is missing or empty, but there are files in {' and '.join(found)}",
            remedy=f"restore it together with its -wal; or {_NEW_FOLDER}",
        )


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    """Set up the connection; create the tables in an empty file; check their version."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA synchronous = FULL")
    version = _version(connection)
    empty = not connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    if version == 0 and empty and create:
        _check_unused(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)
        if version == 0:
            for statement in _STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
            version = SCHEMA
        connection.execute("COMMIT")
    if version != SCHEMA:
        newer = version > SCHEMA
        raise StorageError(
            f"this version of plainfilm cannot read {path}",
            received=f"schema {version} instead of {SCHEMA}",
            remedy="upgrade plainfilm" if newer else "start with a new state folder",
        )
    tables = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema")}
    if not tables.issuperset(_STATEMENTS):
        raise _damaged(path, "a table or an index is missing")
    if create:
        connection.execute("PRAGMA journal_size_limit = 67108864")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def _errors(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn SQLite's errors into OSErrors, and damage into a StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        unknown = isinstance(error, sqlite3.OperationalError) and not code  # text not in UTF-8
        if code in _DAMAGED or unknown or (opening and code == sqlite3.SQLITE_ERROR):
            raise _damaged(path, str(error)) from error
        if code not in _ERRNO:
            raise
        number = _ERRNO[code]
        reason = OSError(number, os.strerror(number), str(path))
        raise (explain_oserror(reason, path) if opening else reason) from error


def _damaged(path: Path, reason: str) -> StorageError:
    """Return the error about a damaged file."""
    return StorageError(
        f"{path} is damaged",
        received=reason,
        remedy=_NEW_FOLDER,
    )

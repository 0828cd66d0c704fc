"""Simulates crashes, power failures and errors of a disk under the spool and the ledger."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plainfilm.pacs import spool as spool_module
from plainfilm.pacs.ledger import Ledger, ResultRow, image_key, uid_key
from plainfilm.pacs.spool import Recovery, Spool, store_image
from plainfilm.pacs.state_folder import LEDGER, StateLock

DESTINATIONS = ("a", "b")


class Crash(BaseException):
    """The end of the simulated process; nothing that it does afterwards has an effect."""


class Disk:
    """Replaces the calls of the spool to the system, and fails one of them.

    Each call and each statement of SQLite is a step. At the step ``at``, an ``error`` is raised, or
    without one the process crashes: no later step does anything, and what was not synced is undone
    at random.
    """

    def __init__(self, at: int, error: Callable[[], Exception] | None, seed: int = 0) -> None:
        self.at, self.error = at, error
        self.steps = 0
        self.crashed = False
        self.random = random.Random(seed)
        self.written: set[str] = set()  # files that are not synced
        self.undo: list[tuple[int, Callable[[], None]]] = []  # changes of folders not synced

    def step(self) -> None:
        """Count a step; fail if it is the one."""
        self.steps += 1
        if self.crashed:
            raise Crash
        if self.steps == self.at:
            if self.error is not None:
                raise self.error()
            self.crashed = True
            raise Crash

    def module(self) -> types.SimpleNamespace:
        """Return a replacement of the module `os`."""
        names = {name: getattr(os, name) for name in dir(os)}
        for name in ("open", "write", "fsync", "rename", "unlink"):
            names[name] = getattr(self, name)
        return types.SimpleNamespace(**names)

    def open(self, name: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self.step()
        descriptor = os.open(name, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT and dir_fd is not None:
            self.written.add(_place(descriptor))
        return descriptor

    def write(self, descriptor: int, data: Any) -> int:
        self.step()
        return os.write(descriptor, data[: 1 + len(data) // 2])

    def fsync(self, descriptor: int) -> None:
        self.step()
        self.written.discard(_place(descriptor))
        self.undo = [one for one in self.undo if one[0] != descriptor]

    def rename(self, old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        self.step()
        before = self._content(new, dst_dir_fd)
        os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        source, target = f"{_place(src_dir_fd)}/{old}", f"{_place(dst_dir_fd)}/{new}"
        if source in self.written:
            self.written.remove(source)
            self.written.add(target)

        def undo() -> None:
            with contextlib.suppress(FileNotFoundError):
                Path(target).rename(source)
            if before is not None:
                Path(target).write_bytes(before)

        self.undo.append((dst_dir_fd, undo))

    def unlink(self, name: str, *, dir_fd: int) -> None:
        self.step()
        before = self._content(name, dir_fd)
        os.unlink(name, dir_fd=dir_fd)
        place = Path(_place(dir_fd), name)
        if before is not None:
            self.undo.append((dir_fd, lambda: place.write_bytes(before) and None))

    def _content(self, name: str, folder: int) -> bytes | None:
        with contextlib.suppress(OSError):
            return Path(_place(folder), name).read_bytes()
        return None

    def lose_power(self) -> None:
        """Undo some of what was not synced."""
        for name in self.written:
            with contextlib.suppress(FileNotFoundError):
                os.truncate(name, self.random.randrange(2))
        for _, undo in reversed(self.undo):
            if self.random.random() < 0.5:
                undo()


def _place(descriptor: int) -> str:
    """Return the path of an open file."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


class Connection:
    """A connection to SQLite each of whose statements is a step."""

    def __init__(self, connection: sqlite3.Connection, disk: Disk) -> None:
        self._connection, self._disk = connection, disk
        connection.execute("PRAGMA synchronous = OFF")  # what is committed counts as synced

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> Any:
        self._disk.step()
        done = self._connection.execute(statement, *values)
        if statement == "COMMIT":
            self._disk.step()  # the crash may also come right after it
        return done

    def executemany(self, statement: str, values: Any) -> Any:
        self._disk.step()
        return self._connection.executemany(statement, values)


class World:
    """A state folder, and what its peers know: acknowledged images and delivered results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged: set[str] = set()
        self.delivered: dict[str, set[str]] = {name: set() for name in DESTINATIONS}
        self.data: dict[str, bytes] = {}
        self.quarantined: set[str] = set()

    def start(self, disk: Disk, patch: Any) -> None:
        """Start a service on the folder, and check what it recovers."""
        with contextlib.ExitStack() as stack:
            self.lock = stack.enter_context(StateLock(self.folder, seconds=0))
            self.ledger = Ledger.open(self.folder / LEDGER)
            stack.callback(self.ledger.close)
            self.spool = stack.enter_context(Spool(self.folder, reserve=0))
            patch.setattr(spool_module, "os", disk.module())
            self.ledger._connection = Connection(self.ledger._connection, disk)  # type: ignore[assignment]
            recovery = self.spool.recover(self.ledger)
            assert (recovery.lost_images, recovery.lost_results) == (0, 0)
            self.check_files()
            self.stack = stack.pop_all()

    def stop(self, disk: Disk, patch: Any) -> None:
        """End the service; after a crash, without any effect of what it still does."""
        patch.undo()
        if disk.crashed:
            disk.lose_power()
        self.stack.close()

    def check_files(self) -> None:
        """Check after a recovery that no file is missing and none is left over."""
        names = {
            folder: {path.name for path in (self.folder / folder).iterdir()}
            for folder in ("spool", "outbox", "quarantine")
        }
        waiting = {f"{key}.dcm" for key in self.ledger.waiting_images()}
        assert names["spool"] <= waiting <= names["spool"] | names["quarantine"]
        assert names["outbox"] == {f"{key}.dcm" for key in self.ledger.needed_results()}
        assert self.quarantined <= names["quarantine"]
        for key in self.acknowledged:
            assert self.ledger.has_image(key)

    def send(self, name: str) -> None:
        """Send an image as an archive does."""
        data = name.encode() * 50
        uid, sha256 = uid_key(name), hashlib.sha256(data).hexdigest()
        key = image_key(uid, sha256)
        self.data[key] = data
        if self.ledger.known(uid, sha256) == "new":
            store_image(self.ledger, self.spool, key, uid, sha256, uid_key(name[0]), data)
        self.acknowledged.add(key)

    def answer(self, *, refuse: bool = False) -> None:
        """Answer one study, as the service does."""
        images = self.ledger.due_images(0, 3)
        if not images:
            return
        keys = [one.key for one in images]
        self.ledger.begin(keys)
        for key in keys:
            assert self.spool.read_image(key) == self.data[key]
        text = " ".join(sorted(keys))
        row = ResultRow(uid_key(f"key {text}"), uid_key(text), "report")
        self.spool.write_result(row.key, text.encode())
        if refuse:
            self.spool.quarantine(keys[0])
        outcomes = dict.fromkeys(keys, "predicted")
        for known in self.ledger.finish(outcomes, [row], DESTINATIONS):
            self.spool.drop_result(known)
        if refuse:
            self.quarantined.add(f"{keys[0]}.dcm")
        for key in keys:
            self.spool.drop_image(key)

    def deliver(self, destination: str) -> None:
        """Deliver one result."""
        for one in self.ledger.due_deliveries(destination, self.ledger._clock(), 1):
            text = self.spool.read_result(one.result).decode()
            self.delivered[destination].add(text)
            if self.ledger.delivered(one.id):
                self.spool.drop_result(one.result)

    def finish(self, patch: Any) -> None:
        """Work without failures until nothing waits; check that each image is answered once."""
        disk = Disk(0, None)
        self.start(disk, patch)
        while self.ledger.waiting_images():
            self.answer()
        for destination in DESTINATIONS:
            while self.ledger.next_delivery(destination) is not None:
                self.deliver(destination)
        for texts in self.delivered.values():
            keys = [key for text in texts for key in text.split()]
            assert len(keys) == len(set(keys)), "answered twice"
            assert self.acknowledged <= set(keys), "lost"
        assert self.spool.recover(self.ledger) == Recovery()
        assert not [*(self.folder / "spool").iterdir(), *(self.folder / "outbox").iterdir()]
        self.stop(disk, patch)
        shutil.rmtree(self.folder)

"""Defines a store: it reads objects, and writes each object once.

A store is a folder, also one that several machines share, or a prefix of an object store
(``s3://``, ``gs://``, ``az://``). Nothing but these few operations is needed of either, so that a
job has the same guarantees on both: an object is written completely or not at all, and the first
writer wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple, Protocol

from plainfilm.errors import StorageError

Reason = Literal["missing", "changed", "unreachable", "unreadable"]
"""Why an object cannot be read. ``unreachable`` is temporary: the store does not answer, or rejects
the credentials."""


class StoreError(StorageError):
    """An object or a store cannot be read; ``reason`` is a stable code."""

    def __init__(
        self, reason: Reason, problem: str, *, received: object = None, remedy: str | None = None
    ) -> None:
        self.reason: Reason = reason
        super().__init__(problem, received=received, remedy=remedy)


class Entry(NamedTuple):
    """An object: its name below the store, bytes, and time of its last change (seconds)."""

    name: str
    size: int
    modified: float


class Store(Protocol):
    """A folder or a prefix of an object store; names in it have ``/`` between their parts."""

    uri: str

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield the complete objects directly in ``folder``, in no order; none if it is missing."""

    def exists(self, name: str) -> bool:
        """Return whether there is an object."""

    def read(self, name: str) -> bytes:
        """Return the content of an object, or raise a StoreError."""

    def open(self, name: str) -> BinaryIO:
        """Open an object to read parts of it, or raise a StoreError."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object completely; return False if it exists, which is then not changed."""

    def replace(self, name: str, data: bytes) -> None:
        """Write an object completely, in place of one that may exist."""

    def remove(self, name: str) -> None:
        """Remove an object if it exists."""

"""Counts the connections, and the bytes of the messages being received, in all and by address."""

from __future__ import annotations

import threading
import time
from collections import Counter

from plainfilm.pacs.settings import NetworkLimits


class Budget:
    """What all connections share. One address never has everything.

    Parameters
    ----------
    limits
        Limits of connections and bytes. One address may have the bytes of one message.
    """

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._connections: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def connect(self, address: str) -> bool:
        """Count a connection; return False if there are too many."""
        limits = self._limits
        with self._changed:
            if (
                self._connections.total() >= limits.connections
                or self._connections[address] >= limits.connections_per_address
            ):
                return False
            self._connections[address] += 1
            return True

    def disconnect(self, address: str) -> None:
        """Count a connection that has ended."""
        with self._changed:
            self._connections[address] -= 1
            self._forget(address)

    def take(self, address: str, count: int, due: float) -> bool:
        """Count bytes of a message; wait for room until ``due``, then return False."""
        with self._changed:
            while not self._has_room(address, count):
                left = due - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            self._bytes[address] += count
            return True

    def give_back(self, address: str, count: int) -> None:
        """Count bytes of a message that is no longer in memory."""
        with self._changed:
            self._bytes[address] -= count
            self._forget(address)
            self._changed.notify_all()

    @property
    def connections(self) -> int:
        """Connections now."""
        with self._changed:
            return self._connections.total()

    @property
    def bytes(self) -> int:
        """Bytes of messages now."""
        with self._changed:
            return self._bytes.total()

    def _has_room(self, address: str, count: int) -> bool:
        return (
            self._bytes.total() + count <= self._limits.all_messages
            and self._bytes[address] + count <= self._limits.message
        )

    def _forget(self, address: str) -> None:
        """Keep no address that has nothing."""
        for counter in (self._connections, self._bytes):
            if not counter[address]:
                del counter[address]

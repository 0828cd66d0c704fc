"""Counts the connections, and the bytes of the messages being received, in all and by address."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable

from plainfilm.pacs.settings import NetworkLimits

_LOOK_SECONDS = 0.2


class Budget:
    """What all connections share. One address never has everything.

    Messages that find no room in common get the reserved room one after the other. It has room for
    a message of any length, so that messages never wait for each other's end in a circle.

    Parameters
    ----------
    limits
        Limits of connections and bytes.
    """

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._connections: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()  # without those in the reserved room
        self._waiting: dict[Hashable, str] = {}  # addresses of messages
        self._served: deque[str] = deque(maxlen=64)  # addresses that had the reserved room
        self._large: Hashable | None = None  # the message that has it
        self._since = 0.0

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

    def take(
        self, message: Hashable, address: str, taken: int, count: int, go_on: Callable[[], bool]
    ) -> bool:
        """Count bytes of a message that has ``taken`` before; wait for room while ``go_on()``."""
        with self._changed:
            try:
                while not self._has_room(message, address, count):
                    self._waiting.setdefault(message, address)
                    if self._is_next(message):
                        self._reserve(message, address, taken)
                        return True
                    self._changed.wait(_LOOK_SECONDS)
                    if not go_on():
                        return False
            finally:
                self._waiting.pop(message, None)
            if message is not self._large:
                self._bytes[address] += count
            return True

    def give_back(self, message: Hashable, address: str, count: int) -> None:
        """Count bytes of a message that is no longer in memory."""
        with self._changed:
            if message is self._large:
                self._large = None
            else:
                self._bytes[address] -= count
                self._forget(address)
            self._changed.notify_all()

    def is_blocking(self, message: Hashable) -> bool:
        """Whether other messages have waited too long for the room of this one."""
        with self._changed:
            return (
                message is self._large
                and bool(self._waiting)
                and time.monotonic() - self._since > self._limits.turn_seconds
            )

    @property
    def connections(self) -> int:
        """Connections now."""
        with self._changed:
            return self._connections.total()

    def _has_room(self, message: Hashable, address: str, count: int) -> bool:
        """Whether a message has the reserved room, or leaves as much free as its address has."""
        common = self._limits.all_messages - self._limits.message
        free = common - self._bytes.total() - count
        return message is self._large or self._bytes[address] + count <= free

    def _is_next(self, message: Hashable) -> bool:
        """Whether a message gets the reserved room: addresses take turns."""
        if self._large is not None:
            return False
        last = {address: number for number, address in enumerate(self._served)}
        return message is min(self._waiting, key=lambda one: last.get(self._waiting[one], -1))

    def _reserve(self, message: Hashable, address: str, taken: int) -> None:
        """Give a message the reserved room."""
        self._large, self._since = message, time.monotonic()
        self._served.append(address)
        self._bytes[address] -= taken
        self._forget(address)
        self._changed.notify_all()

    def _forget(self, address: str) -> None:
        """Keep no address that has nothing."""
        for counter in (self._connections, self._bytes):
            if not counter[address]:
                del counter[address]

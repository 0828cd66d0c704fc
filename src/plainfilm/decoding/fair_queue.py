"""A queue that serves all clients in turn, and all requests of a client in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Key(NamedTuple):
    """The client and the request that an item of a queue belongs to."""

    client: str
    request: int  # a later request has a higher number


NO_KEY = Key("", 0)
"""Key of all items where there are no clients."""


class FairQueue(Generic[T]):
    """Items by key. The next item is the first one of the request that waited longest for a turn.

    With c clients that wait, the first item of a client's only request is taken within c turns; if
    the client has r requests, within c * r turns. Items of one request keep their order.

    With ``newest``, a turn goes to the request with the highest number instead.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[int, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def keys(self) -> Iterator[Key]:
        """Yield the key of each request that waits."""
        for client, requests in self._clients.items():
            for request in requests:
                yield Key(client, request)

    def push(self, item: T, key: Key = NO_KEY) -> None:
        """Add an item behind all others of its request."""
        requests = self._clients.get(key.client)
        if requests is None:
            requests = self._clients[key.client] = OrderedDict()
        items = requests.get(key.request)
        if items is None:
            items = requests[key.request] = deque()
        items.append(item)
        self._length += 1

    def push_front(self, item: T, key: Key = NO_KEY) -> None:
        """Put an item back that was taken: it has the next turn."""
        self.push(item, key)
        requests = self._clients[key.client]
        requests[key.request].rotate(1)
        requests.move_to_end(key.request, last=False)
        self._clients.move_to_end(key.client, last=False)

    def peek(self, *, newest: bool = False) -> T:
        """Return the item that ``pop`` takes next; the queue is not empty."""
        client, request = self._next(newest)
        return self._clients[client][request][0]

    def pop(self, *, newest: bool = False) -> T:
        """Take the next item; the queue is not empty."""
        key = self._next(newest)
        item = self._clients[key.client][key.request].popleft()
        self._length -= 1
        if not self._drop_if_empty(key):
            self._clients[key.client].move_to_end(key.request)
        if key.client in self._clients:
            self._clients.move_to_end(key.client)
        return item

    def remove(self, item: T, key: Key = NO_KEY) -> bool:
        """Remove an item; return False if it is not in the queue."""
        items = self._clients.get(key.client, OrderedDict()).get(key.request)
        if items is None or item not in items:
            return False
        items.remove(item)
        self._length -= 1
        self._drop_if_empty(key)
        return True

    def take(self, key: Key) -> list[T]:
        """Remove all items of a request and return them."""
        items = self._clients.get(key.client, OrderedDict()).get(key.request)
        if items is None:
            return []
        taken = [*items]
        items.clear()
        self._length -= len(taken)
        self._drop_if_empty(key)
        return taken

    def clear(self) -> list[T]:
        """Remove all items and return them."""
        items = [
            item for requests in self._clients.values() for own in requests.values() for item in own
        ]
        self._clients.clear()
        self._length = 0
        return items

    def _next(self, newest: bool) -> Key:
        if newest:
            return max(self.keys(), key=lambda key: key.request)
        client, requests = next(iter(self._clients.items()))
        return Key(client, next(iter(requests)))

    def _drop_if_empty(self, key: Key) -> bool:
        """Forget a request without items; return whether it had none."""
        requests = self._clients[key.client]
        if requests[key.request]:
            return False
        del requests[key.request]
        if not requests:
            del self._clients[key.client]
        return True

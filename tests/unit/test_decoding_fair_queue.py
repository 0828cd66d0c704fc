"""Tests the fair queue against a model made of lists."""

from __future__ import annotations

import pytest

from plainfilm.decoding.fair_queue import FairQueue, Key

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.builds(Key, st.sampled_from("abc"), st.integers(0, 3))
STEPS = st.one_of(
    st.tuples(st.just("push"), KEYS),
    st.tuples(st.just("front"), KEYS),
    st.tuples(st.just("remove"), st.integers(0, 30)),
    st.tuples(st.just("take"), KEYS),
    st.tuples(st.just("pop"), st.booleans()),
)


class Model:
    """Lists in the order of their next turns: of clients, and of each client's requests."""

    def __init__(self) -> None:
        self.clients: list[str] = []
        self.requests: dict[str, list[int]] = {}
        self.items: dict[Key, list[int]] = {}

    def push(self, item: int, key: Key, *, front: bool) -> None:
        if key.client not in self.clients:
            self.clients.append(key.client)
        own = self.requests.setdefault(key.client, [])
        if key.request not in own:
            own.append(key.request)
        items = self.items.setdefault(key, [])
        items.insert(0 if front else len(items), item)
        if front:
            own.sort(key=lambda request: request != key.request)
            self.clients.sort(key=lambda client: client != key.client)

    def next(self, newest: bool) -> Key:
        if newest:
            keys = [Key(c, r) for c in self.clients for r in self.requests[c]]
            return max(keys, key=lambda key: key.request)
        client = self.clients[0]
        return Key(client, self.requests[client][0])

    def pop(self, newest: bool) -> int:
        key = self.next(newest)
        item = self.items[key].pop(0)
        own = self.requests[key.client]
        own.sort(key=lambda request: request == key.request)
        self.clients.sort(key=lambda client: client == key.client)
        self.forget(key)
        return item

    def remove(self, item: int, key: Key) -> bool:
        if item not in self.items.get(key, []):
            return False
        self.items[key].remove(item)
        self.forget(key)
        return True

    def take(self, key: Key) -> list[int]:
        items = [*self.items.get(key, [])]
        for item in items:
            self.remove(item, key)
        return items

    def forget(self, key: Key) -> None:
        if not self.items[key]:
            del self.items[key]
            self.requests[key.client].remove(key.request)
        if not self.requests[key.client]:
            self.clients.remove(key.client)


@given(st.lists(STEPS, max_size=60))
def test_the_queue_does_what_its_model_does(steps: list[tuple[str, object]]) -> None:
    queue, model, keys = FairQueue[int](), Model(), list[Key]()
    for what, value in steps:
        if what == "take" and isinstance(value, Key):
            assert queue.take(value) == model.take(value)
        elif isinstance(value, Key):
            item = len(keys)
            keys.append(value)
            (queue.push if what == "push" else queue.push_front)(item, value)
            model.push(item, value, front=what == "front")
        elif what == "remove" and isinstance(value, int) and value < len(keys):
            assert queue.remove(value, keys[value]) == model.remove(value, keys[value])
        elif what == "pop" and isinstance(value, bool) and model.items:
            first = queue.peek(newest=value)
            assert first == queue.pop(newest=value) == model.pop(value)
        assert len(queue) == sum(map(len, model.items.values()))
        assert set(queue.keys()) == set(model.items)
    left = [item for items in model.items.values() for item in items]
    assert sorted(queue.clear()) == sorted(left) and not len(queue)


@given(st.lists(KEYS, min_size=1, max_size=40), st.lists(KEYS, max_size=40), KEYS)
def test_each_item_has_a_turn_in_time(before: list[Key], during: list[Key], key: Key) -> None:
    """However many items come later, the wait depends on the clients and requests only."""
    queue, later = FairQueue[str](), iter(during)
    for other in before:
        if other != key:
            queue.push("other", other)
    queue.push("mine", key)
    clients, requests = 3, 4  # all that the keys can have
    for _ in range(clients * requests):
        if queue.pop() == "mine":
            break
        if (other := next(later, key)) != key:
            queue.push("other", other)
    else:
        pytest.fail("no turn")


def test_clients_have_turns_and_then_their_requests() -> None:
    queue = FairQueue[str]()
    for number in range(4):
        queue.push(f"a1-{number}", Key("a", 1))
    queue.push("a2-0", Key("a", 2))
    for number in range(3):
        queue.push(f"b3-{number}", Key("b", 3))
    found = " ".join(queue.pop() for _ in range(8))
    assert found == "a1-0 b3-0 a2-0 b3-1 a1-1 b3-2 a1-2 a1-3"


def test_the_newest_request_can_have_a_turn() -> None:
    queue = FairQueue[str]()
    for number in range(6):
        queue.push(str(number), Key("a", number))
    found = [queue.pop(newest=newest) for newest in (True, False, True, True, False, False)]
    assert " ".join(found) == "5 0 4 3 1 2"

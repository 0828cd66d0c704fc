"""Tests that files of one client do not delay those of others, whatever they take."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from plainfilm.decoding import schedule
from plainfilm.decoding.aio import AsyncPool
from plainfilm.decoding.decode import Decoded
from plainfilm.decoding.fair_queue import Key
from plainfilm.decoding.job import Job
from plainfilm.decoding.process import DecodingProcess
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.decoding.schedule import Schedule
from plainfilm.records import PixelSpec

T = TypeVar("T")
SPEC = PixelSpec(8)
OUT = np.zeros((8, 8), np.uint8)
BAD = Key("bad", 1)

# A process that takes as many seconds as each file says.
SLEEPER = """
import json, sys, time
sys.stdin.buffer.readline(); sys.stdin.buffer.readline()
out = sys.stdout.buffer
out.write(b"ready\\n"); out.flush()
while line := sys.stdin.buffer.readline():
    request = json.loads(line)
    words = [sys.stdin.buffer.read(count) for count in request["files"]]
    found = {"metadata": {}, "display": 0, "sha256": "", "region": [0, 0, 1, 1]}
    pixels = bytes(request["spec"]["size"] ** 2)
    for word in words:
        time.sleep(float(word))
        out.write(json.dumps([found]).encode() + b"\\n" + pixels); out.flush()
"""


@pytest.fixture(autouse=True)
def short() -> Iterator[None]:
    """Let a file take long after a fifth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "LONG", 0.2)
        yield


def with_pool(use: Callable[[AsyncPool], Awaitable[T]]) -> tuple[T, Counter[str]]:
    events: Counter[str] = Counter()

    async def go() -> T:
        command = [sys.executable, "-S", "-E", "-c", SLEEPER]
        pool = AsyncPool(
            2, Sandbox(), spare=1, command=command, notify=lambda event: events.update([event])
        )
        await pool.start()
        try:
            async with asyncio.timeout(30):
                return await use(pool)
        finally:
            await pool.close()

    return asyncio.run(go()), events


async def decode(pool: AsyncPool, seconds: float, key: Key) -> float:
    """Decode a file that takes some seconds, and return how long its client waited."""
    began = time.monotonic()
    assert isinstance(await pool.decode(b"%g" % seconds, SPEC, display=None, key=key), Decoded)
    return time.monotonic() - began


@pytest.mark.parametrize("client", ["bad", "good"])
@pytest.mark.parametrize("requests", [1, 64])
def test_slow_files_of_others_do_not_delay_a_file(requests: int, client: str) -> None:
    """Even if both come from one proxy, and each slow file is a request."""

    async def use(pool: AsyncPool) -> list[float]:
        keys = [Key("bad", n % requests) for n in range(64)]
        slow = [asyncio.create_task(decode(pool, 0.5, key)) for key in keys]
        await asyncio.sleep(0.3)
        waits = [await decode(pool, 0, Key(client, 100 + n)) for n in range(6)]
        assert sum(task.done() for task in slow) < 10
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        while pool.waiting:
            await asyncio.sleep(0.05)
        return waits

    waits, events = with_pool(use)
    # The longest wait: two files until they are interrupted, and two starts of a process.
    assert max(waits) < 1.5 and events["interrupted"] and not events["died"]


def test_slow_files_finish_while_others_never_stop() -> None:
    async def use(pool: AsyncPool) -> list[float]:
        slow = [asyncio.create_task(decode(pool, 0.5, Key("bad", n))) for n in range(3)]
        number = 10
        while not all(task.done() for task in slow):
            good = (decode(pool, 0.01, Key(f"good-{n}", number + n)) for n in range(8))
            await asyncio.gather(*good)
            number += 8
        return [await task for task in slow]

    waits, events = with_pool(use)
    assert max(waits) < 6 and events["interrupted"] <= 4 and not events["died"]


def test_a_slow_file_of_which_the_process_is_killed_is_decoded() -> None:
    async def use(pool: AsyncPool) -> None:
        slow = asyncio.create_task(decode(pool, 1, BAD))
        others = asyncio.create_task(decode(pool, 1, BAD))
        await asyncio.sleep(0.3)
        await decode(pool, 0, Key("good", 2))
        os.kill(pool.pids[0], signal.SIGKILL)
        await decode(pool, 0, Key("good", 3))
        await asyncio.gather(slow, others)

    _, events = with_pool(use)
    assert events["died"] == 1


def test_a_cancelled_file_gives_way() -> None:
    async def use(pool: AsyncPool) -> float:
        slow = [asyncio.create_task(decode(pool, 60, BAD)) for _ in range(5)]
        await asyncio.sleep(0.3)
        for task in slow:
            task.cancel()
        began = time.monotonic()
        while pool.waiting:
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    waited, events = with_pool(use)
    assert waited < 2 and events["interrupted"] == 2


class Recorder(DecodingProcess):
    """A process that is up and only records what it is sent."""

    def __init__(self) -> None:
        super().__init__("", Sandbox())
        self.is_up, self.capacity, self.sent = True, 10**6, list[str]()

    def send(self, jobs: list[Job]) -> None:
        self.held.append(jobs)
        self.began = time.monotonic()
        self.sent += [str(job.source) for job in jobs]

    def interrupt(self) -> None:
        self.is_up = False


def job(name: str, key: Key = BAD) -> Job:
    return Job(name, SPEC, OUT, lambda outcome: None, key=key)


def test_files_of_a_folder_are_never_interrupted() -> None:
    processes = [Recorder(), Recorder()]
    plan = Schedule(processes, 8)
    plan.add(Job(str(n), SPEC, OUT, lambda outcome: None) for n in range(100))
    plan.dispatch()
    plan.interrupt(time.monotonic() + 1000)
    assert all(process.is_up for process in processes)


def test_a_large_file_does_not_take_the_last_process() -> None:
    first, second = processes = [Recorder(), Recorder()]
    plan = Schedule(processes, 8)
    large = [Job(bytes(3 << 20), SPEC, OUT, lambda outcome: None, key=BAD) for _ in range(4)]
    plan.add(large)
    plan.dispatch()
    assert sum(len(process.held) for process in processes) == 1
    plan.add([job("good", GOOD[0])])
    plan.dispatch()
    assert first.held and second.held and "good" in first.sent + second.sent
    plan.add(Job(bytes(3 << 20), SPEC, OUT, lambda outcome: None) for _ in range(4))
    assert not any(one.is_slow for one in plan.clear() if one.key != BAD)  # of a folder


GOOD = [Key("good", number) for number in range(2, 6)]


def test_a_slow_file_is_interrupted_once_and_its_request_runs_alone() -> None:
    first, second = processes = [Recorder(), Recorder()]
    plan = Schedule(processes, 4)
    plan.add([job("slow-1"), job("slow-2"), job("slow-3")])
    plan.dispatch()
    assert (first.sent, second.sent) == (["slow-1", "slow-3"], ["slow-2"])
    plan.interrupt(time.monotonic() + 9)  # no other request waits
    plan.add([job("good-1", GOOD[0]), job("good-2", GOOD[1])])
    plan.dispatch()
    plan.interrupt(time.monotonic())  # not yet
    assert first.is_up and second.is_up
    plan.interrupt(time.monotonic() + 9)
    assert not first.is_up and second.is_up  # one stays, with a file and one ahead
    assert plan.take_back(first, "interrupted") == [] and not first.held
    first.is_up = True
    plan.dispatch()
    assert first.sent[-1] == "slow-1" and first.is_slow
    plan.interrupt(time.monotonic() + 9)
    assert first.is_up and not second.is_up  # only the one that has not given way yet
    plan.take_back(second, "interrupted")
    second.is_up = True
    plan.add([job("slow-4")])
    plan.dispatch()
    while second.held:
        second.held.popleft()
        plan.dispatch()
    assert {*second.sent[-2:]} == {"good-1", "good-2"}
    assert first.sent[-1] == "slow-1" and plan.waiting == 4  # three wait for its end


def test_a_fast_file_acquits_its_request() -> None:
    first, second = processes = [Recorder(), Recorder()]
    plan = Schedule(processes, 4)
    plan.add([*(job(f"bad-{n}") for n in range(4)), *(job("good", key) for key in GOOD * 2)])
    plan.dispatch()
    assert plan.waiting == 12 and len(plan.clear()) == 4
    plan.add([*(job(f"bad-{n}") for n in range(4, 8)), job("good", GOOD[0])])
    plan.interrupt(time.monotonic() + 9)
    plan.take_back(first, "interrupted")
    first.is_up = True
    second.held.clear()
    plan.dispatch()
    slow = first if first.is_slow else second
    slow.began = 0.0
    plan.release(slow, 1)  # it took long
    plan.dispatch()
    slow = first if first.is_slow else second
    assert slow.is_slow and slow.sent[-1].startswith("bad")
    plan.release(slow, 1)  # this one did not: the others are as any
    plan.dispatch()
    assert slow.held and not first.is_slow and not second.is_slow


def test_a_spare_process_rests_and_then_waits_for_new_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes = [Recorder(), Recorder(), Recorder()]
    plan = Schedule(processes, 1, spare=1)
    plan.add(job(str(n), Key("many", n)) for n in range(20))
    plan.dispatch()
    assert [bool(process.sent) for process in processes] == [True, True, False]
    plan.interrupt(time.monotonic() + 9)
    assert [process.is_up for process in processes] == [False, False, True]
    for process in processes[:2]:
        plan.take_back(process, "interrupted")
        process.is_up = True
    monkeypatch.setattr(schedule, "_NEW", 0.0)  # all have waited for long
    plan.dispatch()
    slow, turn, rest = processes[2], processes[0], processes[1]
    assert slow.is_slow and turn.held and not turn.is_slow and not rest.held
    monkeypatch.setattr(schedule, "_NEW", 9.0)
    plan.add([job("new", Key("many", 30))])
    plan.dispatch()
    assert rest.sent[-1] == "new"
    monkeypatch.setattr(schedule, "_NEW", 0.0)
    rest.held.clear()
    plan._lead = 2.0  # new files had much more time than others
    plan.dispatch()
    assert rest.held


def test_with_one_process_left_slow_files_still_run() -> None:
    first, second = processes = [Recorder(), Recorder()]
    plan = Schedule(processes, 4)
    second.is_up, second.failures = False, 3
    plan.add([job("a"), job("b", Key("good", 2))])
    plan.dispatch()
    plan.interrupt(time.monotonic() + 9)  # the only process is not interrupted
    assert first.is_up
    plan.take_back(first, "interrupted")
    plan.dispatch()
    assert first.is_up and plan.waiting == 2 and len(first.held) == 1

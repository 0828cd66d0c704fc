"""Tests the decoding pool: some die, hang or send nonsense, other files are decoded."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image as Pillow
from test_data_cache import make, read_number

from plainfilm._files import hash_bytes
from plainfilm.decoding.aio import AsyncPool
from plainfilm.decoding.decode import Decoded, Failure, decode_one
from plainfilm.decoding.job import Job
from plainfilm.decoding.pool import Pool
from plainfilm.decoding.process import DecodingProcess
from plainfilm.decoding.sandbox import Sandbox, memory_cap
from plainfilm.pixels import Limits, read_full_image, read_image
from plainfilm.pixels.display import read_pgm
from plainfilm.records import PixelSpec

T = TypeVar("T")
SPEC = PixelSpec(16)
needs_memory_limit = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system cannot limit memory"
)

# A process that does what the content of each file says.
PUPPET = """
import json, os, signal, sys, time
sys.stdin.buffer.readline(); order = json.loads(sys.stdin.buffer.readline())
out = sys.stdout.buffer
out.write(b"ready\\n"); out.flush()
while line := sys.stdin.buffer.readline():
    request = json.loads(line)
    words = [sys.stdin.buffer.read(count).decode() for count in request["files"]]
    pixels = bytes(request["spec"]["size"] ** 2)
    for word in words:
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "sleep":
            time.sleep(60)
        elif word == "nonsense":
            out.write(b"no json\\n")
        elif word == "long":
            out.write(b"x" * 100_000 + b"\\n")
        elif word == "negative":
            out.write(b'[{"metadata": {}, "display": -1, "sha256": ""}]\\n' + pixels)
        elif word == "cut":
            out.write(b'[{"metadata": {}, "display": 0, "sha256": ""}]\\nabc'); out.flush()
            sys.exit(3)
        elif word == "secrets":
            names = set(os.environ) & {"PLAINFILM_TOKEN", "AWS_SECRET_ACCESS_KEY"}
            found = {"reason": "x", "problem": str(names)}
            out.write(json.dumps([found]).encode() + b"\\n")
        else:
            found = {"metadata": {"word": word}, "display": 0, "sha256": "", "region": [0, 0, 1, 1]}
            out.write(json.dumps([found]).encode() + b"\\n" + pixels)
        out.flush()
"""


def with_pool(
    use: Callable[[AsyncPool], Awaitable[T]],
    *,
    count: int = 1,
    puppet: bool = True,
    sandbox: Sandbox | None = None,
) -> tuple[T, Counter[str]]:
    events: Counter[str] = Counter()

    async def go() -> T:
        command = [sys.executable, "-c", PUPPET] if puppet else None
        pool = AsyncPool(
            count, sandbox or Sandbox(), command=command, notify=lambda e: events.update([e])
        )
        await pool.start()
        try:
            async with asyncio.timeout(60):
                return await use(pool)
        finally:
            await pool.close()
            assert not pool.pids

    return asyncio.run(go()), events


def outcome(found: Decoded | Failure) -> str:
    return found.reason if isinstance(found, Failure) else str(found.metadata["word"])


async def ask(pool: AsyncPool, *words: str) -> list[str]:
    requests = (pool.decode(word.encode(), SPEC, display=None) for word in words)
    return [outcome(found) for found in await asyncio.gather(*requests)]


def test_each_caller_gets_its_own_outcome() -> None:
    words = [f"word-{n}" for n in range(200)]
    found, events = with_pool(lambda pool: ask(pool, *words), count=2)
    assert found == words and events == {"started": 2}


def test_a_file_that_kills_is_tried_twice_and_costs_no_other_file() -> None:
    words = ["a", "die", "b", "c", "die", "d", *"efghij"]
    found, events = with_pool(lambda pool: ask(pool, *words))
    assert found == [word if word != "die" else "decoder-died" for word in words]
    assert events == {"started": 5, "died": 4}


def test_a_process_killed_from_outside_loses_no_file() -> None:
    async def use(pool: AsyncPool) -> list[str]:
        first = asyncio.create_task(ask(pool, *(f"a{n}" for n in range(50))))
        os.kill(pool.pids[0], signal.SIGKILL)
        found = await first
        return [*found, *await ask(pool, "after")]

    found, _ = with_pool(use)
    assert found == [*(f"a{n}" for n in range(50)), "after"]


def test_a_process_that_hangs_is_killed() -> None:
    found, events = with_pool(
        lambda pool: ask(pool, "a", "sleep", "b", "c", "d"), sandbox=Sandbox(seconds=1)
    )
    assert found == ["a", "decoder-timeout", "b", "c", "d"] and events["late"] == 1


@pytest.mark.parametrize("word", ["nonsense", "long", "cut", "negative"])
def test_a_process_that_sends_nonsense_is_replaced(word: str) -> None:
    found, events = with_pool(lambda pool: ask(pool, "a", word, "b"))
    assert found == ["a", "decoder-died", "b"] and events["died"] == 2


def test_without_any_process_files_fail() -> None:
    async def go() -> None:
        pool = AsyncPool(2, Sandbox(), command=[sys.executable, "-c", "raise SystemExit(1)"])
        await pool.start()
        assert pool.ready == 0
        for _ in range(2):
            found = await pool.decode(b"x", SPEC, display=None)
            assert isinstance(found, Failure) and found.reason == "no-decoder"
        await pool.close()
        found = await pool.decode(b"x", SPEC, display=None)
        assert isinstance(found, Failure) and found.reason == "no-decoder"

    asyncio.run(go())


def test_cancelled_requests_are_not_decoded() -> None:
    async def use(pool: AsyncPool) -> int:
        requests = [asyncio.create_task(ask(pool, f"a{n}")) for n in range(300)]
        await asyncio.sleep(0)
        for task in requests[10:]:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await ask(pool, "last")
        return pool.waiting

    assert with_pool(use)[0] == 0


def test_a_decoder_does_not_receive_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async def use(pool: AsyncPool) -> str:
        found = await pool.decode(b"secrets", SPEC, display=None)
        assert isinstance(found, Failure)
        return found.problem

    assert with_pool(use)[0] == "set()"


def test_the_worker_reads_the_same_image_as_the_library() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 2500), dtype=np.uint8)
    out = io.BytesIO()
    Pillow.fromarray(noise).save(out, "PNG")
    data = out.getvalue()
    spec = PixelSpec(32, "pad")

    async def use(pool: AsyncPool) -> Any:
        return [
            await pool.decode(data, spec, display="png"),
            await pool.decode(data, SPEC, display=None),
            await pool.decode(data[:5000], SPEC, display="png"),
            await pool.decode(b"", SPEC, display="png"),
            await pool.decode(data, SPEC, display="pgm"),
        ]

    (whole, plain, cut, empty, grey), _ = with_pool(use, puppet=False)
    image = read_image(data, spec)
    assert (whole.pixels == image.pixels).all() and whole.sha256 == hash_bytes(data)
    assert whole.metadata == image.metadata
    picture = np.asarray(Pillow.open(io.BytesIO(whole.display)))
    assert picture.shape == (round(300 * 2048 / 2500), 2048)
    assert abs(float(picture.mean()) - float(read_full_image(data).pixels.mean())) < 1
    assert read_pgm(grey.display).shape == (round(300 * 1024 / 2500), 1024)
    assert plain.display == b"" and plain.pixels.shape == (16, 16)
    assert (cut.reason, empty.reason) == ("truncated", "empty")


@needs_memory_limit
def test_the_worker_is_limited_and_ignores_sigterm() -> None:
    import resource

    async def use(pool: AsyncPool) -> Any:
        (pid,) = pool.pids
        limits = {
            name: resource.prlimit(pid, getattr(resource, name))[1]
            for name in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_AS")
        }
        os.kill(pid, signal.SIGTERM)  # as to a whole group of processes: it continues
        os.kill(pid, signal.SIGINT)
        await asyncio.sleep(0.2)
        found = await pool.decode(b"x", SPEC, display=None)
        return limits, found, pool.pids == [pid]

    file = Limits(bytes=1000, pixels=1000)
    sandbox = Sandbox(limits=file, memory=memory_cap(file), sealed=True)
    (limits, found, same), _ = with_pool(use, puppet=False, sandbox=sandbox)
    assert limits["RLIMIT_CORE"] == limits["RLIMIT_FSIZE"] == 0
    assert 1 << 30 < limits["RLIMIT_AS"] < 4 << 30
    assert found.reason == "not-an-image" and same


def test_an_idle_process_that_dies_is_replaced() -> None:
    async def use(pool: AsyncPool) -> list[str]:
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        while pool.pids in ([], [pid]):
            await asyncio.sleep(0.05)
        return await ask(pool, "a")

    found, events = with_pool(use)
    assert found == ["a"] and events == {"started": 2, "died": 1}


def test_large_replies_and_requests_do_not_wait_for_each_other() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (700, 700), dtype=np.uint8)
    out = io.BytesIO()
    Pillow.fromarray(noise).save(out, "PNG", compress_level=0)
    data = out.getvalue()
    assert 400_000 < len(data) < 500_000  # more than one fits into a pipe of 1 MiB

    async def use(pool: AsyncPool) -> list[Any]:
        spec = PixelSpec(1024)
        return await asyncio.gather(*(pool.decode(data, spec, display="png") for _ in range(12)))

    found, events = with_pool(use, puppet=False, sandbox=Sandbox(seconds=20))
    assert {type(one) for one in found} == {Decoded} and events == {"started": 1}


@pytest.mark.parametrize(
    ("length", "capacity", "first"), [(20, 3000, [8, 8]), (200, 3000, [3, 4]), (20, 10**6, [8, 8])]
)
def test_requests_ahead_fit_into_the_pipe(length: int, capacity: int, first: list[int]) -> None:
    pool, process = Pool(2, read_image), DecodingProcess("", Sandbox())
    process.capacity = capacity
    empty = np.zeros((16, 16), np.uint8)
    pool._schedule.add(Job("ä" * length, SPEC, empty, print) for _ in range(500))
    sizes = []
    while jobs := pool._schedule.choose(process):
        process.held.append(jobs)
        sizes.append(len(jobs))
        if len(process.held) == 2:  # the process has read the first, and not the second
            line = json.dumps([job.source for job in jobs], ensure_ascii=False)
            assert len(line.encode()) < capacity
            process.held.popleft()
    assert sum(sizes) == 500 and sizes[:2] == first


def test_requests_become_smaller_towards_the_end() -> None:
    pool, process = Pool(2, read_image), DecodingProcess("", Sandbox())
    process.capacity = 10**6
    empty = np.zeros((16, 16), np.uint8)
    pool._schedule.add(Job(f"{n}", SPEC, empty, print) for n in range(100))
    names, sizes = [], []
    while jobs := pool._schedule.choose(process):
        names += [job.source for job in jobs]
        sizes.append(len(jobs))
    assert names == [f"{n}" for n in range(100)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 8 and sizes[-1] == 1


def test_slow_files_are_reported_one_by_one(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["slow"] * 16)  # a request has four of them
    paths, times = [record.path for record in manifest.records], list[float]()
    out = np.zeros((16, 16, 16), np.uint8)
    with Pool(1, read_number) as pool:
        pool.decode(paths, SPEC, out, lambda: times.append(time.monotonic()))
    assert len(times) == 16 and (out == 3).all()
    assert sum(after - before > 0.05 for before, after in pairwise(times)) >= 12


@needs_memory_limit
def test_a_file_that_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "greedy", "3", "greedy", "5"])
    paths = [record.path for record in manifest.records]
    out = np.zeros((5, 16, 16), np.uint8)
    with Pool(1, read_number, Sandbox(memory=1 << 30)) as pool:
        found = pool.decode(paths, SPEC, out)
    assert [getattr(one, "reason", "image") for one in found] == [
        *("image", "out-of-memory", "image", "out-of-memory", "image")
    ]
    assert out[:, 0, 0].tolist() == [1, 0, 3, 0, 5]
    assert memory_cap(Limits(bytes=0, pixels=0)) == 1 << 30 < memory_cap()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_takes_too_long_fails_alone(tmp_path: Path, workers: int) -> None:
    words = [str(n) for n in range(20)]
    for place in (0, 1, 11, 19):
        words[place] = "asleep"
    manifest = make(tmp_path / "data", words)
    paths = [record.path for record in manifest.records]
    out = np.zeros((20, 16, 16), np.uint8)
    calls: Counter[str] = Counter()
    start = time.monotonic()
    with Pool(workers, read_number, Sandbox(seconds=0.5)) as pool:
        outcomes = pool.decode(paths, SPEC, out, lambda: calls.update(["one"]))
    assert time.monotonic() - start < 60
    failures = {row: one for row, one in enumerate(outcomes) if isinstance(one, Failure)}
    assert set(failures) == {0, 1, 11, 19} and calls["one"] == 20
    assert {failure.reason for failure in failures.values()} == {"decoder-timeout"}
    assert "longer than 0.5 seconds" in failures[11].problem
    assert out[:, 0, 0].tolist() == [int(w) if w.isdigit() else 0 for w in words]


@needs_memory_limit
def test_the_default_limit_of_memory_admits_large_radiographs(tmp_path: Path) -> None:
    picture = np.add.outer(np.arange(7000), np.arange(8600)).astype(np.uint16)
    Pillow.fromarray(picture).save(tmp_path / "large.tiff")  # 60 million pixels of 16 bits
    out = np.zeros((1, 16, 16), np.uint8)
    with Pool(1) as pool:
        (found,) = pool.decode([str(tmp_path / "large.tiff")], SPEC, out)
    assert isinstance(found, Decoded) and found.metadata["width"] == 8600
    assert out[0, 0, 0] < 16 and out[0, 15, 15] > 200


def test_paths_and_bytes_give_the_same_image(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(100), np.arange(120)).astype(np.uint8)
    Pillow.fromarray(ramp).save(tmp_path / "ramp.png")
    path = tmp_path / "ramp.png"
    out = np.zeros((3, 16, 16), np.uint8)
    with Pool(1) as pool:
        found = pool.decode([str(path), path.read_bytes(), b"x"], SPEC, out)
    assert isinstance(found[0], Decoded) and isinstance(found[1], Decoded)
    assert (out[0] == out[1]).all() and (out[0] == read_image(path, SPEC).pixels).all()
    assert found[0].metadata == found[1].metadata
    assert isinstance(found[2], Failure) and found[2].reason == "not-an-image"


def test_without_any_process_a_batch_is_decoded_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make(tmp_path / "data", ["1", "2", "3"])
    paths = [record.path for record in manifest.records]
    out = np.zeros((3, 16, 16), np.uint8)
    calls: Counter[str] = Counter()
    monkeypatch.setattr("plainfilm.decoding.pool.reader_name", lambda reader: "no_such_module:read")
    with Pool(2, read_number) as pool:
        outcomes = pool.decode(paths, SPEC, out, lambda: calls.update(["one"]))
    assert out[:, 0, 0].tolist() == [1, 2, 3]
    assert calls["one"] == len(outcomes) == 3


def test_a_failure_is_an_outcome_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("broken")
    out = np.zeros((16, 16), np.uint8)
    found = decode_one(read_number, SPEC, str(tmp_path / "x"), out)
    assert found == Failure("corrupt", "the number is broken")


def test_threads_that_decode_at_once_share_the_processes(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", [str(n) for n in range(8)])
    events: list[str] = []
    out = np.zeros((8, 16, 16), np.uint8)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Pool(2, read_number, notify=events.append) as pool, ThreadPoolExecutor(8) as threads:
            jobs = [([one.path], out[n : n + 1]) for n, one in enumerate(manifest.records)]
            found = [*threads.map(lambda job: pool.decode(job[0], SPEC, job[1]), jobs)]
            assert len(pool.pids) <= 2
    finally:
        sys.setswitchinterval(before)
    assert all(isinstance(one, Decoded) for (one,) in found)
    assert out[:, 0, 0].tolist() == [*range(8)]
    assert events.count("started") <= 2

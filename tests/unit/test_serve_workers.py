"""The pool of decoding processes: they die, hang and lie, and the service goes on."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image as Pillow

pytest.importorskip("starlette")

from plainfilm._files import hash_bytes
from plainfilm.decoding.decode import Failure
from plainfilm.pixels import read_image, read_picture
from plainfilm.records import PixelSpec
from plainfilm.serve.decoder import Answer
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem
from plainfilm.serve.workers import Pool

T = TypeVar("T")
SPEC = PixelSpec(16)

# A process that obeys the words which it is given for images.
PUPPET = """
import json, os, signal, sys, time
sys.stdin.buffer.readline(); order = json.loads(sys.stdin.buffer.readline())
out = sys.stdout.buffer
out.write(b"ready\\n"); out.flush()
while line := sys.stdin.buffer.readline():
    asked = json.loads(line)
    word = sys.stdin.buffer.read(asked["bytes"]).strip().decode()
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "sleep":
        time.sleep(60)
    elif word == "lie":
        out.write(b"no json\\n")
    elif word == "long":
        out.write(b"x" * 100_000 + b"\\n")
    elif word == "cut":
        out.write(b'{"metadata": {}, "pixels": 10, "original": 0, "sha256": ""}\\nabc'); out.flush()
        sys.exit(3)
    elif word == "secrets":
        told = {"reason": "x", "problem": os.environ.get("PLAINFILM_TOKEN", "nothing")}
        out.write(json.dumps(told).encode() + b"\\n")
    else:
        told = {"metadata": {"word": word}, "pixels": 0, "original": 0, "sha256": ""}
        out.write(json.dumps(told).encode() + b"\\n")
    out.flush()
"""


def with_pool(
    use: Callable[[Pool], Awaitable[T]], *, count: int = 1, puppet: bool = True, **limits: int
) -> tuple[T, Counter[str]]:
    told: Counter[str] = Counter()

    async def go() -> T:
        command = [sys.executable, "-c", PUPPET] if puppet else None
        pool = Pool(
            count, ServiceLimits(**limits), command=command, tell=lambda e: told.update([e])
        )
        await pool.start()
        try:
            async with asyncio.timeout(60):
                return await use(pool)
        finally:
            await pool.close()
            assert not pool.pids

    return asyncio.run(go()), told


def outcome(found: Answer | Failure) -> str:
    return found.reason if isinstance(found, Failure) else str(found.metadata["word"])


async def ask(pool: Pool, *words: str) -> list[str]:
    asked = (pool.decode(word.encode(), SPEC, original=False) for word in words)
    return [outcome(found) for found in await asyncio.gather(*asked)]


def test_each_gets_its_own_answer() -> None:
    words = [f"word-{n}" for n in range(200)]
    found, told = with_pool(lambda pool: ask(pool, *words), count=2)
    assert found == words and told == {"started": 2}


def test_a_file_that_kills_is_tried_twice_and_costs_no_other() -> None:
    words = ["a", "die", "b", "c", "die", "d", *"efghij"]
    found, told = with_pool(lambda pool: ask(pool, *words))
    assert found == [word if word != "die" else "decoder-died" for word in words]
    assert told == {"started": 5, "died": 4}


def test_a_process_that_somebody_kills_loses_nothing() -> None:
    async def use(pool: Pool) -> list[str]:
        first = asyncio.create_task(ask(pool, *(f"a{n}" for n in range(50))))
        os.kill(pool.pids[0], signal.SIGKILL)
        found = await first
        return [*found, *await ask(pool, "after")]

    found, _ = with_pool(use)
    assert found == [*(f"a{n}" for n in range(50)), "after"]


def test_one_that_hangs_is_ended() -> None:
    found, told = with_pool(lambda pool: ask(pool, "a", "sleep", "b", "c", "d"), decode_seconds=1)
    assert found == ["a", "decoder-timeout", "b", "c", "d"] and told["late"] == 1


@pytest.mark.parametrize("word", ["lie", "long", "cut"])
def test_one_that_answers_nonsense_is_replaced(word: str) -> None:
    found, told = with_pool(lambda pool: ask(pool, "a", word, "b"))
    assert found == ["a", "decoder-died", "b"] and told["died"] == 2


def test_where_no_process_comes_up_that_is_told() -> None:
    async def go() -> None:
        pool = Pool(2, ServiceLimits(), command=[sys.executable, "-c", "raise SystemExit(1)"])
        await pool.start()
        assert pool.ready == 0
        with pytest.raises(Problem) as caught:
            await pool.decode(b"x", SPEC, original=False)
        assert (caught.value.status, caught.value.code) == (503, "no-decoder")
        await pool.close()

    asyncio.run(go())


def test_who_is_gone_costs_no_decoding() -> None:
    async def use(pool: Pool) -> int:
        asked = [asyncio.create_task(ask(pool, f"a{n}")) for n in range(300)]
        await asyncio.sleep(0)
        for task in asked[10:]:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await ask(pool, "last")
        return pool.waiting

    assert with_pool(use)[0] == 0


def test_a_decoder_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_TOKEN", "secret")

    async def use(pool: Pool) -> str:
        found = await pool.decode(b"secrets", SPEC, original=False)
        assert isinstance(found, Failure)
        return found.problem

    assert with_pool(use)[0] == "nothing"


def test_the_true_decoder_reads_what_the_library_reads(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 2500), dtype=np.uint8)
    out = io.BytesIO()
    Pillow.fromarray(noise).save(out, "PNG")
    data = out.getvalue()
    spec = PixelSpec(32, "pad")

    async def use(pool: Pool) -> Any:
        return [
            await pool.decode(data, spec, original=True),
            await pool.decode(data, SPEC, original=False),
            await pool.decode(data[:5000], SPEC, original=True),
            await pool.decode(b"", SPEC, original=True),
        ]

    (whole, plain, cut, empty), _ = with_pool(use, puppet=False)
    image = read_image(data, spec)
    assert whole.pixels == image.pixels.tobytes() and whole.sha256 == hash_bytes(data)
    assert whole.metadata == image.metadata
    picture = np.asarray(Pillow.open(io.BytesIO(whole.original)))
    assert picture.shape == (round(300 * 2048 / 2500), 2048)
    assert abs(float(picture.mean()) - float(read_picture(data).pixels.mean())) < 1
    assert plain.original == b"" and len(plain.pixels) == 256
    assert (cut.reason, empty.reason) == ("truncated", "empty")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no limit of memory here")
def test_the_true_decoder_is_capped_and_writes_no_file(tmp_path: Path) -> None:
    import resource

    async def use(pool: Pool) -> Any:
        (pid,) = pool.pids
        limits = {
            name: resource.prlimit(pid, getattr(resource, name))[1]
            for name in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_AS")
        }
        os.kill(pid, signal.SIGTERM)  # whoever ends a group of processes: it works on
        os.kill(pid, signal.SIGINT)
        await asyncio.sleep(0.2)
        found = await pool.decode(b"x", SPEC, original=False)
        return limits, found, pool.pids == [pid]

    (limits, found, same), _ = with_pool(use, puppet=False, file=1000, pixels=1000)
    assert limits["RLIMIT_CORE"] == limits["RLIMIT_FSIZE"] == 0
    assert 1 << 30 < limits["RLIMIT_AS"] < 4 << 30
    assert found.reason == "not-an-image" and same

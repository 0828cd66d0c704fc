"""The pool of decoding processes: fed, watched, and replaced when they die.

A process gets a few small files ahead, so that it never waits for the event loop, but a large one
alone. When it dies, only the file in its hand can be to blame: those behind it are given to others,
and it is tried once more, for someone may have killed the process from outside. The second death
is the file's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from plainfilm.decoding.decode import Failure
from plainfilm.decoding.sandbox import ENVIRONMENT, start_command
from plainfilm.records import PixelSpec
from plainfilm.serve.decoder import Answer
from plainfilm.serve.limits import ServiceLimits
from plainfilm.serve.problems import Problem

__all__ = ["Pool"]

_AHEAD = 4
_SMALL = 1 << 20  # bytes: a larger file is decoded with nothing behind it
_LINE = 1 << 16  # of an answer's JSON
_TRIES = 2
_HOPE = 3  # starts that fail before who waits is told
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before a process that does not start is tried again
_SECRETS = frozenset({"PLAINFILM_TOKEN", "PLAINFILM_SALT"})  # no business of a decoder


@dataclass(slots=True, eq=False)
class _Job:
    """One file on its way through the pool."""

    data: bytes
    header: bytes
    done: asyncio.Future[Answer | Failure]
    tries: int = 0


class Pool:
    """Decoding processes; start it within an event loop.

    Parameters
    ----------
    count
        Number of processes.
    limits
        What a file may take; decides the cap on their memory and the time for one file.
    command
        Command that starts a process; tests give one that misbehaves.
    tell
        Called with a word for each event: ``started``, ``died``, ``late``.
    """

    def __init__(
        self,
        count: int,
        limits: ServiceLimits,
        *,
        command: list[str] | None = None,
        tell: Callable[[str], None] = lambda event: None,
    ) -> None:
        self._limits, self._tell = limits, tell
        self._command = command or start_command("plainfilm.serve.decoder")
        self._waiting: deque[_Job] = deque()
        self._workers = [_Worker(self) for _ in range(count)]
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def ready(self) -> int:
        """Return how many processes are up."""
        return sum(worker.process is not None for worker in self._workers)

    @property
    def waiting(self) -> int:
        """Return how many files wait or are being decoded."""
        return len(self._waiting) + sum(len(worker.held) for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Return the process ids of those that are up."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    async def start(self) -> None:
        """Start the processes and wait until each is up, or has failed to come up once."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(worker.live()) for worker in self._workers]
        self._tasks.append(loop.create_task(self._watch()))
        for worker in self._workers:
            await worker.tried.wait()

    async def decode(self, data: bytes, spec: PixelSpec, *, original: bool) -> Answer | Failure:
        """Decode one file.

        Raises
        ------
        Problem
            503 where no process can be started, or the pool is being closed.
        """
        if self._closed or self._hopeless():
            raise Problem("no-decoder")
        asked = {"bytes": len(data), "spec": _fields(spec), "original": original}
        job = _Job(data, json.dumps(asked).encode() + b"\n", asyncio.Future())
        self._waiting.append(job)
        self._hand_out()
        return await job.done

    def _hand_out(self) -> None:
        """Give waiting files to the processes that have least in hand."""
        while self._waiting:
            if self._waiting[0].done.done():  # whoever asked is gone
                self._waiting.popleft()
                continue
            free = [worker for worker in self._workers if worker.takes(self._waiting[0])]
            if not free:
                return
            min(free, key=lambda worker: len(worker.held)).give(self._waiting.popleft())

    def _hopeless(self) -> bool:
        """Return whether no process is up, and none has come up for several tries."""
        return not self.ready and all(w.failures >= _HOPE for w in self._workers)

    def _put_back(self, jobs: deque[_Job]) -> None:
        self._waiting.extendleft(reversed(jobs))

    async def _watch(self) -> None:
        interval = min(0.25, self._limits.decode_seconds / 4)
        while True:
            await asyncio.sleep(interval)
            for worker in self._workers:
                worker.end_if_late()
            if self._waiting and self._hopeless():
                for job in self._waiting:
                    if not job.done.done():
                        job.done.set_exception(Problem("no-decoder"))
                self._waiting.clear()

    async def close(self) -> None:
        """End the processes; what is still in their hands is given up."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._workers:
            await worker.end()


@dataclass(slots=True, eq=False)
class _Worker:
    """One process, started anew whenever it has died."""

    pool: Pool
    process: Process | None = None
    held: deque[_Job] = field(default_factory=deque)
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    _since: float = 0.0
    _late: bool = False

    def takes(self, job: _Job) -> bool:
        """Return whether this process may be given a file now."""
        if self.process is None or self._late:
            return False
        if not self.held:
            return True
        small = len(job.data) <= _SMALL and len(self.held[-1].data) <= _SMALL
        return small and len(self.held) < _AHEAD

    def give(self, job: _Job) -> None:
        """Send a file; that the process is gone shows when its answer is due."""
        assert self.process is not None and self.process.stdin is not None
        if not self.held:
            self._since = time.monotonic()
        self.held.append(job)
        with contextlib.suppress(OSError, RuntimeError):
            # One write wakes the process once, with everything there.
            if len(job.data) <= _SMALL:
                self.process.stdin.write(job.header + job.data)
            else:
                self.process.stdin.writelines((job.header, job.data))

    def end_if_late(self) -> None:
        """Kill the process if the file in its hand takes too long."""
        late = time.monotonic() - self._since > self.pool._limits.decode_seconds
        if self.process is not None and self.held and late and not self._late:
            self._late = True
            self._kill()

    async def live(self) -> None:
        """Start the process, pass its answers on, and begin again when it dies."""
        pause = _PAUSE
        while True:
            began = time.monotonic()
            if await self._start():
                await self._pass_answers_on()
                await self._bury()
                pause = _PAUSE if time.monotonic() - began > _LONGEST_PAUSE else pause
            else:
                await self.end()
                self.failures += 1
            self.tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _start(self) -> bool:
        limits = self.pool._limits
        order = {"limits": asdict(limits.of_file), "memory": limits.worker_memory}
        environment = {k: v for k, v in os.environ.items() if k not in _SECRETS}
        try:
            process = await asyncio.create_subprocess_exec(
                *self.pool._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**environment, **ENVIRONMENT},
                limit=_LINE,
            )
        except OSError:
            return False
        assert process.stdin is not None and process.stdout is not None
        try:
            for line in (sys.path, order):
                process.stdin.write(json.dumps(line).encode() + b"\n")
            async with asyncio.timeout(30):
                up = await process.stdout.readline() == b"ready\n"
        except (OSError, TimeoutError, ValueError):
            up = False
        except asyncio.CancelledError:
            _kill(process)
            raise
        if not up:
            _kill(process)
            await process.wait()
            return False
        self.process, self.failures, self._late = process, 0, False
        self.pool._tell("started")
        self.tried.set()
        self.pool._hand_out()
        return True

    async def _pass_answers_on(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        pipe = self.process.stdout
        # It is gone, in mid-answer perhaps; or its answer is none, and it goes now.
        with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError):
            while line := await pipe.readline():
                answer: dict[str, Any] = json.loads(line)
                found: Answer | Failure
                if "metadata" in answer:
                    pixels = await pipe.readexactly(answer["pixels"])
                    original = await pipe.readexactly(answer["original"])
                    found = Answer(answer["metadata"], pixels, original, answer["sha256"])
                else:
                    found = Failure(answer["reason"], answer["problem"])
                self._since = time.monotonic()
                if not self.held:
                    return
                _settle(self.held.popleft(), found)
                self.pool._hand_out()

    async def _bury(self) -> None:
        """Tell who is to blame for the death, and give the others' files to other processes."""
        late, self._late = self._late, False
        await self.end()
        self.pool._tell("late" if late else "died")
        held, self.held = self.held, deque()
        if held:
            held[0].tries += 1
            if late:
                seconds = self.pool._limits.decode_seconds
                what = f"decoding the file took longer than {seconds} seconds"
                _settle(held.popleft(), Failure("decoder-timeout", what))
            elif held[0].tries >= _TRIES:
                what = "the process that decoded the file died twice"
                _settle(held.popleft(), Failure("decoder-died", what))
        self.pool._put_back(held)
        self.pool._hand_out()

    def _kill(self) -> None:
        if self.process is not None:
            _kill(self.process)

    async def end(self) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        if process is not None:
            _kill(process)
            await process.wait()


def _settle(job: _Job, found: Answer | Failure) -> None:
    if not job.done.done():
        job.done.set_result(found)


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _fields(spec: PixelSpec) -> dict[str, object]:
    return {"size": spec.size, "geometry": spec.geometry, "trim": spec.trim, "frame": spec.frame}

"""The engine of plain processes on pipes.

Nothing is forked and no ``__main__`` is imported, so that any program can use it. A worker and its
decoding processes are a process group, which ends when the worker dies or this process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from plainfilm._machine import cores
from plainfilm.cluster.job import Event, Job, Outcome
from plainfilm.cluster.local_worker import end_group
from plainfilm.cluster.plan import Chunk
from plainfilm.decoding.sandbox import ENVIRONMENT, start_command
from plainfilm.errors import RunError

_ENDING = 1.0  # seconds
_STARTS = 3  # consecutive starts of a worker that fail before the job stops


class LocalEngine:
    """Several worker processes on this machine: one for each core by default, at most ``most``."""

    def __init__(
        self, job: Job, out: str, workers: int | None, most: int, *, retry: bool = False
    ) -> None:
        self._order = pickle.dumps((job, out, retry))
        self._asked: queue.SimpleQueue[tuple[Chunk, int] | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._closed = threading.Event()
        count = min(workers or cores(), most)
        self._processes = [_WorkerProcess(self._order) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._attend, args=(process,), daemon=True)
            for process in self._processes
        ]
        for thread in self._threads:
            thread.start()

    @property
    def capacity(self) -> int:
        """Number of workers."""
        return len(self._processes)

    @property
    def pids(self) -> list[int]:
        """Ids of the worker processes that are running."""
        return [process.pid for process in self._processes if process.pid is not None]

    def submit(self, chunk: Chunk, attempt: int) -> None:
        """Give a chunk to the next worker that is free."""
        self._asked.put((chunk, attempt))

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return the attempts that have ended."""
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=timeout))
            while True:
                events.append(self._events.get_nowait())
        return events

    def close(self) -> None:
        """Kill the workers."""
        self._closed.set()
        for _ in self._threads:  # any thread takes any of them
            self._asked.put(None)
        for process, thread in zip(self._processes, self._threads, strict=True):
            while thread.is_alive():
                process.kill()
                thread.join(0.1)

    def _attend(self, process: _WorkerProcess) -> None:
        """Let a worker work on chunks until the engine is closed."""
        while not self._closed.is_set() and (asked := self._asked.get()) is not None:
            outcome = process.run(asked[0], self._closed)
            self._events.put(Event(*asked, outcome))
        process.kill()
        process.stop()


class _WorkerProcess:
    """A worker process, which is started for its first chunk and again after it died."""

    def __init__(self, order: bytes) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # so that no other process of this id is killed

    @property
    def pid(self) -> int | None:
        """Return the id of the process, or None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def run(self, chunk: Chunk, closed: threading.Event) -> Outcome:
        """Work on a chunk in the process and return what became of it."""
        failure = Outcome()
        for _ in range(_STARTS):
            if self._process is not None or closed.is_set():
                break
            failure = self._start()
        if self._process is None:
            return failure
        outcome = self._ask(pickle.dumps(chunk))
        if outcome is None:
            return Outcome(problem=f"a worker process died ({self.stop()})")
        return outcome

    def _start(self) -> Outcome:
        """Start the process; return why that failed, if it did."""
        self._process = subprocess.Popen(
            start_command("plainfilm.cluster.local_worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,  # Ctrl-C ends it through this process
        )
        outcome = self._ask(json.dumps(sys.path).encode() + b"\n" + self._order)
        if outcome is not None and outcome.error is None:
            return outcome
        how = self.stop()
        if outcome is not None:
            return outcome
        return Outcome(error=RunError("a worker process cannot be started", received=how))

    def _ask(self, request: bytes) -> Outcome | None:
        """Send a request and return the reply, or None if the process died."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
            reply: Any = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return reply if isinstance(reply, Outcome) else None

    def kill(self) -> None:
        """Kill the process and what it started; another thread calls this."""
        with self._lock:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end_group(self._process.pid, self._process.kill)

    def stop(self) -> str:
        """Kill the process and what it started, and return how it ended, in words."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(
                    _ENDING
                )  # so that the status of one that closed its pipes says why
        self.kill()
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return ""
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # of what it did not read
                    pipe.close()
        status = process.wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

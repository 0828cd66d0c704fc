"""A pool of sandboxed decoding processes: watches the time, restarts what died.

The processes are plain interpreters on pipes. A pool of :mod:`multiprocessing` would import the
caller's ``__main__`` in each of them, so that a script without an ``if __name__ == "__main__"``
guard would run again, and it could not say which file a process died on. Nothing is forked, so the
caller may have loaded a training framework with its threads.

Each process has a thread here that reads its replies. A process receives several small files in
one request, and the next request ahead, so that it never waits. When it dies, the files of the
request that it was working on are each tried once more, alone; a file on which a second process
dies is to blame. All other files go to other processes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores
from plainfilm.decoding.decode import FEW, Decoded, Failure, Reader, decode_one, reader_name
from plainfilm.decoding.job import Job
from plainfilm.decoding.process import DecodingProcess, Ending
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.decoding.schedule import Schedule
from plainfilm.pixels import read_image
from plainfilm.records import PixelSpec

NO_DECODER = Failure("no-decoder", "no decoding process can be started")
"""The outcome of a file that was not decoded for want of a process."""

_SUSPECT = Failure("decoder-died", "a process died, perhaps on the file, and none can be started")

_TOGETHER = 8  # files in one request
_STARTS = 3  # failed starts of every process before waiting files fail
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before a process that does not start is tried again
_TICK = 0.1  # seconds between two looks for files that take long


class Pool:
    """Several decoding processes; use it as a context manager, or call ``close``.

    With 0 workers, or if another process cannot import ``reader``, ``decode`` works in the calling
    process, where there is no limit of memory or time. A request has at most ``together`` files.
    ``spare`` is the number of further processes that rest until one is replaced; files with keys
    need one.
    ``notify`` is called with ``started``, ``died``, ``late`` (killed after too long) or
    ``interrupted`` (killed so that files of other requests go first), in any thread. ``command`` is
    started instead of the worker in tests.
    """

    def __init__(
        self,
        workers: int,
        reader: Reader = read_image,
        sandbox: Sandbox | None = None,
        *,
        together: int = _TOGETHER,
        spare: int = 0,
        notify: Callable[[str], None] = lambda event: None,
        command: list[str] | None = None,
    ) -> None:
        self._reader, self._sandbox = reader, sandbox or Sandbox()
        self._notify = notify
        name = reader_name(reader)
        count = workers + spare if name else 0
        self._processes = [
            DecodingProcess(name or "", self._sandbox, command) for _ in range(count)
        ]
        self._schedule = Schedule(self._processes, together, spare)
        self._lock = threading.Lock()  # guards the schedule and what the processes hold
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def ready(self) -> int:
        """Return how many processes are up."""
        return len(self.pids)

    @property
    def waiting(self) -> int:
        """Return how many files wait or are being decoded."""
        with self._lock:
            return self._schedule.waiting

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that are up."""
        return [pid for one in self._processes if (pid := one.pid) is not None]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the processes, and wait until each is up or has failed to start once."""
        self._start()
        for process in self._processes:
            process.tried.wait()

    def _start(self) -> None:
        with self._lock:  # several threads may submit the first files
            if self._threads:
                return
            self._threads = [
                threading.Thread(target=self._keep_up, args=(process,), daemon=True)
                for process in self._processes
            ]
            for thread in (*self._threads, threading.Thread(target=self._watch, daemon=True)):
                thread.start()

    def submit(self, jobs: Iterable[Job]) -> None:
        """Add files to the queue; never waits."""
        self._start()
        with self._lock:
            self._schedule.add(jobs)
            self._schedule.dispatch()
        if self._closed.is_set() or self._is_hopeless():
            self._fail_waiting()

    def cancel(self, job: Job) -> None:
        """Forget a file; its outcome is no longer needed."""
        with self._lock:
            job.cancelled = True
            self._schedule.remove(job)

    def decode(
        self,
        sources: Sequence[str | bytes],
        spec: PixelSpec,
        out: NDArray[np.uint8],
        notify: Callable[[], None] = lambda: None,
    ) -> list[Decoded | Failure]:
        """Decode n files into the rows of ``out``, (n, size, size), and return their outcomes.

        ``notify`` is called here after each file. If no process can be started, files are decoded
        in this process, except those on which a process may have died. Several threads may decode
        at the same time; if one closes the pool, the files of the others fail.
        """
        outcomes: dict[int, Decoded | Failure] = {}
        done: queue.SimpleQueue[tuple[int, Decoded | Failure]] = queue.SimpleQueue()

        def job(row: int) -> Job:
            return Job(sources[row], spec, out[row], lambda outcome: done.put((row, outcome)))

        jobs = [job(row) for row in range(len(sources))]
        try:
            if self._processes:
                self.submit(jobs)
            for number in range(len(sources)):
                row, outcome = done.get() if self._processes else (number, NO_DECODER)
                if outcome is NO_DECODER and not self._closed.is_set():
                    outcome = decode_one(self._reader, spec, sources[row], out[row])
                outcomes[row] = outcome
                notify()
        finally:
            for one in jobs:
                one.cancelled = True
        return [outcomes[row] for row in range(len(sources))]

    def close(self) -> None:
        """End the processes; files that are not decoded yet fail."""
        self._closed.set()
        for process, thread in zip(self._processes, self._threads, strict=False):
            while thread.is_alive():
                process.kill()
                thread.join(0.1)
        self._fail_waiting()

    def _watch(self) -> None:
        seconds = self._sandbox.seconds
        while not self._closed.wait(_TICK if seconds is None else min(_TICK, seconds / 4)):
            for process in self._processes:
                process.kill_if_late()
            with self._lock:
                self._schedule.interrupt(time.monotonic())

    def _keep_up(self, process: DecodingProcess) -> None:
        """Keep a process running, and pass its replies on, until the pool is closed."""
        pause = _PAUSE
        while not self._closed.is_set():
            if process.start():
                self._notify("started")
                with self._lock:
                    process.is_up, process.failures = True, 0
                    self._schedule.dispatch()
                process.tried.set()
                while self._pass_on(process):
                    pause = _PAUSE
                if self._bury(process):
                    continue
            else:
                process.failures += 1
                process.tried.set()
                if self._is_hopeless():
                    self._fail_waiting()
            self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _pass_on(self, process: DecodingProcess) -> bool:
        """Wait for outcomes and pass them on; return False if the process is lost."""
        outcomes = process.receive()
        with self._lock:
            finished = self._schedule.release(process, len(outcomes))
            self._schedule.dispatch()
        for job, outcome in zip(finished, outcomes, strict=True):
            job.done(outcome)
        return bool(outcomes)

    def _bury(self, process: DecodingProcess) -> bool:
        """Clean up after a process; return whether it held any files."""
        with self._lock:
            process.is_up = False
        ending, status = process.stop(at_once=self._closed.is_set())
        if self._closed.is_set():
            ending = "closed"
        with self._lock:
            held = bool(process.held)
            guilty = self._schedule.take_back(process, ending)
            self._schedule.dispatch()
        if ending != "closed":
            self._notify(ending)
        for job in guilty:
            job.done(self._blame(ending, status))
        return held

    def _blame(self, ending: Ending, status: int) -> Failure:
        if ending == "late":
            seconds = self._sandbox.seconds
            return Failure(
                "decoder-timeout", f"decoding the file took longer than {seconds:g} seconds"
            )
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return Failure("decoder-died", f"two processes died while they decoded the file ({how})")

    def _is_hopeless(self) -> bool:
        """Return whether no process is up, and none has come up in several tries."""
        return not self.ready and all(one.failures >= _STARTS for one in self._processes)

    def _fail_waiting(self) -> None:
        with self._lock:
            jobs = self._schedule.clear()
        for job in jobs:
            job.done(_SUSPECT if job.deaths else NO_DECODER)


def decode_files(
    files: Sequence[str], spec: PixelSpec, reader: Reader = read_image
) -> tuple[NDArray[np.uint8], list[Decoded | Failure]]:
    """Decode n files, a few in this process and more in a pool, and return images and outcomes.

    The images are (n, size, size); those of failures are undefined.
    """
    out = np.empty((len(files), spec.size, spec.size), np.uint8)
    with Pool(0 if len(files) < FEW else cores(), reader) as pool:
        return out, pool.decode(files, spec, out)

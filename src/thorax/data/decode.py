"""Decoding in processes of their own, each of which may die without harm.

The workers are plain interpreters on pipes, not a pool of ``multiprocessing``: that would import
the caller's ``__main__`` again in each worker, so that a training script without an
``if __name__ == "__main__"`` guard runs itself anew; and when one of its workers dies it cannot
tell on which file. Nothing is forked, so a training framework with its threads may be loaded.

What goes over the pipes: a JSON line with a path, back comes a JSON line with facts or a failure,
and after facts the pixels.

A worker can be capped: what it may take of memory is set in the worker itself, and how long it may
take for a file is watched from here. A process cannot do that to itself without harm, so decoding
in the caller's own process (``workers=0``) has neither cap.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import reduce
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thorax.data.capped import (
    MEMORY,
    OF_DECODERS,
    Decoded,
    Failure,
    Reader,
    cap_memory,
    decode_one,
    memory_cap,
    open_answers,
    reader_name,
    start_command,
)
from thorax.records import PixelSpec

__all__ = [
    "MEMORY",
    "SECONDS",
    "Decoded",
    "Decoders",
    "Failure",
    "Reader",
    "decode_one",
    "memory_cap",
    "reader_name",
    "serve",
]

SECONDS = 120.0
"""How long a worker may take for one file; the largest radiographs take a few seconds."""

_AHEAD = 4
_PIPE = 1 << 20  # where the system lets us: a whole image in one write


class Decoders:
    """Several decoding processes; use as a context manager.

    Parameters
    ----------
    reader
        What decodes. If another process cannot import it, decoding is done in this one.
    spec
        What files become.
    workers
        Number of processes; 0 decodes in this one, where neither cap can be held.
    memory
        Bytes of address space that each process may take beyond what its code takes, where the
        system has such a limit (``RLIMIT_AS``; Windows and macOS have not); None sets none. What
        asks for more fails alone, with the reason ``out-of-memory`` or, where a library cannot
        cope with that, ``decoder-died``.
    seconds
        How long a file may take; None waits for ever. The process that takes longer is killed, and
        the file has the reason ``decoder-timeout``.
    """

    def __init__(
        self,
        reader: Reader,
        spec: PixelSpec,
        workers: int,
        *,
        memory: int | None = MEMORY,
        seconds: float | None = SECONDS,
    ) -> None:
        self._reader, self._spec = reader, spec
        name = reader_name(reader)
        count = workers if name else 0
        self._workers = [_Worker(reader, spec, str(name), memory, seconds) for _ in range(count)]
        self._ended = threading.Event()
        if count and seconds is not None:
            interval = min(1.0, seconds / 4)
            threading.Thread(target=self._watch, args=(interval,), daemon=True).start()

    def _watch(self, interval: float) -> None:
        while not self._ended.wait(interval):
            for worker in self._workers:
                worker.end_if_late()

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        for worker in self._workers:
            worker.close()

    def decode(
        self, paths: Sequence[str], out: NDArray[np.uint8], tell: Callable[[], None]
    ) -> list[Decoded | Failure]:
        """Decode every path into its row of ``out``, (n, size, size).

        Returns
        -------
        outcomes
            One for each path. A process that dies, or is killed because it took too long, costs
            the file it had in hand: the reason ``decoder-died`` or ``decoder-timeout``.
        """
        outcomes: list[Decoded | Failure | None] = [None] * len(paths)
        if not self._workers:
            for row, path in enumerate(paths):
                outcomes[row] = decode_one(self._reader, self._spec, path, out[row])
                tell()
            return [outcome for outcome in outcomes if outcome is not None]
        rows = itertools.count()
        done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work(worker: _Worker) -> None:
            try:
                # next() on a count is one step of the interpreter: no two threads get one row.
                mine = iter(lambda: min(next(rows), len(paths)), len(paths))
                for row, outcome in worker.decode(mine, paths, out):
                    outcomes[row] = outcome
                    done.put(None)
            except BaseException as error:
                done.put(error)

        for worker in self._workers:
            threading.Thread(target=work, args=(worker,), daemon=True).start()
        for _ in paths:
            if (error := done.get()) is not None:
                raise error
            tell()
        return [outcome for outcome in outcomes if outcome is not None]


class _NoWorker(Exception):
    """A process does not come up; the caller decodes by itself."""


class _Worker:
    """One process, started when first asked, and anew after it has died."""

    def __init__(
        self,
        reader: Reader,
        spec: PixelSpec,
        name: str,
        memory: int | None,
        seconds: float | None,
    ) -> None:
        self._reader, self._spec, self._name = reader, spec, name
        self._memory, self._seconds = memory, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._watched = threading.Lock()
        self._due = math.inf
        self._late = False
        self._alone = False
        self.closed = False

    def decode(
        self, rows: Iterator[int], paths: Sequence[str], out: NDArray[np.uint8]
    ) -> Iterator[tuple[int, Decoded | Failure]]:
        """Decode ``paths[row]`` into ``out[row]`` for each of ``rows``."""
        asked: deque[int] = deque()
        for row in rows:
            # A few are asked for ahead, so that the process never waits for us.
            asked.append(row)
            self._ask([paths[row]])
            if len(asked) > _AHEAD:
                yield self._receive(asked, paths, out)
            if self.closed:
                return
        while asked and not self.closed:
            yield self._receive(asked, paths, out)

    def _ask(self, paths: Sequence[str]) -> None:
        if self._alone:
            return
        try:
            process = self._process or self._start()
        except _NoWorker:
            self._alone = True
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # that it is gone shows when its answer is due
            process.stdin.write(b"".join(json.dumps(path).encode() + b"\n" for path in paths))
            process.stdin.flush()

    def _receive(
        self, asked: deque[int], paths: Sequence[str], out: NDArray[np.uint8]
    ) -> tuple[int, Decoded | Failure]:
        row = asked.popleft()
        if self._alone or self._process is None:
            return row, decode_one(self._reader, self._spec, paths[row], out[row])
        pipe = self._process.stdout
        assert pipe is not None
        outcome: Decoded | Failure | None = None
        # Answers come in the order of the questions: with the last one read, it is at this file.
        self._set_due(math.inf if self._seconds is None else time.monotonic() + self._seconds)
        with contextlib.suppress(OSError, EOFError, ValueError):  # it is gone, in mid-line perhaps
            answer = json.loads(pipe.readline())
            if "facts" in answer:
                _fill(pipe, out[row])
                outcome = Decoded(answer["facts"])
            else:
                outcome = Failure(answer["reason"], answer["what"])
        late = self._set_due(math.inf)
        if outcome is None or late:  # one that answered at the last moment was killed all the same
            code = self._stop()
            self._ask([paths[other] for other in asked])
        if outcome is None and late:
            what = f"decoding the file took longer than {self._seconds:g} seconds"
            outcome = Failure("decoder-timeout", what)
        elif outcome is None:
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            outcome = Failure("decoder-died", f"the process that decoded the file died ({how})")
        return row, outcome

    def _set_due(self, due: float) -> bool:
        """Set when the answer has to be there, and return whether the last one came too late."""
        with self._watched:
            late, self._late, self._due = self._late, False, due
            return late

    def end_if_late(self) -> None:
        """Kill the process if its answer is overdue; called by another thread."""
        with self._watched:
            process = self._process
            if process is not None and time.monotonic() > self._due:
                self._late, self._due = True, math.inf
                process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        self._stop()
        if not sys.executable:
            raise _NoWorker
        try:
            process = subprocess.Popen(
                start_command(__name__),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pipesize=_PIPE,
                env={**os.environ, **OF_DECODERS},
            )
        except OSError as error:
            raise _NoWorker from error
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        order = {"reader": self._name, "spec": asdict(self._spec), "memory": self._memory}
        try:
            process.stdin.write(json.dumps(sys.path).encode() + b"\n")
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            ready = process.stdout.readline()
        except OSError:
            ready = b""
        if ready != b"ready\n":
            self._stop()
            raise _NoWorker
        return process

    def _stop(self) -> int:
        """End the process and return how it ended, as :mod:`subprocess` tells it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        # One that closed its pipes is ending by itself, and its status says why.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.0 if self.closed else 2.0)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not take is lost on purpose
                    pipe.close()
        return process.wait()

    def close(self) -> None:
        """End the process."""
        self.closed = self._alone = True
        self._stop()


def _fill(pipe: Any, out: NDArray[np.uint8]) -> None:
    view = memoryview(out.data).cast("B")
    while len(view):
        count = pipe.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]


def serve() -> None:
    """Decode what standard input asks for until it ends: the life of a worker."""
    answers = open_answers()
    order = json.loads(sys.stdin.buffer.readline())
    module, _, name = order["reader"].partition(":")
    reader: Reader = reduce(getattr, name.split("."), importlib.import_module(module))  # type: ignore[assignment]
    spec = PixelSpec(**order["spec"])
    out = np.empty((spec.size, spec.size), dtype=np.uint8)
    if order["memory"] is not None:
        cap_memory(order["memory"])
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        outcome = decode_one(reader, spec, json.loads(line), out)
        answers.write(json.dumps(asdict(outcome)).encode() + b"\n")
        if isinstance(outcome, Decoded):
            answers.write(out.data)
        answers.flush()

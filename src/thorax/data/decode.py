"""Decoding in processes of their own, each of which may die without harm.

The workers are plain interpreters on pipes, not a pool of ``multiprocessing``: that would import
the caller's ``__main__`` again in each worker, so that a training script without an
``if __name__ == "__main__"`` guard runs itself anew; and when one of its workers dies it cannot
tell on which file. Nothing is forked, so a training framework with its threads may be loaded.

What goes over the pipes: a JSON line with some paths; back comes a JSON line with facts or a
failure for each, and then the pixels of those with facts. A worker that is slow answers for fewer
at once. Small files take less to decode than to ask for one by one. But when a worker dies among
several, nobody knows on which; so another one gets them again, one by one.

A worker can be capped: what it may take of memory is set in the worker itself, and how long it may
take for a file is watched from here. A process cannot do that to itself without harm, so decoding
in the caller's own process (``workers=0``) has neither cap.
"""

from __future__ import annotations

import contextlib
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
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thorax.pixels.capped import (
    MEMORY,
    OF_DECODERS,
    Decoded,
    Failure,
    Reader,
    decode_one,
    memory_cap,
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
]

SECONDS = 120.0
"""How long a worker may take for one file; the largest radiographs take a few seconds."""

_WORKER = "thorax.pixels.worker"
_TOGETHER = 8  # files in one message
_SHARES = 4  # of what is left; a worker takes no more than one, so that all end together
_LINE = 1500  # bytes: two messages fit into the smallest pipes there are, those of Windows
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
        the file has the reason ``decoder-timeout``; one that was asked for together with others is
        given as long once more, by itself.
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
        take = _shares(paths, len(self._workers))
        done: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()

        def work(worker: _Worker) -> None:
            try:
                # An iterator of its own for each thread: one of theirs all would lose what is
                # under way when another thread finds the end.
                for answered in worker.decode(iter(take, range(0)), paths, out):
                    for row, outcome in answered:
                        outcomes[row] = outcome
                    done.put(len(answered))
            except BaseException as error:
                done.put(error)

        for worker in self._workers:
            threading.Thread(target=work, args=(worker,), daemon=True).start()
        missing = len(paths)
        while missing:
            news = done.get()
            if isinstance(news, BaseException):
                raise news
            missing -= news
            for _ in range(news):
                tell()
        return [outcome for outcome in outcomes if outcome is not None]


def _shares(paths: Sequence[str], workers: int) -> Callable[[], range]:
    """Return a function for several threads: the next rows, fewer to the end, at last none."""
    lock, at, count = threading.Lock(), 0, len(paths)

    def take() -> range:
        nonlocal at
        with lock:
            size = max(1, min(_TOGETHER, (count - at) // (_SHARES * workers)))
            while size > 1 and len(_message(paths[at : at + size])) > _LINE:
                size //= 2
            taken = range(at, min(at + size, count))
            at = taken.stop
            return taken

    return take


def _message(paths: Sequence[str]) -> bytes:
    return json.dumps(paths, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


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
        self._one_by_one = False
        self._alone = False
        self.closed = False

    def decode(
        self, shares: Iterator[range], paths: Sequence[str], out: NDArray[np.uint8]
    ) -> Iterator[list[tuple[int, Decoded | Failure]]]:
        """Decode ``paths[row]`` into ``out[row]`` for all rows; yield what is done."""
        asked: deque[int] = deque()
        for rows in shares:
            # The next is asked for ahead, so that the process never waits for us.
            asked.extend(rows)
            self._ask([paths[row] for row in rows])
            while len(asked) > len(rows) and not self.closed:
                yield self._receive(asked, paths, out)
            if self.closed:
                return
        while asked and not self.closed:
            yield self._receive(asked, paths, out)

    def _ask(self, paths: Sequence[str]) -> bool:
        """Ask the process for files; return whether there is one."""
        if self._alone or not paths:
            return not self._alone
        try:
            process = self._process or self._start()
        except _NoWorker:
            self._alone = True
            return False
        assert process.stdin is not None
        messages = [[path] for path in paths] if self._one_by_one else [paths]
        with contextlib.suppress(OSError):  # that it is gone shows when its answer is due
            process.stdin.write(b"".join(map(_message, messages)))
            process.stdin.flush()
        return True

    def _receive(
        self, asked: deque[int], paths: Sequence[str], out: NDArray[np.uint8]
    ) -> list[tuple[int, Decoded | Failure]]:
        """Return the next answers, none where it died among several files."""
        if self._alone or self._process is None:
            row = asked.popleft()
            return [(row, decode_one(self._reader, self._spec, paths[row], out[row]))]
        pipe = self._process.stdout
        assert pipe is not None
        answered: list[tuple[int, Decoded | Failure]] = []
        # Answers come in the order of the questions: with the last one read, it is at this file.
        self._set_due(math.inf if self._seconds is None else time.monotonic() + self._seconds)
        whole = False
        with contextlib.suppress(OSError, EOFError, ValueError):  # it is gone, in mid-line perhaps
            for row, answer in zip(asked, json.loads(pipe.readline()), strict=False):
                if "facts" in answer:
                    _fill(pipe, out[row])
                    answered.append((row, Decoded(answer["facts"])))
                else:
                    answered.append((row, Failure(answer["reason"], answer["what"])))
            whole = True
        for _ in answered:
            asked.popleft()
        late = self._set_due(math.inf)
        if whole and not late:
            return answered
        code = self._stop()  # one that answered at the last moment was killed all the same
        blame = self._blame(late, code)
        if not whole and (self._one_by_one or len(asked) == 1):
            answered.append((asked.popleft(), blame))
        self._one_by_one = True
        if not self._ask([paths[row] for row in asked]):
            # What may have killed the last one must not be decoded in this process.
            answered += [(row, blame) for row in asked]
            asked.clear()
        return answered

    def _blame(self, late: bool, code: int) -> Failure:
        if late:
            what = f"decoding the file took longer than {self._seconds:g} seconds"
            return Failure("decoder-timeout", what)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return Failure("decoder-died", f"the process that decoded the file died ({how})")

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
            process = _open(_PIPE)
        except OSError:
            try:  # larger pipes than a user may have here
                process = _open(-1)
            except OSError as error:
                raise _NoWorker from error
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        order = {
            "reader": self._name,
            "spec": asdict(self._spec),
            "memory": self._memory,
            "together": _TOGETHER,
        }
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


def _open(pipe: int) -> subprocess.Popen[bytes]:
    """Start a decoding process with pipes of a size."""
    return subprocess.Popen(
        start_command(_WORKER),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=pipe,
        env={**os.environ, **OF_DECODERS},
    )


def _fill(pipe: Any, out: NDArray[np.uint8]) -> None:
    view = memoryview(out.data).cast("B")
    while len(view):
        count = pipe.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]

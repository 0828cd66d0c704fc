"""One decoding process, as the process that asks it sees it.

What goes over the pipes: a JSON line with some paths; back comes a JSON line with metadata or a
failure for each, and then the pixels of those with metadata. When it dies among several files, nobody
knows on which; so they are asked for again, one by one, of another one.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import read_into
from plainfilm.decoding.decode import Decoded, Failure, Reader, decode_one
from plainfilm.decoding.sandbox import ENVIRONMENT, start_command
from plainfilm.records import PixelSpec

__all__ = ["TOGETHER", "Decoder", "message"]

TOGETHER = 8
"""Files in one message, at most."""

_WORKER = "plainfilm.decoding.worker"
_PIPE = 1 << 20  # where the system lets us: a whole image in one write


def message(paths: Sequence[str]) -> bytes:
    """Return what is sent to ask for files."""
    return json.dumps(paths, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


class _NoWorker(Exception):
    """A process does not come up; the caller decodes by itself."""


class Decoder:
    """One process, started when first asked, and anew after it has died.

    Parameters
    ----------
    reader, spec, memory, seconds
        As of :class:`plainfilm.decoding.pool.Decoders`.
    name
        By which another process imports the reader.
    """

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
            process.stdin.write(b"".join(map(message, messages)))
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
                if "metadata" in answer:
                    read_into(pipe, out[row].data)
                    answered.append((row, Decoded(answer["metadata"])))
                else:
                    answered.append((row, Failure(answer["reason"], answer["problem"])))
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
            "together": TOGETHER,
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
        env={**os.environ, **ENVIRONMENT},
    )

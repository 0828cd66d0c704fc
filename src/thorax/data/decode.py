"""Decoding in processes of their own, each of which may die without harm.

The workers are plain interpreters on pipes, not a pool of ``multiprocessing``: that would import
the caller's ``__main__`` again in each worker, so that a training script without an
``if __name__ == "__main__"`` guard runs itself anew; and when one of its workers dies it cannot
tell on which file. Nothing is forked, so a training framework with its threads may be loaded.

What goes over the pipes: a JSON line with a path, back comes a JSON line with facts or a failure,
and after facts the pixels.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thorax.errors import ImageError
from thorax.records import PixelSpec

__all__ = ["Decoded", "Decoders", "Failure", "Reader", "decode_one", "reader_name", "serve"]


_AHEAD = 4
_PIPE = 1 << 20  # where the system lets us: a whole image in one write


class ReadImage(Protocol):
    """What is used of :class:`thorax.pixels.Image`."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Grey values, (size, size)."""

    @property
    def facts(self) -> Mapping[str, str | float]:
        """What the file says about itself."""


Reader = Callable[[str, PixelSpec], ReadImage]
"""A function like :func:`thorax.pixels.read_image`."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The facts of a file that became an image."""

    facts: dict[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file did not become an image: a stable code and a sentence."""

    reason: str
    what: str


def decode_one(
    reader: Reader, spec: PixelSpec, path: str, out: NDArray[np.uint8]
) -> Decoded | Failure:
    """Decode ``path`` into ``out``, (size, size); every failure is an answer, not an error."""
    try:
        image = reader(path, spec)
        out[...] = image.pixels
        return Decoded(_clean(image.facts))
    except ImageError as error:
        return Failure(error.reason, error.what)
    except MemoryError:
        return Failure("out-of-memory", "there was not enough memory to decode the file")
    except Exception as error:  # a defect of a decoder must cost one file, not the run
        return Failure("decoder-failed", f"the decoder failed: {type(error).__name__}: {error}")


def _clean(facts: Mapping[str, Any]) -> dict[str, str | float]:
    """Keep what JSON can hold."""
    clean: dict[str, str | float] = {}
    for name, value in facts.items():
        if isinstance(value, str):
            clean[name] = value
        elif math.isfinite(value):
            clean[name] = int(value) if value == int(value) and abs(value) < 2**53 else float(value)
    return clean


def reader_name(reader: Reader) -> str | None:
    """Return ``module:name`` if another process can import ``reader`` by it, else None."""
    module = getattr(reader, "__module__", "__main__")
    name = getattr(reader, "__qualname__", "<")
    if module == "__main__" or "<" in name:
        return None
    return f"{module}:{name}"


class Decoders:
    """Several decoding processes; use as a context manager.

    Parameters
    ----------
    reader
        What decodes. If another process cannot import it, decoding is done in this one.
    spec
        What files become.
    workers
        Number of processes; 0 decodes in this one.
    """

    def __init__(self, reader: Reader, spec: PixelSpec, workers: int) -> None:
        self._reader, self._spec = reader, spec
        name = reader_name(reader)
        count = workers if name else 0
        self._workers = [_Worker(reader, spec, str(name)) for _ in range(count)]

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.close()

    def decode(
        self, paths: Sequence[str], out: NDArray[np.uint8], tell: Callable[[], None]
    ) -> list[Decoded | Failure]:
        """Decode every path into its row of ``out``, (n, size, size).

        Returns
        -------
        outcomes
            One for each path. A process that dies costs the file it had in hand: the reason
            ``decoder-died``.
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

    def __init__(self, reader: Reader, spec: PixelSpec, name: str) -> None:
        self._reader, self._spec, self._name = reader, spec, name
        self._process: subprocess.Popen[bytes] | None = None
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
        try:
            answer = json.loads(pipe.readline())
            if "facts" not in answer:
                return row, Failure(answer["reason"], answer["what"])
            _fill(pipe, out[row])
            return row, Decoded(answer["facts"])
        except (OSError, EOFError, ValueError):  # it is gone, in the middle of a line perhaps
            code = self._stop()
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            # Answers come in the order of the questions: this one killed it, the others wait.
            self._ask([paths[other] for other in asked])
            return row, Failure("decoder-died", f"the process that decoded the file died ({how})")

    def _start(self) -> subprocess.Popen[bytes]:
        self._stop()
        if not sys.executable:
            raise _NoWorker
        code = (
            "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
            "from thorax.data.decode import serve; serve()"
        )
        # One thread each: there are as many processes as cores.
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pipesize=_PIPE,
                env={**os.environ, **single},
            )
        except OSError as error:
            raise _NoWorker from error
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        order = {"reader": self._name, "spec": asdict(self._spec)}
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
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # A decoder that prints must not write between our answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    order = json.loads(sys.stdin.buffer.readline())
    module, _, name = order["reader"].partition(":")
    reader: Reader = reduce(getattr, name.split("."), importlib.import_module(module))  # type: ignore[assignment]
    spec = PixelSpec(**order["spec"])
    out = np.empty((spec.size, spec.size), dtype=np.uint8)
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        outcome = decode_one(reader, spec, json.loads(line), out)
        answers.write(json.dumps(asdict(outcome)).encode() + b"\n")
        if isinstance(outcome, Decoded):
            answers.write(out.data)
        answers.flush()

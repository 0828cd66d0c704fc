"""Decoding in processes of their own, each of which may die without harm.

The workers are plain interpreters on pipes, not a pool of ``multiprocessing``: that would import
the caller's ``__main__`` again in each worker, so that a training script without an
``if __name__ == "__main__"`` guard runs itself anew; and when one of its workers dies it cannot
tell on which file. Nothing is forked, so a training framework with its threads may be loaded.

Each is asked for several files at once, for small files take less to decode than to ask for one by
one; one that is slow answers for fewer. How it is asked, and what happens when it dies, is in
:mod:`plainfilm.decoding.process`.

A worker can be capped: what it may take of memory is set in the worker itself, and how long it may
take for a file is watched from here. A process cannot do that to itself without harm, so decoding
in the caller's own process (``workers=0``) has neither cap.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from plainfilm.decoding.decode import Decoded, Failure, Reader, decode_one, reader_name
from plainfilm.decoding.process import TOGETHER, Decoder, message
from plainfilm.decoding.sandbox import MEMORY
from plainfilm.records import PixelSpec

__all__ = ["SECONDS", "Decoders"]

SECONDS = 120.0
"""How long a worker may take for one file; the largest radiographs take a few seconds."""

_SHARES = 4  # of what is left; a worker takes no more than one, so that all end together
_LINE = 1500  # bytes: two messages fit into the smallest pipes there are, those of Windows


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
        self._workers = [Decoder(reader, spec, str(name), memory, seconds) for _ in range(count)]
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

        def work(worker: Decoder) -> None:
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
            size = max(1, min(TOGETHER, (count - at) // (_SHARES * workers)))
            while size > 1 and len(message(paths[at : at + size])) > _LINE:
                size //= 2
            taken = range(at, min(at + size, count))
            at = taken.stop
            return taken

    return take

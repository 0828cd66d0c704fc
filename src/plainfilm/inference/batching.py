"""Batches of images from all clients for one run of the network, without a delay.

No image waits for a batch to fill. Images arrive while a run computes; when a run ends, the waiting
images are the next batch. A single image is predicted at once, and batches grow with the load.
Clients have turns, and each client's requests, so that many images of one do not delay others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

from plainfilm.decoding.fair_queue import FairQueue, Key

LARGEST = 16
"""Images in a batch; larger batches measured no faster and delay their first image."""


T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Calls ``function`` with batches of waiting inputs, up to ``runs`` at a time.

    ``function`` returns the results in order, as :meth:`plainfilm.runtime.Predictor.predict_images`
    does. Several batchers may share an executor; ``on_run`` is called with the inputs and seconds
    of each run.
    """

    def __init__(
        self,
        function: Callable[[Sequence[T]], Sequence[R]],
        executor: Executor,
        runs: int,
        *,
        largest: int = LARGEST,
        on_run: Callable[[int, float], None] = lambda count, seconds: None,
    ) -> None:
        self._function, self._executor = function, executor
        self._free, self._largest, self._on_run = runs, largest, on_run
        self._waiting: FairQueue[tuple[asyncio.Future[R], T]] = FairQueue()

    @property
    def waiting(self) -> int:
        """Return how many inputs wait for a run."""
        return len(self._waiting)

    async def run(self, one: T, key: Key) -> R:
        """Return the result of one input, computed in a batch with others that wait."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.push((done, one), key)
        self._start_runs()
        return await done

    def _start_runs(self) -> None:
        while self._free and self._waiting:
            count = min(self._largest, len(self._waiting))
            batch = [self._waiting.pop() for _ in range(count)]
            batch = [(done, one) for done, one in batch if not done.done()]
            if not batch:  # their requests were cancelled
                continue
            self._free -= 1
            loop, began = asyncio.get_running_loop(), time.monotonic()
            run = loop.run_in_executor(self._executor, self._function, [one for _, one in batch])
            run.add_done_callback(partial(self._end_run, [done for done, _ in batch], began))

    def _end_run(
        self, waiting: list[asyncio.Future[R]], began: float, run: asyncio.Future[Sequence[R]]
    ) -> None:
        self._free += 1
        self._on_run(len(waiting), time.monotonic() - began)
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        for row, done in enumerate(waiting):
            if done.done():
                continue
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(run.result()[row])
        self._start_runs()

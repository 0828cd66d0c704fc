"""One run of the network for all images that wait: batches across requests, without a delay.

Nobody waits for a batch to fill. While a run computes, images arrive; what has gathered when a
place is free is the next batch. A lone image is answered at once, and under load batches grow by
themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from plainfilm.pixels import Image
from plainfilm.records import Prediction

__all__ = ["LARGEST", "Batcher", "Predicts"]

LARGEST = 16
"""Images in a run; more gained nothing measurable, and made the first of them wait."""


class Predicts(Protocol):
    """What is used of :class:`plainfilm.runtime.Predictor`."""

    def predict_images(self, images: Sequence[Image]) -> list[Prediction]:
        """Answer for images that are read already, in their order."""


class Batcher:
    """Gather images of one bundle into runs.

    Parameters
    ----------
    predictor
        What answers.
    executor
        Where it runs; shared by all bundles.
    runs
        Runs at a time.
    largest
        Images in a run.
    tell
        Called with the number of images of each run.
    """

    def __init__(
        self,
        predictor: Predicts,
        executor: Executor,
        runs: int,
        *,
        largest: int = LARGEST,
        tell: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._predictor, self._executor = predictor, executor
        self._free, self._largest, self._tell = runs, largest, tell
        self._waiting: deque[tuple[Image, asyncio.Future[Prediction]]] = deque()

    @property
    def waiting(self) -> int:
        """Return how many images wait for a run."""
        return len(self._waiting)

    async def predict(self, image: Image) -> Prediction:
        """Answer for one image, together with whatever else waits."""
        done: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, done))
        self._begin()
        return await done

    def _begin(self) -> None:
        while self._free and self._waiting:
            count = min(self._largest, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            batch = [(image, done) for image, done in batch if not done.done()]
            if not batch:  # whoever asked is gone
                continue
            self._free -= 1
            self._tell(len(batch))
            loop = asyncio.get_running_loop()
            run = loop.run_in_executor(
                self._executor, self._predictor.predict_images, [image for image, _ in batch]
            )
            run.add_done_callback(lambda run, batch=batch: self._end(run, batch))  # type: ignore[misc]

    def _end(
        self,
        run: asyncio.Future[list[Prediction]],
        batch: list[tuple[Image, asyncio.Future[Prediction]]],
    ) -> None:
        self._free += 1
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        for row, (_, done) in enumerate(batch):
            if done.done():
                continue
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(run.result()[row])
        self._begin()

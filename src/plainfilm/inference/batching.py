"""Batches of images from all requests for one run of the network, without a delay.

No image waits for a batch to fill. Images arrive while a run computes; when a run ends, the waiting
images are the next batch. A single image is predicted at once, and batches grow with the load.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from plainfilm.pixels import Image
from plainfilm.prediction import Prediction

LARGEST = 16
"""Images in a batch; larger batches measured no faster and delay their first image."""


class ImagePredictor(Protocol):
    """The method of :class:`plainfilm.runtime.Predictor` that batching uses."""

    def predict_images(self, images: Sequence[Image]) -> list[Prediction]:
        """Predict on decoded images, in order."""


class Batcher:
    """Runs one bundle's network on batches of waiting images, up to ``runs`` at a time.

    All bundles share the executor; ``on_run`` is called with the images and seconds of each run.
    """

    def __init__(
        self,
        predictor: ImagePredictor,
        executor: Executor,
        runs: int,
        *,
        largest: int = LARGEST,
        on_run: Callable[[int, float], None] = lambda count, seconds: None,
    ) -> None:
        self._predictor, self._executor = predictor, executor
        self._free, self._largest, self._on_run = runs, largest, on_run
        self._waiting: deque[tuple[Image, asyncio.Future[Prediction]]] = deque()

    @property
    def waiting(self) -> int:
        """Return how many images wait for a run."""
        return len(self._waiting)

    async def predict(self, image: Image) -> Prediction:
        """Predict on one image, in a batch with the other waiting images."""
        done: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, done))
        self._start_runs()
        return await done

    def _start_runs(self) -> None:
        while self._free and self._waiting:
            count = min(self._largest, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            batch = [(image, done) for image, done in batch if not done.done()]
            if not batch:  # their requests were cancelled
                continue
            self._free -= 1
            loop, began = asyncio.get_running_loop(), time.monotonic()
            run = loop.run_in_executor(
                self._executor, self._predictor.predict_images, [image for image, _ in batch]
            )
            run.add_done_callback(partial(self._end_run, batch, began))

    def _end_run(
        self,
        batch: list[tuple[Image, asyncio.Future[Prediction]]],
        began: float,
        run: asyncio.Future[list[Prediction]],
    ) -> None:
        self._free += 1
        self._on_run(len(batch), time.monotonic() - began)
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        for row, (_, done) in enumerate(batch):
            if done.done():
                continue
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(run.result()[row])
        self._start_runs()

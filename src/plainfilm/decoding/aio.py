"""The pool of decoding processes for code that runs in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from plainfilm.decoding.decode import Decoded, Failure
from plainfilm.decoding.fair_queue import NO_KEY, Key
from plainfilm.decoding.job import Job
from plainfilm.decoding.pool import Pool
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.pixels import read_image
from plainfilm.pixels.display import Display
from plainfilm.records import PixelSpec


class AsyncPool:
    """Decoding processes whose outcomes are awaited; ``start`` and ``close`` it in one event loop.

    The arguments are those of :class:`Pool`; ``notify`` is called in the event loop.
    """

    def __init__(
        self,
        workers: int,
        sandbox: Sandbox,
        *,
        spare: int = 0,
        notify: Callable[[str], None] = lambda event: None,
        command: list[str] | None = None,
    ) -> None:
        self._notify = notify
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = Pool(
            workers,
            read_image,
            sandbox,
            together=4,
            spare=spare,
            notify=lambda event: self._call(self._notify, event),
            command=command,
        )

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    @property
    def ready(self) -> int:
        """Return how many processes are up."""
        return self._pool.ready

    @property
    def waiting(self) -> int:
        """Return how many files wait or are being decoded."""
        return self._pool.waiting

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that are up."""
        return self._pool.pids

    async def start(self) -> None:
        """Start the processes, and wait until each is up or has failed to start once."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._pool.start)

    async def decode(
        self, data: bytes, spec: PixelSpec, *, display: Display | None, key: Key = NO_KEY
    ) -> Decoded | Failure:
        """Decode the bytes of a file; ``display`` requests the whole image too, in a format.

        Clients are served in turn, and the requests of each client in turn, by their ``key``.

        The failure ``no-decoder`` means that no process can be started, or that the pool is
        being closed.
        """
        future: asyncio.Future[Decoded | Failure] = asyncio.get_running_loop().create_future()

        def resolve(outcome: Decoded | Failure) -> None:
            if not future.done():
                future.set_result(outcome)

        out = np.empty((spec.size, spec.size), np.uint8)
        job = Job(data, spec, out, lambda outcome: self._call(resolve, outcome), display, key)
        self._pool.submit([job])
        try:
            return await future
        finally:
            self._pool.cancel(job)

    async def close(self) -> None:
        """End the processes; files that are not decoded yet fail."""
        await asyncio.to_thread(self._pool.close)

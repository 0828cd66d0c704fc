"""The service without its routes: from an upload to the item that answers it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from plainfilm._files import hash_bytes
from plainfilm._machine import cores
from plainfilm.decoding.decode import Failure
from plainfilm.errors import ImageError, PlainfilmError
from plainfilm.pixels import Image, sniff
from plainfilm.pixels.display import encode_png
from plainfilm.serve.answers import Ask, Item, draw_heat, failure, picture_url, success
from plainfilm.serve.body import Budget, Upload
from plainfilm.serve.bundles import Named, Served, Shelf
from plainfilm.serve.decoder import Answer
from plainfilm.serve.limits import Settings
from plainfilm.serve.log import AuditLog, Log
from plainfilm.serve.metrics import Metrics
from plainfilm.serve.problems import Problem, problem_of_image
from plainfilm.serve.workers import Pool

__all__ = ["Service"]

_UNREADY = 10.0  # seconds after an answer that the audit log did not take


class Service:
    """Bundles, decoding processes and books of one service.

    Parameters
    ----------
    named
        The bundles; the first answers where none is named.
    settings
        How it is set up.
    log
        Where it tells what happens.
    pool
        What decodes; by default ``settings.workers`` processes.

    Raises
    ------
    BundleError
        If a bundle cannot be opened.
    StorageError
        If the audit log cannot be.
    """

    def __init__(
        self,
        named: Sequence[Named],
        settings: Settings,
        *,
        log: Log | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.settings, self.limits = settings, settings.limits
        self.log = log or Log()
        self.metrics = Metrics()
        self.budget = Budget(self.limits.held)
        runs = settings.threads or cores()
        self._executor = ThreadPoolExecutor(runs, thread_name_prefix="network")
        self._drawing = asyncio.Semaphore(1)
        self.shelf = Shelf(named, self._executor, runs, tell=self.metrics.batches.add)
        self.audit = AuditLog(settings.audit_log) if settings.audit_log is not None else None
        self.pool = pool or Pool(settings.workers or cores(), self.limits, tell=self._tell_worker)
        self.active = 0
        self.stopping = False
        self._unwritten = -math.inf
        self._tasks: list[asyncio.Task[None]] = []
        self._count()

    def _count(self) -> None:
        gauge = self.metrics.gauge
        gauge("plainfilm_requests_active", "Requests that are worked on.", lambda: self.active)
        gauge(
            "plainfilm_decoding_images", "Images in the decoders' hands.", lambda: self.pool.waiting
        )
        gauge(
            "plainfilm_decoders_ready", "Decoding processes that are up.", lambda: self.pool.ready
        )
        gauge("plainfilm_held_bytes", "Bytes of uploads that are held.", lambda: self.budget.held)

    def _tell_worker(self, event: str) -> None:
        self.metrics.workers[event] += 1
        if event != "started":
            self.log.write("decoder", outcome=event)

    async def start(self) -> None:
        """Start the decoding processes."""
        await self.pool.start()
        if self.audit is not None:
            self._tasks.append(asyncio.get_running_loop().create_task(self._sync(self.audit)))
        for served in self.shelf:
            self.log.write("bundle", name=served.name, bundle=served.bundle.id, outcome="opened")

    async def _sync(self, audit: AuditLog) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                await asyncio.to_thread(audit.sync)
            except OSError as error:
                self.log.write("audit", outcome="not-synced", errno=error.errno)

    async def close(self) -> None:
        """End what was started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        self._executor.shutdown(wait=True)
        if self.audit is not None:
            with contextlib.suppress(OSError):
                self.audit.close()
        self.log.flush()

    @property
    def unready(self) -> str | None:
        """Return the code of what speaks against sending requests here, or None."""
        if self.stopping:
            return "stopping"
        # Whoever sends requests elsewhere comes back after a while, and finds out whether the audit
        # log can be written again: nothing but an answer shows it.
        if time.monotonic() - self._unwritten < _UNREADY:
            return "audit-unavailable"
        return None if self.pool.ready else "no-decoder"

    async def reread(self) -> None:
        """Open every bundle again, and the audit log; what cannot be opened stays as it was."""
        for name, outcome in await asyncio.to_thread(self.shelf.reread):
            if isinstance(outcome, PlainfilmError):
                self.metrics.swaps["kept"] += 1
                self.log.write("bundle", name=name, outcome="kept", why=outcome.problem)
            else:
                self.metrics.swaps["swapped"] += 1
                self.log.write("bundle", name=name, bundle=outcome.bundle.id, outcome="swapped")
        if self.audit is not None:
            try:
                self.audit.reopen()
            except (OSError, PlainfilmError):
                self.log.write("audit", outcome="kept")

    async def answer(self, served: Served, upload: Upload, index: int, ask: Ask) -> Item:
        """Answer for one file; what is wrong with it is in the item.

        Raises
        ------
        Problem
            503 where the answer cannot be entered in the audit log.
        """
        began = time.monotonic()
        try:
            _check_content(upload)
            spec = served.bundle.pixels
            decoded = await self.pool.decode(upload.data, spec, original="original" in ask.include)
            if isinstance(decoded, Failure):
                raise problem_of_image(decoded.reason)
            sha256, outcome = decoded.sha256, "answered"
            item = await self._success(served, decoded, index, ask)
        except Problem as problem:
            sha256, outcome = await _hash(upload), problem.code
            item = failure(index, sha256, problem)
        self._enter(served, sha256, outcome, time.monotonic() - began)
        return item

    def _enter(self, served: Served, sha256: str, outcome: str, seconds: float) -> None:
        """Write an answer into the books, before it is sent."""
        self.metrics.images[served.name, outcome] += 1
        if self.audit is not None:
            try:
                self.audit.write(served.bundle.id, sha256, outcome)
            except OSError as error:
                self._unwritten = time.monotonic()
                self.log.write("audit", outcome="not-written", errno=error.errno)
                raise Problem("audit-unavailable") from error
        told = round(1000 * seconds, 1)
        self.log.write(
            "answer", bundle=served.bundle.id, sha256=sha256, outcome=outcome, milliseconds=told
        )

    async def _success(self, served: Served, decoded: Answer, index: int, ask: Ask) -> Item:
        size = served.bundle.pixels.size
        pixels = np.frombuffer(decoded.pixels, np.uint8).reshape(size, size)
        image = Image(pixels, decoded.metadata)
        prediction = await served.batcher.predict(image)
        pictures = None
        if ask.include:
            label = ask.label or max(
                prediction.probabilities, key=prediction.probabilities.__getitem__
            )
            pictures = await self._pictures(served, image, decoded, ask, label)
        return success(index, decoded.sha256, prediction, pictures)

    async def _pictures(
        self, served: Served, image: Image, decoded: Answer, ask: Ask, label: str
    ) -> dict[str, str]:
        pictures = {}
        if "seen" in ask.include:
            pictures["seen"] = picture_url(encode_png(image.pixels))
        if "original" in ask.include:
            pictures["original"] = picture_url(decoded.original)
        if "heatmap" in ask.include:
            # One at a time: where the network has no maps, one takes hundreds of runs.
            async with self._drawing:
                loop = asyncio.get_running_loop()
                drawn = loop.run_in_executor(
                    self._executor, draw_heat, served.predictor, image, label
                )
                pictures["heatmap"] = picture_url(await drawn)
        return pictures


async def _hash(upload: Upload) -> str:
    """Return the hash of a file that no decoder has hashed; of a large one in a thread."""
    if upload.too_large is not None:
        return upload.too_large
    if len(upload.data) > 1 << 20:
        return await asyncio.to_thread(hash_bytes, upload.data)
    return hash_bytes(upload.data)


def _check_content(upload: Upload) -> None:
    """Refuse by its first bytes what no decoder has to see."""
    if upload.too_large is not None:
        raise Problem("too-large")
    try:
        found = sniff(upload.data)
    except ImageError as error:
        raise problem_of_image(error.reason) from error
    if upload.declared is not None and found != upload.declared:
        raise Problem("wrong-content-type")

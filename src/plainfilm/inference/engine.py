"""The inference engine of a server: from the bytes of a file to its prediction."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores, resident_bytes
from plainfilm.decoding.aio import AsyncPool
from plainfilm.decoding.decode import Failure
from plainfilm.decoding.fair_queue import NO_KEY, Key
from plainfilm.errors import BundleError, PlainfilmError
from plainfilm.explain import heatmap
from plainfilm.inference.answer import Answer, AnswerOptions, ImageFile
from plainfilm.inference.batching import Batcher
from plainfilm.inference.codes import FileError, InferenceError, image_error
from plainfilm.inference.limits import InferenceLimits, MemoryBudget
from plainfilm.inference.log import AuditLog, Log
from plainfilm.inference.registry import BundleRegistry, BundleSource, LoadedBundle
from plainfilm.inference.telemetry import Telemetry
from plainfilm.pixels import Image
from plainfilm.runtime import Predictor
from plainfilm.trial import stop_trials

_NOT_READY = 10.0  # seconds after a failed write of the audit log


class Engine:
    """Bundles, decoding processes, counters and logs of one server.

    ``workers`` is the number of decoding processes besides a spare one; 0 uses ``limits.decoders``.
    ``threads`` is the number of concurrent runs of the network, each on one core; 0 uses one for
    each core. ``check`` raises a PlainfilmError for a bundle that the server cannot use. A
    BundleError or StorageError is raised if a bundle or the audit log cannot be opened.
    """

    def __init__(
        self,
        sources: Sequence[BundleSource],
        limits: InferenceLimits,
        *,
        workers: int = 0,
        threads: int = 0,
        audit_log: Path | None = None,
        log: Log | None = None,
        pool: AsyncPool | None = None,
        check: Callable[[LoadedBundle], None] = lambda loaded: None,
    ) -> None:
        self.limits = limits
        self.log = log or Log()
        self.telemetry = Telemetry()
        self.budget = MemoryBudget(limits.held)
        runs = threads or cores()
        self._executor = ThreadPoolExecutor(runs, thread_name_prefix="network")
        # A thread of its own: a network without activation maps needs hundreds of runs for one.
        self._heatmap_thread = ThreadPoolExecutor(1, thread_name_prefix="heatmap")
        self._heatmaps = Batcher(_make_heatmaps, self._heatmap_thread, 1, largest=1)
        self.registry = BundleRegistry(
            sources, self._executor, runs, on_run=self.telemetry.add_run, check=check
        )
        self.audit = AuditLog(audit_log) if audit_log is not None else None
        self.active = 0
        self._active: Counter[str] = Counter()  # by client
        self.stopping = False
        self._failed_write = -math.inf
        self._tasks: list[asyncio.Task[None]] = []
        self.pool = pool or AsyncPool(
            workers or limits.decoders, limits.sandbox, spare=1, notify=self._on_decoder_event
        )
        gauge = self.telemetry.gauge
        gauge("requests_active", "Requests in progress.", lambda: self.active)
        gauge("decoding_images", "Images queued or being decoded.", lambda: self.pool.waiting)
        gauge(
            "network_images",
            "Images waiting for the network.",
            lambda: sum(one.batcher.waiting for one in self.registry),
        )
        gauge("decoders_ready", "Decoding processes that are running.", lambda: self.pool.ready)
        gauge(
            "decoders_resident_bytes",
            "Memory of all decoding processes.",
            lambda: resident_bytes(*pids) if (pids := self.pool.pids) else 0,
        )
        gauge("held_bytes", "Bytes of uploads in memory.", lambda: self.budget.held)
        self.telemetry.info(
            "bundle_info", "Loaded bundles.", lambda: [one.identity for one in self.registry]
        )

    def _on_decoder_event(self, event: str) -> None:
        self.telemetry.decoders.add(event)
        if event != "started":
            self.log.write("decoder", outcome=event)

    async def start(self) -> None:
        """Start the decoding processes."""
        await self.pool.start()
        if self.audit is not None:
            self._tasks.append(asyncio.create_task(self._sync(self.audit)))
        for loaded in self.registry:
            self.telemetry.start_bundle(loaded.key, loaded.bundle)
            self.log.write("bundle", name=loaded.name, bundle=loaded.bundle.id, outcome="opened")

    async def _sync(self, audit: AuditLog) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                await asyncio.to_thread(audit.sync)
            except OSError as error:
                self.telemetry.audit_errors.add("not-synced")
                self.log.write("audit", outcome="not-synced", errno=error.errno)

    async def close(self) -> None:
        """Stop the decoding processes and close the logs."""
        stop_trials()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        for executor in (self._executor, self._heatmap_thread):
            executor.shutdown(wait=False, cancel_futures=True)  # a network may never return
        if self.audit is not None:
            with contextlib.suppress(OSError):
                self.audit.close()
        self.log.flush()

    @contextlib.contextmanager
    def admit(self, client: str) -> Iterator[None]:
        """Count a request as active, or raise ``busy``; one client leaves a quarter to others."""
        most = self.limits.waiting
        if self.active >= most or self._active[client] >= most - most // 4:
            raise InferenceError("busy")
        self.active += 1
        self._active[client] += 1
        try:
            yield
        finally:
            self.active -= 1
            self._active[client] -= 1
            if not self._active[client]:
                del self._active[client]

    @property
    def not_ready(self) -> str | None:
        """Code of the reason not to send requests to this server, or None if it is ready."""
        if self.stopping:
            return "stopping"
        # Only a prediction shows whether the audit log can be written again, so the server becomes
        # ready after a while and clients try.
        if time.monotonic() - self._failed_write < _NOT_READY:
            return "audit-unavailable"
        return None if self.pool.ready else "no-decoder"

    async def reload(self) -> None:
        """Load every bundle and open the audit log again; after an error the old one stays.

        The series of a replaced bundle stay in the metrics until the next reload, so that they are
        collected once more.
        """
        self.telemetry.keep_bundles(one.key for one in self.registry)
        for name, outcome in await asyncio.to_thread(self.registry.reload):
            if isinstance(outcome, Exception):
                problem = type(outcome).__name__  # of a defect: its text may quote a file
                if isinstance(outcome, PlainfilmError):
                    problem = outcome.problem
                self.telemetry.swaps.add("kept")
                self.log.write("bundle", name=name, outcome="kept", problem=problem)
            else:
                self.telemetry.swaps.add("swapped")
                self.telemetry.start_bundle(outcome.key, outcome.bundle)
                self.log.write("bundle", name=name, bundle=outcome.bundle.id, outcome="swapped")
        if self.audit is not None:
            try:
                self.audit.reopen()
            except (OSError, PlainfilmError):
                self.log.write("audit", outcome="kept")

    async def answer(
        self,
        loaded: LoadedBundle,
        file: ImageFile,
        options: AnswerOptions,
        key: Key = NO_KEY,
    ) -> Answer:
        """Predict on one file, and record the outcome in log, audit log and metrics.

        Clients are served in turn, and the requests of each client in turn, by their ``key``.

        A FileError is raised if the file has no prediction, and another InferenceError if the audit
        log cannot be written.
        """
        began = time.monotonic()
        try:
            answer = await self._answer(loaded, file, options, key)
        except InferenceError as error:
            failure = FileError(error, await file.hash())
            self.telemetry.add_failure(loaded.key, failure.code)
            self._record(loaded, failure.sha256, failure.code, time.monotonic() - began)
            raise failure from error
        prediction = answer.prediction
        self.telemetry.add_prediction(loaded.key, prediction, loaded.bundle)
        outcome = prediction.reason or "predicted"
        self._record(loaded, answer.sha256, outcome, time.monotonic() - began)
        return answer

    def _record(self, loaded: LoadedBundle, sha256: str, outcome: str, seconds: float) -> None:
        """Log an image before its answer is sent."""
        if self.audit is not None:
            try:
                self.audit.write(loaded.bundle.id, sha256, outcome)
            except OSError as error:
                self._failed_write = time.monotonic()
                self.telemetry.audit_errors.add("not-written")
                self.log.write("audit", outcome="not-written", errno=error.errno)
                raise InferenceError("audit-unavailable") from error
        self.log.write(
            "image",
            bundle=loaded.bundle.id,
            sha256=sha256,
            outcome=outcome,
            milliseconds=round(1000 * seconds, 1),
        )

    async def _answer(
        self, loaded: LoadedBundle, file: ImageFile, options: AnswerOptions, key: Key
    ) -> Answer:
        """Decode a file and run the network on it."""
        file.check()
        began = time.monotonic()
        spec = loaded.bundle.pixels
        decoded = await self.pool.decode(file.data, spec, display=options.display, key=key)
        self.telemetry.decoding.add(time.monotonic() - began)
        if isinstance(decoded, Failure):
            raise image_error(decoded.reason)
        image = Image(decoded.pixels, decoded.metadata)
        prediction = await loaded.batcher.run(image, key)
        if prediction.is_unreadable:
            raise image_error(prediction.reason or "unreadable")
        label, heat = options.heatmap(prediction), None
        if label is not None and (options.occlusion or loaded.bundle.has_activation_map):
            try:
                heat = await self._heatmaps.run((loaded.predictor, image, label), key)
            except BundleError as error:  # the map has another shape, or values not finite
                raise InferenceError("invalid-output") from error
        return Answer(decoded.sha256, prediction, image, decoded.display, decoded.region, heat)


def _make_heatmaps(inputs: Sequence[tuple[Predictor, Image, str]]) -> list[NDArray[np.float32]]:
    """Return heat maps; each input is a predictor, an image and a label."""
    return [heatmap(predictor, image.pixels, label) for predictor, image, label in inputs]

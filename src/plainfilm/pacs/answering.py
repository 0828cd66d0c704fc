"""Answers studies: from received images to results in the outbox.

A study is answered when no further image of it has come for a while, several studies at once, in
the order in which they became due. Nothing is kept but the results: after a crash the images are
still in the spool, and are answered again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from plainfilm._machine import cores
from plainfilm.errors import StorageError
from plainfilm.inference.answer import AnswerOptions, ImageFile
from plainfilm.inference.codes import IMAGE_CODES, InferenceError
from plainfilm.inference.engine import Engine
from plainfilm.inference.prometheus import Count
from plainfilm.inference.registry import LoadedBundle
from plainfilm.pacs.admission import REFUSALS, refusal, refuse, refuse_prediction
from plainfilm.pacs.caption import choose_label
from plainfilm.pacs.capture import make_capture
from plainfilm.pacs.codes import CodeTable
from plainfilm.pacs.header import Header, HeaderError, read_header
from plainfilm.pacs.ledger import Ledger, PendingImage, ResultRow, uid_key
from plainfilm.pacs.report import MOST_IMAGES, make_reports
from plainfilm.pacs.results import AnsweredImage, Model, Refusal, content_hash
from plainfilm.pacs.service_settings import ServiceSettings
from plainfilm.pacs.spool import Spool

T = TypeVar("T")

MOST_DEATHS = 10
"""Ends of the process during the answer of an image, after which the image is refused."""
_ALONE = 2  # deaths after which an image is answered by itself, since it may not be to blame
_MOST_FAILURES = 3  # of an image, by a defect
_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds before a study that failed is tried again
_LEDGER_PAUSE = 5.0  # seconds, while the ledger cannot be read
_TEMPORARY = (OSError, sqlite3.Error, StorageError)


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """The outcome of one image, and what its study's report says; None if no report names it."""

    code: str
    image: AnsweredImage | None = None
    quarantined: bool = False


class UnreadableError(Exception):
    """The disk cannot read one image; the others of its study are answered."""


class Answering:
    """Answers studies that are due, while `run` runs.

    ``on_results`` is called when results are in the outbox. ``wake`` may be called in any thread.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        spool: Spool,
        codes: CodeTable,
        settings: ServiceSettings,
        on_results: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._ledger, self._spool = engine, ledger, spool
        self._codes, self._settings, self._on_results = codes, settings, on_results
        self._destinations = [one.name for one in settings.destinations]
        decoders = settings.workers or engine.limits.decoders
        # An image in work holds its file; until its report is written, a picture of a megabyte.
        self._files = asyncio.Semaphore(decoders + 2)
        self._most_images = 2 * decoders + MOST_IMAGES
        self._threads = ThreadPoolExecutor(cores() + 2, thread_name_prefix="answer")
        self._changed = asyncio.Event()
        self._busy: dict[str, tuple[asyncio.Task[None], int]] = {}
        self._paused: dict[str, float] = {}  # study to the time at which it is tried again
        self._retries: Counter[str] = Counter()  # by study, until it is answered
        self._failures: Counter[str] = Counter()  # by image: those by a defect
        self._begun: set[str] = set()
        self._is_full = False  # the disk: one study at a time may still find room
        self._loop: asyncio.AbstractEventLoop | None = None
        self.outcomes = Count("outcome")
        for outcome in ("predicted", "failed", "lost", "no-header", *REFUSALS):
            self.outcomes.add(outcome, count=0)

    def wake(self) -> None:
        """Look for studies that are due."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self) -> None:
        """Answer studies until cancelled; those in work are left for the next start."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._changed.clear()
                until = await self._start_studies()
                with contextlib.suppress(TimeoutError):
                    seconds = None if until is None else max(0.0, until - time.time()) + 0.001
                    await asyncio.wait_for(self._changed.wait(), seconds)
        finally:
            tasks = [task for task, _ in self._busy.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._threads.shutdown)

    async def _start_studies(self) -> float | None:
        """Start to answer what is due, and return the time at which to look again."""
        try:
            while sum(count for _, count in self._busy.values()) < self._most_images:
                if self._is_full and self._busy:
                    return None
                images = await self._call(self._due, self._excluded())
                if not images:
                    return await self._call(self._next_due, self._excluded())
                task = asyncio.create_task(self._answer_study(images))
                self._busy[images[0].study] = task, len(images)
        except _TEMPORARY as error:
            self._engine.log.write("ledger", outcome="failed", error=type(error).__name__)
            return time.time() + _LEDGER_PAUSE
        return None

    def _excluded(self) -> set[str]:
        now = time.time()
        self._paused = {study: until for study, until in self._paused.items() if until > now}
        return {*self._busy, *self._paused}

    def _due(self, excluded: set[str]) -> list[PendingImage]:
        return self._ledger.due_images(self._settings.quiet, MOST_IMAGES, busy=excluded)

    def _next_due(self, excluded: set[str]) -> float | None:
        found = self._ledger.next_due(self._settings.quiet, busy=excluded)
        times = [one for one in (found, *self._paused.values()) if one is not None]
        return min(times, default=None)

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _answer_study(self, images: Sequence[PendingImage]) -> None:
        """Answer the images of one study; after a failure they wait and are tried again."""
        study, began, outcome = images[0].study, time.monotonic(), "answered"
        versions = len({one.uid for one in images}) < len(images)
        suspect = any(one.attempts >= _ALONE or self._failures[one.key] for one in images)
        try:
            for group in [[one] for one in images] if suspect or versions else [images]:
                await self._answer_group(group)
            self._retries.pop(study, None)
            self._is_full = False
        except Exception as error:  # not even a defect may stop the service
            outcome = error.code if isinstance(error, InferenceError) else type(error).__name__
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._is_full, outcome = True, "disk-full"
            pause = min(_LONGEST_PAUSE, _PAUSE * 2 ** min(self._retries[study], 10))
            self._paused[study] = time.time() + pause
            self._retries[study] += 1
        finally:
            self._busy.pop(study)
            self._changed.set()
        self._engine.log.write(
            "study",
            key=images[0].key[:12],
            images=len(images),
            outcome=outcome,
            milliseconds=round(1000 * (time.monotonic() - began), 1),
        )

    async def _answer_group(self, images: Sequence[PendingImage]) -> None:
        """Write the results of some images of a study."""
        loaded = self._engine.registry.get(None)
        assert loaded is not None
        fresh = [one.key for one in images if one.key not in self._begun]
        if fresh:
            await self._call(self._ledger.begin, fresh)
            self._begun.update(fresh)
        try:
            answers = await self._answers(loaded, images)
            await self._call(self._write, Model.of(loaded), images, answers)
        except Exception as error:
            if not _is_temporary(error):
                self._failures.update(one.key for one in images)
            raise
        for one in images:
            self._begun.discard(one.key)
            self._failures.pop(one.key, None)
        for answer in answers:
            self.outcomes.add(answer.code)
        self._on_results()

    async def _answers(self, loaded: LoadedBundle, images: Sequence[PendingImage]) -> list[_Answer]:
        if len(images) == 1 and self._failures[images[0].key] >= _MOST_FAILURES:
            return [_Answer("failed", quarantined=True)]
        found = await asyncio.gather(
            *(self._answer(loaded, one) for one in images), return_exceptions=True
        )
        answers = []
        for one in found:
            if isinstance(one, BaseException):
                raise one
            answers.append(one)
        return answers

    async def _answer(self, loaded: LoadedBundle, one: PendingImage) -> _Answer:
        """Return the answer to one image."""
        async with self._files:
            try:
                data = await self._call(self._spool.read_whole_image, one.key, one.sha256)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                if self._failures[one.key] + 1 < _MOST_FAILURES:
                    raise UnreadableError from error
                data = None
            if data is None:
                return _Answer("lost", quarantined=True)
            try:
                header = await self._call(read_header, data)
            except HeaderError:
                return _Answer("no-header", quarantined=True)
            if header.is_own_result:
                return _Answer("own")
            if one.attempts >= MOST_DEATHS:
                return _refuse(header, refusal("decoder-died"), quarantined=True)
            if (refused := refuse(header, self._settings.secondary_capture)) is not None:
                return _refuse(header, refused)
            return await self._predict(loaded, header, data)

    async def _predict(self, loaded: LoadedBundle, header: Header, data: bytes) -> _Answer:
        options = AnswerOptions()
        if self._settings.capture:
            label = partial(choose_label, Model.of(loaded))
            options = AnswerOptions(display="pgm", heatmap=label, occlusion=False)
        try:
            answer = await self._engine.answer(loaded, ImageFile(data), options)
        except InferenceError as error:
            if error.code not in IMAGE_CODES:
                raise
            return _refuse(header, refusal(error.code), quarantined=True)
        if (refused := refuse_prediction(answer.prediction)) is not None:
            return _refuse(header, refused)
        image = AnsweredImage(header, "", answer.prediction)
        if self._settings.capture:
            image = replace(
                image, picture=answer.picture, heatmap=answer.heatmap, region=answer.region
            )
        return _Answer("predicted", replace(image, sha256=content_hash(image)))

    def _write(
        self, model: Model, images: Sequence[PendingImage], answers: Sequence[_Answer]
    ) -> None:
        """Write the results of images, then the ledger, and only then let their files go."""
        named = [answer.image for answer in answers if answer.image is not None]
        pictured = [image for image in named if image.picture is not None]
        results = make_reports(model, named, self._codes)
        results += [make_capture(model, one) for one in pictured]
        keys = [uid_key(result.uid) for result in results]
        try:
            for key, result in zip(keys, results, strict=True):
                self._spool.write_result(key, result.data)
        except OSError:  # the others need the room
            for key in set(keys) - self._ledger.needed_results(keys):
                self._spool.drop_result(key)
            raise
        rows = [ResultRow(key, key, result.kind) for key, result in zip(keys, results, strict=True)]
        for one, answer in zip(images, answers, strict=True):
            if answer.quarantined:
                self._spool.quarantine(one.key)
        outcomes = {one.key: answer.code for one, answer in zip(images, answers, strict=True)}
        for key in self._ledger.finish(outcomes, rows, self._destinations):
            self._spool.drop_result(key)  # delivered before
        for one, answer in zip(images, answers, strict=True):
            if not answer.quarantined:
                self._spool.drop_image(one.key)


def _refuse(header: Header, why: Refusal, *, quarantined: bool = False) -> _Answer:
    image = AnsweredImage(header, "", refusal=why)
    return _Answer(why.code, replace(image, sha256=content_hash(image)), quarantined)


def _is_temporary(error: Exception) -> bool:
    """Return whether the disk, the ledger or the decoding processes are to blame, not an image."""
    if isinstance(error, OSError):
        return error.errno is not None  # Pillow's own errors have none
    return isinstance(error, (*_TEMPORARY, InferenceError))

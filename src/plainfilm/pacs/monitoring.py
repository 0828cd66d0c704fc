"""Readiness and metrics of the service. No value of a metric comes from an image or a peer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from plainfilm.errors import StorageError
from plainfilm.inference.engine import Engine
from plainfilm.inference.prometheus import Count, Kind, Lines, line
from plainfilm.pacs.delivery import Delivery
from plainfilm.pacs.image_source import ImageSource
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.ledger_upkeep import DestinationSummary, Summary
from plainfilm.pacs.spool import Spool

T = TypeVar("T")

_SECONDS = 1.5  # for the ledger and the disk, which may be slow
_FRESH = 2.0  # seconds for which a summary is used again


class Monitoring:
    """Says whether the service is ready, and adds its metrics to those of the engine.

    ``outcomes`` counts answered images by outcome, ``deliveries`` attempts by destination, kind
    and outcome; ``destinations`` are the names in the ledger, metrics have their number.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        spool: Spool,
        source: ImageSource,
        delivery: Delivery,
        outcomes: Count,
        deliveries: Count,
        destinations: Sequence[str],
    ) -> None:
        self._engine, self._ledger, self._spool = engine, ledger, spool
        self._source, self._delivery, self._destinations = source, delivery, destinations
        # A connection of its own, so that counting delays no image.
        self._reader = Ledger.open_existing(ledger.path)
        self._calls: dict[str, asyncio.Future[Any]] = {}
        self._summary: Summary | None = None
        self._free: int | None = None
        self._read_at = 0.0
        self._add("answered_images_total", "counter", "Images by outcome.", outcomes.lines)
        words = "Attempts to deliver, by destination, kind and outcome."
        self._add("deliveries_total", "counter", words, deliveries.lines)
        self._add("received_total", "counter", "Events of receiving.", self._received)
        self._add("waiting_results", "gauge", "Results to deliver.", self._waiting_results)
        self._add("parked_results", "gauge", "Results that wait for a person.", self._parked)
        words = "Whether the latest delivery to a destination did not fail."
        self._add("destination_up", "gauge", words, self._up)
        gauge = engine.telemetry.gauge
        words = "Starts of the network process after it ended."
        gauge("receiver_restarts", words, lambda: self._source.restarts)
        gauge("waiting_images", "Images not answered yet.", self._waiting)
        gauge("oldest_image_seconds", "Age of the oldest of these.", self._oldest)
        gauge("lost_images", "Images that are missing or damaged.", self._lost)
        gauge("given_up_fetches", "Fetches that wait for a person.", self._given_up)
        gauge("disk_free_bytes", "Free bytes of the state folder.", lambda: self._free)

    def close(self) -> None:
        """Close the connection to the ledger."""
        self._reader.close()

    async def not_ready(self) -> str | None:
        """Return the code of the reason why the service needs attention, or None."""
        if (code := self._engine.not_ready or self._source.not_ready) is not None:
            return code
        try:
            return await self._in_time(self._check_disk)
        except TimeoutError:
            return "disk-slow"

    async def _in_time(self, function: Callable[[], T]) -> T:
        """Call a function in a thread; all requests wait for one call of it, which may hang."""
        call = self._calls.get(function.__name__)
        if call is None or call.done():
            call = asyncio.ensure_future(asyncio.to_thread(function))
            self._calls[function.__name__] = call
        async with asyncio.timeout(_SECONDS):
            return await asyncio.shield(call)

    def _check_disk(self) -> str | None:
        try:
            self._ledger.begin(())  # an empty transaction
            return None if self._spool.has_room() else "disk-full"
        except (OSError, StorageError):
            return "ledger-unavailable"

    async def text(self) -> str:
        """Return all metrics; those of the ledger may be of two seconds ago."""
        try:
            await self._in_time(self._read)
        except (TimeoutError, OSError, StorageError):
            self._summary = self._free = None  # the values are left out
        return self._engine.telemetry.text()

    def _read(self) -> None:
        if time.monotonic() - self._read_at > _FRESH or self._summary is None:
            self._summary, self._free = self._reader.summary(), self._spool.free()
            self._read_at = time.monotonic()

    def _add(self, name: str, kind: Kind, words: str, lines: Lines) -> None:
        self._engine.telemetry.add_metric(name, kind, words, lines)

    def _received(self, name: str) -> Iterable[str]:
        for event, count in sorted(self._source.counts.items()):
            yield line(name, {"event": event}, count)

    def _waiting_results(self, name: str) -> Iterable[str]:
        return self._by_destination(name, lambda one: one.waiting + one.committing)

    def _parked(self, name: str) -> Iterable[str]:
        return self._by_destination(
            name, lambda one: sum(one.parked.values()) + sum(one.class_refused.values())
        )

    def _by_destination(
        self, name: str, count: Callable[[DestinationSummary], int]
    ) -> Iterable[str]:
        """Yield a line for each destination; those without results have 0."""
        if self._summary is None:
            return
        found = {one.name: count(one) for one in self._summary.destinations}
        for number, destination in enumerate(self._destinations, 1):
            yield line(name, {"destination": str(number)}, found.get(destination, 0))

    def _up(self, name: str) -> Iterable[str]:
        down = self._delivery.unavailable()
        for number in range(1, len(self._destinations) + 1):
            yield line(name, {"destination": str(number)}, int(number not in down))

    def _waiting(self) -> int | None:
        return None if self._summary is None else self._summary.waiting

    def _lost(self) -> int | None:
        return None if self._summary is None else self._summary.lost

    def _given_up(self) -> int | None:
        return None if self._summary is None else sum(self._summary.given_up.values())

    def _oldest(self) -> float | None:
        if self._summary is None:
            return None
        oldest = self._summary.oldest
        return 0.0 if oldest is None else max(0.0, round(time.time() - oldest, 3))

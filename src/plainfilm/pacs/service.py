"""Starts and stops the service: images come in, are answered, and results are delivered.

Everything is checked before the first image can come: encryption, codes, ports, state folder,
certificates, credentials, the bundle, and whether a report can be made with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from plainfilm.inference.engine import Engine
from plainfilm.inference.log import Log
from plainfilm.inference.process import Shutdown, disable_core_dumps, return_large_blocks
from plainfilm.inference.prometheus import Count
from plainfilm.inference.registry import LoadedBundle, parse_sources
from plainfilm.pacs.answering import Answering
from plainfilm.pacs.codes import CodeTable, read_codes
from plainfilm.pacs.credentials import check_credentials
from plainfilm.pacs.delivery import Delivery, DeliverySettings
from plainfilm.pacs.health import HealthServer, open_listener
from plainfilm.pacs.image_source import ImageSource, NetworkSource
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.monitoring import Monitoring
from plainfilm.pacs.quiet import mute_libraries
from plainfilm.pacs.result_trial import try_results
from plainfilm.pacs.results import Model
from plainfilm.pacs.service_settings import ServiceSettings
from plainfilm.pacs.settings import ListenSettings, WebDestination, check_encryption
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import LEDGER, StateLock

STOP_SECONDS = 30.0
"""Longest time of a stop in order, for messages that are being received or sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a service consists of, apart from the source of its images."""

    settings: ServiceSettings
    log: Log
    lock: StateLock
    ledger: Ledger
    spool: Spool
    codes: CodeTable
    engine: Engine
    delivery: Delivery
    deliveries: Count
    listener: socket.socket | None


def run_listen(settings: ServiceSettings, listening: ListenSettings) -> int:
    """Receive from peers until SIGTERM or SIGINT; return the exit status. See `plainfilm.pacs`."""
    check_encryption(settings.destinations, settings.tls, plain=settings.plain, host=listening.host)
    if settings.credentials is not None:
        urls = [one.url for one in settings.destinations if isinstance(one, WebDestination)]
        check_credentials(settings.credentials, urls)
    return run(settings, lambda parts: NetworkSource(listening, parts.log, [parts.lock.descriptor]))


def run(settings: ServiceSettings, make_source: Callable[[Parts], ImageSource]) -> int:
    """Run the service with a source of images; return the exit status."""
    mute_libraries()
    disable_core_dumps()
    return_large_blocks()
    os.umask(0o077)
    with _open(settings) as parts:
        return asyncio.run(_Service(parts, make_source(parts)).run())


@contextlib.contextmanager
def _open(settings: ServiceSettings) -> Iterator[Parts]:
    """Open what the service needs, cheap checks first."""
    log, codes = Log(plain=sys.stderr.isatty()), read_codes(settings.codes)
    sources = parse_sources([settings.bundle])
    names = [one.name for one in settings.destinations]
    with contextlib.ExitStack() as stack:
        listener = None
        if settings.http_port is not None:
            listener = stack.enter_context(open_listener(settings.http_port))
        lock = stack.enter_context(StateLock(settings.state))
        ledger = stack.enter_context(Ledger.open(settings.state / LEDGER))
        spool = stack.enter_context(Spool(settings.state, reserve=settings.reserve))
        deliveries = Count("destination", "kind", "outcome")
        delivery = Delivery(
            ledger, spool, settings.destinations, _delivery_settings(settings), log, deliveries
        )

        def check(loaded: LoadedBundle) -> None:
            if private := try_results(loaded, codes, capture=settings.capture):
                log.write("labels-without-code", labels=", ".join(private), remedy="--codes FILE")
            if unused := codes.unused(loaded.bundle.task.labels):
                log.write("codes-without-label", labels=", ".join(unused))

        engine = Engine(
            sources,
            settings.limits,
            workers=settings.workers,
            threads=settings.threads,
            log=log,
            check=check,
        )
        recovery, parked = spool.recover(ledger), ledger.park_others(names)
        log.write(
            "state",
            removed=recovery.removed,
            unknown=recovery.unknown,
            lost_images=recovery.lost_images,
            lost_results=recovery.lost_results,
            parked=parked,
            waiting=len(ledger.waiting_images()),
        )
        if not spool.has_room():
            remedy = "free some space, or lower --reserve-mb: images are refused until then"
            log.write("disk-full", free_bytes=spool.free(), remedy=remedy)
        yield Parts(
            settings, log, lock, ledger, spool, codes, engine, delivery, deliveries, listener
        )


def _delivery_settings(settings: ServiceSettings) -> DeliverySettings:
    return DeliverySettings(
        title=settings.title,
        tls=settings.tls,
        credentials=settings.credentials,
        commit=settings.commit,
    )


class _Service:
    """The event loop of the main process."""

    def __init__(self, parts: Parts, source: ImageSource) -> None:
        self._parts, self._source, self._engine = parts, source, parts.engine
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until a signal comes; return the exit status."""
        shutdown = Shutdown(self._stop, self._engine, STOP_SECONDS)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, shutdown.on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            status = await self._serve()
        finally:
            await self._engine.close()
        shutdown.finish()
        return status

    async def _serve(self) -> int:
        parts = self._parts
        answering = Answering(
            parts.engine,
            parts.ledger,
            parts.spool,
            parts.codes,
            parts.settings,
            parts.delivery.wake,
        )
        async with contextlib.AsyncExitStack() as stack:
            await self._start_health(stack, answering)
            end = threading.Event()
            sending = asyncio.create_task(asyncio.to_thread(parts.delivery.run, end))
            stack.push_async_callback(asyncio.wait, [sending])
            stack.callback(end.set)
            work = asyncio.create_task(answering.run())
            stack.push_async_callback(asyncio.wait, [work])
            stack.callback(work.cancel)
            stack.push_async_callback(asyncio.to_thread, self._source.stop)
            # Images that come before a decoding process is up wait in the spool.
            await asyncio.gather(
                asyncio.to_thread(self._source.start, answering.wake), self._engine.start()
            )
            self._say_started()
            stopped = asyncio.create_task(self._stop.wait())
            ends: list[asyncio.Future[Any]] = [stopped, work, sending]
            if (finished := self._source.finished) is not None:
                ends.append(asyncio.create_task(asyncio.to_thread(finished.wait)))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            self._engine.stopping = True
            parts.log.write("stopping")
        complete = self._stop.is_set() if self._source.finished is None else self._source.succeeded
        parts.log.write("stopped", outcome="done" if complete else "failed")
        return int(not complete)

    async def _start_health(self, stack: contextlib.AsyncExitStack, answering: Answering) -> None:
        parts = self._parts
        names = [one.name for one in parts.settings.destinations]
        monitoring = Monitoring(
            parts.engine,
            parts.ledger,
            parts.spool,
            self._source,
            parts.delivery,
            answering.outcomes,
            parts.deliveries,
            names,
        )
        stack.callback(monitoring.close)
        if parts.listener is not None:
            server = HealthServer(parts.listener, monitoring.not_ready, monitoring.text)
            await server.start()
            stack.push_async_callback(server.close)

    def _say_started(self) -> None:
        """Say how to use the service: to a person, or in the log."""
        parts, settings = self._parts, self._parts.settings
        port = None if parts.listener is None else parts.listener.getsockname()[1]
        origins = [Model.of(loaded).origin for loaded in self._engine.registry]
        if not sys.stderr.isatty():
            parts.log.write(
                "started",
                **self._source.details,
                http_port=port,
                destinations=len(settings.destinations),
                model=" ".join(origins),
            )
            return
        lines = [*origins, self._source.sentence, f"State folder: {settings.state}."]
        lines += [f"Results go to {one.name}." for one in settings.destinations]
        if port is not None:
            lines.append(f"Health: http://127.0.0.1:{port}/readyz and /metrics.")
        print("\n".join([*lines, "Press Ctrl-C to stop."]), file=sys.stderr, flush=True)

    def _on_hangup(self) -> None:
        """Load the bundle again; after an error the old one stays."""
        task = asyncio.get_running_loop().create_task(self._engine.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

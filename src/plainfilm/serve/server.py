"""One process from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from plainfilm._machine import cores
from plainfilm.errors import UsageError
from plainfilm.inference.engine import Engine
from plainfilm.inference.log import LibraryWarnings
from plainfilm.inference.registry import BundleSource
from plainfilm.serve.app import build_app
from plainfilm.serve.limits import Settings
from plainfilm.serve.protocol import bounded_protocol
from plainfilm.serve.security import check_settings
from plainfilm.serve.workers import Pool

__all__ = ["listen", "run", "serve_until"]

_LAME = 0.5  # seconds in which answers say goodbye before the door is closed
_BACKLOG = 1024


def run(sources: Sequence[BundleSource], settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status.

    Raises
    ------
    UsageError
        If the settings are not safe together, or the address is taken.
    BundleError
        If a bundle cannot be opened.
    """
    check_settings(settings)
    _keep_no_memory()
    listener = listen(settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(sources, settings, listener))
    finally:
        listener.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the quicker event loop where it is installed (not on Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def listen(settings: Settings) -> socket.socket:
    """Open the socket, and refuse in words where that fails.

    Raises
    ------
    UsageError
        If the address is taken, unknown or not ours.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host.strip("[]"), settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"the service cannot listen on {settings.host}, port {settings.port}",
            received=error.strerror or str(error),
            remedy="choose another --port or --host",
        ) from error
    listener.setblocking(False)
    return listener


async def _serve(
    sources: Sequence[BundleSource], settings: Settings, listener: socket.socket
) -> int:
    engine = Engine(
        sources, settings.limits, threads=settings.threads, audit_log=settings.audit_log
    )
    engine.pool = Pool(settings.workers or cores(), settings.limits, tell=engine.on_decoder_event)
    # Libraries would print to standard error, in their own words.
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(LibraryWarnings(engine.log))
        logger.propagate = False
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    swaps: set[asyncio.Task[None]] = set()

    def swap() -> None:
        task = loop.create_task(engine.reload())
        swaps.add(task)
        task.add_done_callback(swaps.discard)

    # Windows knows no such handlers: there Ctrl-C cancels us, and nothing is swapped.
    with contextlib.suppress(NotImplementedError, AttributeError):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, swap)
    await engine.start()
    try:
        await serve_until(stop, engine, settings, listener)
    finally:
        await engine.close()
    return 0


async def serve_until(
    stop: asyncio.Event, engine: Engine, settings: Settings, listener: socket.socket
) -> None:
    """Serve until ``stop`` is set, then finish what was accepted.

    For half a second answers still come, and close their connections; a client that is told so
    sends nothing more there. Then the door is closed, and what is in work is finished.
    """
    limits = settings.limits
    config = uvicorn.Config(
        build_app(engine, settings),
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=limits.seconds + 2 * limits.stall_seconds,
        backlog=_BACKLOG,
    )
    server = _Server(config, listener)
    host, port = listener.getsockname()[:2]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    engine.log.write("listening", host=host, port=port)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    engine.stopping = True
    engine.log.write("stopping", active=engine.active)
    await asyncio.sleep(_LAME)
    server.should_exit = True
    await serving
    engine.log.write("stopped")


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to us and nobody behind at the door."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # The system has taken connections that we have not: closing the door would reset them.
        with self._listener.dup() as door:
            for server in self.servers:
                server.close()
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = door.accept()
                    connection.setblocking(False)
                    await asyncio.get_running_loop().connect_accepted_socket(
                        self._protocol, connection
                    )
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )


def _keep_no_memory() -> None:
    """Let the system write no image of our memory to a disk if we crash: it holds X-rays."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

"""Starts and stops the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Sequence

from plainfilm.errors import UsageError
from plainfilm.inference.engine import Engine
from plainfilm.inference.log import LibraryWarnings, Log
from plainfilm.inference.process import Shutdown, disable_core_dumps, return_large_blocks
from plainfilm.inference.registry import BundleSource
from plainfilm.serve.app import build_app
from plainfilm.serve.http_server import HttpServer
from plainfilm.serve.limits import Settings
from plainfilm.serve.security import check_settings

_STOP_DELAY = 0.5  # seconds in which answers announce the stop before the listener is closed
_BACKLOG = 1024


def run(sources: Sequence[BundleSource], settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status; see `plainfilm.serve`."""
    check_settings(settings)
    disable_core_dumps()
    return_large_blocks()
    listener = listen(settings)
    try:
        return asyncio.run(_serve(sources, settings, listener))
    finally:
        listener.close()


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket.

    A UsageError is raised if the address is in use, unknown, or of another machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    address = (settings.host.strip("[]"), settings.port)
    try:
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"the service cannot listen on {settings.host}, port {settings.port}",
            received=(error.strerror or str(error)).partition(" (while")[0],
            remedy="choose another --port or --host",
        ) from error
    listener.setblocking(False)
    return listener


def _url(host: str, port: int) -> str:
    """Return the address to open in a browser on this machine."""
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def invitation(host: str, port: int, token: str | None) -> str:
    """Return what a person at the terminal can do next."""
    text = f"Open {_url(host, port)} in a browser"
    if host in ("0.0.0.0", "::"):
        text += f", or port {port} of this machine's name from another machine"
    text += "." if token is None else "; the page asks for the token."
    return f"{text} Press Ctrl-C to stop."


async def _serve(
    sources: Sequence[BundleSource], settings: Settings, listener: socket.socket
) -> int:
    engine = Engine(
        sources,
        settings.limits,
        workers=settings.workers,
        threads=settings.threads,
        audit_log=settings.audit_log,
        log=Log(plain=sys.stderr.isatty()),
    )
    # Libraries would print to standard error in their own format.
    logger = logging.getLogger("asyncio")
    logger.addHandler(LibraryWarnings(engine.log))
    logger.propagate = False
    # It reports what is wrong with a multipart body, so clients would write its lines.
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())
    stop = asyncio.Event()
    shutdown = Shutdown(stop, engine, settings.limits.stop_seconds)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(engine.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    # Windows has no such handlers: there Ctrl-C cancels this coroutine, and no bundle is swapped.
    with contextlib.suppress(NotImplementedError, AttributeError):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, shutdown.on_signal)
        loop.add_signal_handler(signal.SIGHUP, reload)
    await engine.start()
    try:
        await serve_until(stop, engine, settings, listener)
    finally:
        await engine.close()
    shutdown.finish()
    return 0


async def serve_until(
    stop: asyncio.Event, engine: Engine, settings: Settings, listener: socket.socket
) -> None:
    """Serve until ``stop`` is set, then finish the accepted requests.

    For half a second the service still answers, and each answer closes its connection. Then the
    listener is closed, and the requests in progress are finished.
    """
    server = HttpServer(build_app(engine, settings), listener, settings.limits)
    server.start()
    host, port = listener.getsockname()[:2]
    if sys.stderr.isatty():
        print(invitation(host, port, settings.token), file=sys.stderr, flush=True)
    else:
        engine.log.write("listening", host=host, port=port, url=_url(host, port))
    await stop.wait()
    engine.stopping = True
    engine.log.write("stopping", active=engine.active)
    await asyncio.sleep(_STOP_DELAY)
    await server.stop(settings.limits.stop_seconds)
    engine.log.write("stopped")

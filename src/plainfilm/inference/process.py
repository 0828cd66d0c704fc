"""Settings of the process of a server, and its end within a grace, whatever its threads do.

Python waits at its end for the threads in which networks run, and one of them may never return.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading

from plainfilm.inference.engine import Engine

_LAST_SECONDS = 2.0  # for threads, once every request is answered and the logs are closed
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt in glibc
_LOG_SECONDS = 1.0  # for the last line; its reader may have stopped


class Shutdown:
    """Sets ``stop`` at the first signal; ends the process at the second one or after the grace."""

    def __init__(self, stop: asyncio.Event, engine: Engine, seconds: float) -> None:
        self._stop, self._engine, self._seconds = stop, engine, seconds

    def on_signal(self) -> None:
        """Handle SIGTERM or SIGINT."""
        if self._stop.is_set():
            self._end(1)
        self._stop.set()
        self._end_after(self._seconds, 1)

    def finish(self) -> None:
        """Let the process end by itself, or end it soon: nothing of value is left."""
        self._end_after(_LAST_SECONDS, 0)

    def _end_after(self, seconds: float, status: int) -> None:
        timer = threading.Timer(seconds, self._end, (status,))
        timer.daemon = True
        timer.start()

    def _end(self, status: int) -> None:
        for pid in self._engine.pool.pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        writing = threading.Thread(target=self._write, args=(status,), daemon=True)
        writing.start()
        writing.join(_LOG_SECONDS)
        os._exit(status)

    def _write(self, status: int) -> None:
        if status:
            self._engine.log.write("stopped", outcome="forced", active=self._engine.active)
        self._engine.log.flush()


def disable_core_dumps() -> None:
    """Keep X-rays in memory from being written to the disk if the process crashes."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def return_large_blocks() -> None:
    """Let glibc return the memory of each upload to the system when it is freed.

    Otherwise blocks of up to 32 MiB come from the heap once the first one was freed, and the heap
    does not shrink while something behind them is in use.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 18)
        mallopt(_M_TRIM_THRESHOLD, 1 << 22)

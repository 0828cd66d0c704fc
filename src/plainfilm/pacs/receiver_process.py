"""Starts the network process, watches it, and starts it again when it dies."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from plainfilm.decoding.sandbox import decoder_environment, start_command
from plainfilm.errors import StorageError, UsageError
from plainfilm.inference.log import Log
from plainfilm.pacs.refusal_log import RefusalLog
from plainfilm.pacs.settings import STOP, ListenSettings
from plainfilm.pacs.tls import server_context

_NOT_STARTED = "not-started"  # it ended without a reason
_ATTEMPTS = 3  # of the first start
_STARTING = 30.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds before a start after a death
_STABLE = 60.0  # seconds after which a death counts as the first one
_ENDING = 5.0  # seconds in addition to the deadline of the messages
_LINE = 1 << 14
_ENVIRONMENT = {
    # glibc keeps the memory of one usual image for the next, and returns that of larger ones.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 20),
}
_PROBLEMS = {
    "EADDRINUSE": ("another program uses this port", "choose another --port"),
    "EADDRNOTAVAIL": ("this machine does not have this address", "choose another --host"),
    "unknown-host": ("this host name has no address", "give --host an address of this machine"),
    "EACCES": ("ports below 1024 need special rights", "choose a --port of 1024 or more"),
}


class ReceiverProcess:
    """The network process, seen from the main process.

    Parameters
    ----------
    settings
        Settings of the network process.
    wake
        Called from another thread after the process has stored images, refused peers or died.
    log
        Log of the service.
    inherited
        File descriptors that the process inherits, such as that of the lock.

    Attributes
    ----------
    restarts
        How often the process was started again.
    error
        Why the last process ended or did not start; None before the first time.
    counts
        Events since the service has started, by name.
    """

    def __init__(
        self,
        settings: ListenSettings,
        wake: Callable[[], None],
        log: Log,
        *,
        inherited: Sequence[int] = (),
    ) -> None:
        self._settings, self._wake, self._log = settings, wake, log
        self._inherited = inherited
        self._refusals = RefusalLog(log)
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._before: Counter[str] = Counter()  # counts of the processes before this one
        self._now: Counter[str] = Counter()
        self.restarts = 0
        self.error: str | None = None
        self.is_up = False

    @property
    def pid(self) -> int | None:
        """The id of the process, or None while it is not up."""
        process = self._process
        return process.pid if process is not None and self.is_up else None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._settings.port

    @property
    def counts(self) -> Counter[str]:
        """Events since the service has started, by name."""
        return self._before + self._now

    def start(self) -> int:
        """Start the process and return its port.

        Raises
        ------
        UsageError
            If the address or the certificates cannot be used.
        StorageError
            If the state folder cannot be used, or the process does not start.
        """
        if self._settings.tls is not None:
            server_context(self._settings.tls)  # raises the error that names the file
        attempts = 0
        while not self._open():
            attempts += 1
            error = self._explain()
            if self.error != _NOT_STARTED or attempts == _ATTEMPTS:
                self.stop()
                raise error
            self._end()
        self._thread = threading.Thread(target=self._watch, name="receiver", daemon=True)
        self._thread.start()
        return self.port

    def stop(self) -> None:
        """Let the messages that have begun end, then end the process."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None:
            with contextlib.suppress(OSError, ValueError):
                assert process.stdin is not None
                process.stdin.write(STOP)
                process.stdin.flush()
            _close(process.stdin)
            try:
                process.wait(self._settings.limits.stop_seconds + _ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread is not None:
            self._thread.join()
        else:
            self._end()

    def __enter__(self) -> ReceiverProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _open(self) -> bool:
        """Start a process; return whether it listens."""
        process = None
        with self._lock, contextlib.suppress(OSError):
            self._process = None
            if self._stopping.is_set():
                return False
            self._process = process = subprocess.Popen(
                start_command("plainfilm.pacs.receiver"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it could quote a peer
                pass_fds=self._inherited,
                env=decoder_environment() | _ENVIRONMENT,
            )
        if process is None or process.stdin is None:
            self.error = _NOT_STARTED
            return False
        timer = threading.Timer(_STARTING, process.kill)
        timer.start()
        try:
            for line in (json.dumps(sys.path), self._settings.to_json()):
                process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            first = self._read(process)
        except (OSError, ValueError):  # it is gone, or the service stops
            first = {}
        finally:
            timer.cancel()
        if not isinstance(port := first.get("port"), int):
            self.error = str(first.get("error", _NOT_STARTED))
            return False
        self._settings = replace(self._settings, port=port)
        self.is_up = True
        return True

    def _read(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Return the next line; an empty one if the process is gone."""
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            found = json.loads(process.stdout.readline(_LINE))
            return found if isinstance(found, dict) else {}
        return {}

    def _watch(self) -> None:
        """Follow the process, and start it again when it dies."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            self._follow()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _STABLE:
                pause = _FIRST_PAUSE
            self._log.write("receiver-ended", reason=self.error, restart=self.restarts + 1)
            self._wake()
            if not self._open_again(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _open_again(self, pause: float) -> bool:
        """Try to start the process until it is up; return False if the service stops."""
        while not self._stopping.wait(pause):
            self.restarts += 1
            if self._open():
                self._log.write("receiver-started", restart=self.restarts)
                return True
            self._end()
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False

    def _follow(self) -> None:
        """Read what the process reports until it ends."""
        process = self._process
        assert process is not None
        while line := self._read(process):
            counts = line.get("counts")
            if isinstance(counts, dict):
                self._now = Counter({str(name): int(count) for name, count in counts.items()})
                self._refusals.write(self.counts)
                self._wake()
            elif "error" in line:
                break
        self._end()

    def _end(self) -> None:
        """Take note of a process that has ended."""
        self.is_up = False
        self._before, self._now = self._before + self._now, Counter()
        process = self._process
        if process is None:
            return
        if not self._stopping.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            process.kill()
        status = process.wait()
        self.error = f"signal-{-status}" if status < 0 else f"status-{status}"
        for pipe in (process.stdin, process.stdout):
            _close(pipe)

    def _explain(self) -> UsageError | StorageError:
        """Return the error of a process that did not start."""
        settings = self._settings
        known = _PROBLEMS.get(self.error or "")
        if known is not None:
            return UsageError(
                known[0],
                received=f"the address {settings.host} and the port {settings.port}",
                remedy=known[1],
            )
        return StorageError(
            "the network process did not start",
            received=self.error,
            remedy=f"check that {settings.state} is writable and the disk has space",
        )


def _close(pipe: Any) -> None:
    """Close a pipe, also of a process that is gone."""
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()

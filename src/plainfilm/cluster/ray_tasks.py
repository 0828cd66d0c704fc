"""Calls a function on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import json
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from plainfilm._machine import versions
from plainfilm.cluster.local_worker import end_group
from plainfilm.cluster.ray_driver import Message, Start
from plainfilm.decoding.sandbox import start_command
from plainfilm.errors import RunError

PACKAGES = (
    *("plainfilm", "numpy", "onnxruntime", "pillow", "pyarrow", "pydicom"),
    *("pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg"),
)
"""Packages that decide what a prediction is; every node needs the same versions."""

_STARTING = 120.0  # seconds
_ENDING = 6.0  # seconds
_WITHOUT_NODES = 60.0  # seconds without any node before the work stops


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that has ended: its number, and the value, or a problem if there is none.

    A problem concerns this call alone: its worker process or its node died.
    """

    number: int
    value: Any = None
    problem: str | None = None


class RayTasks:
    """Calls of one function on an own Ray on this machine, or on a cluster.

    Parameters
    ----------
    opener
        Picklable callable that returns the function; called once in each worker process. It may
        raise a PlainfilmError, which ends everything.
    address
        HOST:PORT of a cluster that this machine has joined, or None for an own Ray.
    workers
        Number of calls at the same time; by default one for each core.
    whole_nodes
        Whether a call has a node with its GPUs for itself, instead of a core.
    packages
        Packages that must have the same versions on every node as on this machine.

    Raises
    ------
    PlainfilmError
        If there is no connection.
    """

    def __init__(
        self,
        opener: Callable[[], Callable[[Any], Any]],
        *,
        address: str | None = None,
        workers: int | None = None,
        whole_nodes: bool = False,
        packages: Sequence[str] = PACKAGES,
    ) -> None:
        found = versions(*packages)
        known = {package: found.get(package) for package in packages}
        start = Start(address, workers, whole_nodes, pickle.dumps(opener), known)
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._capacity = 0
        self._idle_since: float | None = None
        self._process = subprocess.Popen(
            start_command("plainfilm.cluster.ray_driver"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C ends it through this process
        )
        self._reader = threading.Thread(target=self._receive, daemon=True)
        self._reader.start()
        try:
            self._write(json.dumps(sys.path).encode() + b"\n" + pickle.dumps(start))
            self._take(self._messages.get(timeout=_STARTING))
        except BaseException as error:
            self.close()
            if isinstance(error, queue.Empty):
                raise RunError("Ray has not started", received=f"{_STARTING:.0f} s") from None
            raise

    @property
    def capacity(self) -> int:
        """Number of calls that run at the same time; it changes with the nodes of the cluster."""
        return self._capacity

    def submit(self, number: int, argument: Any) -> None:
        """Begin a call with a picklable argument; ``number`` identifies it."""
        self._write(pickle.dumps((number, pickle.dumps(argument))))

    def wait(self, timeout: float) -> list[Ended]:
        """Return the calls that have ended; wait at most ``timeout`` seconds for the first.

        Raises a PlainfilmError if the connection or all nodes are lost, or a node is refused.
        """
        ended: list[Ended] = []
        due = time.monotonic() + timeout
        with contextlib.suppress(queue.Empty):
            while True:
                rest = 0.0 if ended else max(0.0, due - time.monotonic())
                message = self._messages.get(timeout=rest) if rest else self._messages.get_nowait()
                ended.extend(self._take(message))
        if self._idle_since and time.monotonic() - self._idle_since > _WITHOUT_NODES:
            raise RunError(
                "the Ray cluster has no node left that takes work",
                remedy="start nodes again and run the same command",
            )
        return ended

    def close(self) -> None:
        """End the connection, what runs in the cluster for it, and an own Ray."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end_group(self._process.pid, self._process.kill)
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the messages end with why it is gone
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _receive(self) -> None:
        """Queue the messages of the driver process until it ends."""
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._messages.put(pickle.load(self._process.stdout))
        problem = "the connection to Ray was lost"
        self._messages.put(Message(error=RunError(problem, remedy="run the same command again")))

    def _take(self, message: Message) -> list[Ended]:
        """Return the call that a message is about, if any; raise the error that it contains."""
        if message.error is not None:
            raise message.error
        if message.capacity is not None:
            self._capacity = message.capacity
            self._idle_since = None if message.capacity else time.monotonic()
            return []
        assert message.number is not None
        value = None if message.problem else pickle.loads(message.value)
        return [Ended(message.number, value, message.problem)]

"""One decoding process, seen from the process that uses it."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import asdict
from typing import Any, Literal

from plainfilm._files import read_into
from plainfilm.decoding.decode import Decoded, Failure
from plainfilm.decoding.job import Job
from plainfilm.decoding.sandbox import Sandbox, decoder_environment, start_command
from plainfilm.pixels.prepare import Box
from plainfilm.records import PixelSpec

_PIPE = 1 << 20  # bytes: a whole image in one write, where the system allows such pipes
_SMALL_PIPE = 3000  # bytes that certainly fit where the size of a pipe is unknown
_LINE = 1 << 16  # bytes of a reply's JSON
_DISPLAY = 1 << 25  # bytes of an image for display
_STARTING = 30.0  # seconds
_ENDING = 1.0  # seconds for a process that closed its pipes, so that its exit status says why


Ending = Literal["died", "late", "interrupted", "closed"]
"""Why a process ended: by itself, after too long, so that others may go first, with its pool."""


class DecodingProcess:
    """A process that decodes, restarted after each death by the pool that owns it.

    ``reader`` is ``module:name``; ``command`` is started instead of the worker in tests.
    """

    def __init__(self, reader: str, sandbox: Sandbox, command: list[str] | None = None) -> None:
        self._sandbox = sandbox
        self._command = command or start_command("plainfilm.decoding.worker")
        self._order = {
            "reader": reader,
            "limits": sandbox.limits and asdict(sandbox.limits),
            "memory": sandbox.memory,
            "sealed": sandbox.sealed,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._due = math.inf
        self._ending: Ending = "died"  # why the process ends if it ends now
        self.began = 0.0  # when it began with the file that it is decoding
        self.is_up = False  # whether the process is ready for requests
        self.tried = threading.Event()  # set once the process has come up, or has failed to
        self.held: deque[list[Job]] = deque()  # requests not completely answered, in their order
        self.failures = 0  # consecutive starts that failed
        self.capacity = 0  # bytes that fit into the pipe of requests if the process does not read

    @property
    def pid(self) -> int | None:
        """Return the id of the process, or None while it is not up."""
        process = self._process
        return process.pid if process is not None and self.is_up else None

    @property
    def is_slow(self) -> bool:
        """Return whether it decodes a file that is known to be slow."""
        return bool(self.held) and self.held[0][0].is_slow

    def start(self) -> bool:
        """Start the process and return whether it is ready for requests."""
        process = self._open()
        if process is None or process.stdin is None or process.stdout is None:
            return False
        self._process, self.capacity = process, _pipe_capacity(process.stdin)
        self._set_due(_STARTING)
        ready = b""
        with contextlib.suppress(OSError):
            for line in (sys.path, self._order):
                process.stdin.write(json.dumps(line).encode() + b"\n")
            process.stdin.flush()
            ready = process.stdout.readline(_LINE)
        self._set_due(None)
        if ready == b"ready\n" and self._ending == "died":
            return True
        self.stop()
        return False

    def _open(self) -> subprocess.Popen[bytes] | None:
        if not sys.executable:
            return None
        for size in (_PIPE, -1):  # a user has a limit for the sum of all large pipes
            with contextlib.suppress(OSError):
                return subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    pipesize=size,
                    env=decoder_environment(),
                )
        return None

    def send(self, jobs: list[Job]) -> None:
        """Send a request without waiting; if the process has died, ``receive`` shows it."""
        self.held.append(jobs)
        if len(self.held) == 1:
            self._set_due(self._sandbox.seconds)
        files = [job.source if isinstance(job.source, str) else len(job.source) for job in jobs]
        request = {"spec": _fields(jobs[0].spec), "display": jobs[0].display, "files": files}
        line = json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        chunks = [line, *(job.source for job in jobs if isinstance(job.source, bytes))]
        if sum(map(len, chunks)) <= self.capacity:
            self._write(b"".join(chunks))  # in one piece, since each write wakes the process
        else:
            threading.Thread(target=self._write, args=chunks, daemon=True).start()

    def _write(self, *chunks: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # the process, or its pipe, is gone
                for chunk in chunks:
                    process.stdin.write(chunk)
                process.stdin.flush()

    def receive(self) -> list[Decoded | Failure]:
        """Wait for the next outcomes of the oldest request; return none if the process is lost.

        A process is lost if it died, sent something that is no reply, or took too long.
        """
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout
        outcomes: list[Decoded | Failure] = []
        with contextlib.suppress(OSError, EOFError, ValueError, LookupError, TypeError):
            replies: list[dict[str, Any]] = json.loads(pipe.readline(_LINE))
            for job, reply in zip(self.held[0], replies, strict=False):
                if "metadata" not in reply:
                    outcomes.append(Failure(reply["reason"], reply["problem"]))
                    continue
                read_into(pipe, job.out.data)
                if not 0 <= reply["display"] <= _DISPLAY:
                    raise ValueError
                display = bytearray(reply["display"])
                read_into(pipe, memoryview(display))
                region, sha256 = _read_region(reply["region"]), reply["sha256"]
                outcomes.append(Decoded(job.out, reply["metadata"], bytes(display), region, sha256))
        return outcomes

    def release(self, count: int) -> list[Job]:
        """Return the oldest jobs, which have their outcomes; the next one has begun."""
        if not count:
            return []
        jobs = self.held[0][:count]
        del self.held[0][:count]
        if not self.held[0]:
            self.held.popleft()
        self._set_due(self._sandbox.seconds if self.held else None)
        return jobs

    def _set_due(self, seconds: float | None) -> None:
        with self._lock:
            self.began = time.monotonic()
            self._due = math.inf if seconds is None else self.began + seconds

    def kill_if_late(self) -> None:
        """Kill the process if its reply is overdue; another thread calls this."""
        with self._lock:
            if time.monotonic() > self._due:
                self._kill("late")

    def interrupt(self) -> None:
        """Kill the process so that other files go first; another thread calls this."""
        with self._lock:
            self.is_up = False
            self._kill("interrupted")

    def kill(self) -> None:
        """Kill the process; another thread calls this."""
        if (process := self._process) is not None:
            process.kill()

    def _kill(self, ending: Ending) -> None:
        if self._process is not None:
            self._ending, self._due = ending, math.inf
            self._process.kill()

    def stop(self, *, at_once: bool = False) -> tuple[Ending, int]:
        """End the process; return why, and its exit status as in subprocess."""
        with self._lock:
            process, self._process = self._process, None
            ending, self._ending = self._ending, "died"
        if process is None:
            return ending, 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0 if at_once else _ENDING)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # of what it did not read
                    pipe.close()
        return ending, process.wait()


def _read_region(values: list[float]) -> Box:
    left, top, right, bottom = map(float, values)
    if not (left < right and top < bottom and all(map(math.isfinite, values))):
        raise ValueError
    return left, top, right, bottom


@functools.cache
def _fields(spec: PixelSpec) -> dict[str, Any]:
    return asdict(spec)


def _pipe_capacity(pipe: Any) -> int:
    """Return how many bytes can be written to a pipe that is not read, with a margin."""
    try:
        import fcntl

        return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // 2
    except (ImportError, AttributeError, OSError):  # only Linux reports it
        return _SMALL_PIPE

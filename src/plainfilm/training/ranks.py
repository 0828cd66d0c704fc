"""Trains a network on several processes with JAX, from a process that only starts and watches them.

The processes are plain interpreters on pipes, so a script needs no ``if __name__ == "__main__"``
guard, and several trainings can follow each other. When one of them dies, all others are ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from plainfilm._machine import cores
from plainfilm._progress import Progress
from plainfilm.bundle import Bundle, Provenance, read_bundle
from plainfilm.config import PROBE, Recipe
from plainfilm.decoding.sandbox import start_command
from plainfilm.errors import ConfigError, PlainfilmError, RunError
from plainfilm.records import Task
from plainfilm.training.address import check_coordinator
from plainfilm.training.backend import choose_backend, precision_by_subprocess
from plainfilm.training.keras_trainer import KerasTrainer
from plainfilm.training.plan import Plan
from plainfilm.training.rank import WAIT, Assignment, Seat
from plainfilm.training.trainer import Work

_VERDICT = 10.0  # seconds until JAX says which rank of another machine is lost
_WORDS = 20_000  # bytes of the end of the standard error of a process
_UNHEALTHY = re.compile(r"unhealthy[^:]*:\s*(\d[\d,\s]*)")
_SERVICE = "JAX distributed service detected fatal errors"

Message = tuple[int, str, Any]  # rank, kind, content


class RanksTrainer(KerasTrainer):
    """Trains all weights of a network on several processes, or one of them on this machine.

    Without a ``coordinator`` all ranks are on this machine, else only the given ``rank``.
    """

    def __init__(
        self,
        recipe: Recipe,
        backend: str | None,
        ranks: int,
        coordinator: str | None = None,
        rank: int = 0,
    ) -> None:
        _check(recipe, backend, ranks, coordinator, rank)
        precision = precision_by_subprocess(recipe.fit.precision, "jax", recipe.network.name)
        super().__init__(recipe, backend, precision)
        self.starts_slowly = True
        self._recipe, self._coordinator = recipe, coordinator
        self._own = range(ranks) if coordinator is None else range(rank, rank + 1)
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._processes: list[_Process] = []

    def start(
        self, recipe: Recipe, task: Task, progress: Progress, plan: Plan | None = None
    ) -> None:
        """Start the processes, and wait until all have found each other and built the network."""
        assert plan is not None
        del recipe  # that of the plan
        with _reserved_port() as port:
            for number, rank in enumerate(self._own):
                address = self._coordinator or f"127.0.0.1:{port}"
                here = len(self._own)
                seat = Seat(rank, here, number, address, self._recipe, task, plan)
                self._processes.append(_Process(seat, self._messages))
            self._await("ready", progress)

    def train(self, work: Work, provenance: Provenance, progress: Progress) -> Bundle:
        """Train a network and seal it, in the process of rank 0."""
        self._send(Assignment.of(work, provenance))
        self._await("end", progress)
        return read_bundle(work.folder / "bundle")

    def await_decoding(self, progress: Progress) -> None:
        """Wait until rank 0 has decoded the images."""
        self._send(WAIT)
        self._await("decoded", progress)

    def assist(self, work: Work, progress: Progress) -> None:
        """Train a network as another rank than 0."""
        self._send(Assignment.of(work, None))
        self._await("end", progress)

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.end()
        self._processes = []

    def _send(self, request: object) -> None:
        for process in self._processes:
            process.send(request)

    def _await(self, awaited: str, progress: Progress) -> None:
        """Wait for a message of every process, and pass on the progress of the first."""
        waiting = set(self._own)
        while waiting:
            rank, kind, content = self._messages.get()
            if kind == awaited:
                waiting.discard(rank)
            elif kind == "progress":
                if rank == self._own[0]:
                    progress(*content)
            elif kind != "ended" or rank in waiting or awaited != "end":
                raise self._explain(rank, kind, content)

    def _explain(self, rank: int, kind: str, content: Any) -> Exception:
        """Return the error of a rank that sent one or has ended."""
        if kind == "lost":  # because of another rank: look for it
            rank, kind, content = self._next_failure(time.monotonic() + _VERDICT) or (
                *(rank, kind),
                content,
            )
        if kind == "error" and isinstance(content, PlainfilmError):
            return content
        if kind == "bug":
            return RuntimeError(f"rank {rank} failed:\n{content}")
        count = self._processes[0].seat.plan.identity.ranks
        process = self._processes[rank - self._own[0]]
        words = process.last_words()
        named = re.findall(r"\d+", " ".join(_UNHEALTHY.findall(words)))
        if not named and _SERVICE in words:  # which is in the process of rank 0
            named = ["0"]
        lost = [number for number in dict.fromkeys(named) if number != str(rank)]
        if lost:
            problem = f"rank {rank} of {count} has lost rank {' and rank '.join(lost)}"
            received = "no sign of life"
        elif kind == "lost":
            problem, received = f"rank {rank} of {count} has lost another rank", str(content)
        else:
            problem = f"rank {rank} of {count} has ended unexpectedly"
            received = process.status()
        where = "" if self._coordinator is None else " on every machine"
        return RunError(
            problem,
            received=received.partition("\n")[0][:300],
            remedy=f"repeat the same command{where}; the training continues from its last saved "
            "state",
        )

    def _next_failure(self, until: float) -> Message | None:
        """Return the first failure that is not the loss of another rank."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._messages.get(timeout=max(0.0, until - time.monotonic()))
                if message[1] not in ("progress", "lost"):
                    return message
        return None


class _Process:
    """The process of one rank, and a thread that passes its messages on."""

    def __init__(self, seat: Seat, messages: queue.SimpleQueue[Message]) -> None:
        self.seat = seat
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        host = seat.coordinator.rpartition(":")[0]
        threads = str(max(1, cores() // seat.here))
        own = {"KERAS_BACKEND": "jax", "no_grpc_proxy": host, "TF_CPP_MIN_LOG_LEVEL": "2"}
        self._process = subprocess.Popen(
            start_command("plainfilm.training.rank"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={"PJRT_NPROC": threads, **os.environ, **own},
        )
        self._thread = threading.Thread(target=self._receive, args=(messages,), daemon=True)
        self._thread.start()
        self._write(json.dumps(sys.path).encode() + b"\n")
        self.send(seat)

    def send(self, request: object) -> None:
        """Send a request; nothing happens if the process has ended, which `_receive` notices."""
        self._write(pickle.dumps(request))

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def status(self) -> str:
        """Return how the process has ended, and the last line that it wrote."""
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            return f"signal {-code} ({signal.Signals(-code).name})"
        lines = self.last_words().strip().splitlines()
        return f"status {code}" + (f", {lines[-1]}" if lines else "")

    def last_words(self) -> str:
        """Return the end of what the process wrote to its standard error."""
        file = self._errors.fileno()  # not by seek: the process writes at the same position
        start = max(0, os.fstat(file).st_size - _WORDS)
        return os.pread(file, _WORDS, start).decode(errors="replace")

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _receive(self, messages: queue.SimpleQueue[Message]) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                messages.put((self.seat.rank, *pickle.load(self._process.stdout)))
        except (OSError, EOFError, pickle.UnpicklingError):
            messages.put((self.seat.rank, "ended", None))


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """Yield a free port of loopback that in this context only this user can listen on."""
    with socket.socket() as reserved:
        if hasattr(socket, "SO_REUSEPORT"):
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        if not hasattr(socket, "SO_REUSEPORT"):
            reserved.close()
        yield reserved.getsockname()[1]


def _check(
    recipe: Recipe, backend: str | None, ranks: int, coordinator: str | None, rank: int
) -> None:
    """Raise a ConfigError for ranks that cannot train a recipe."""
    batch = recipe.fit.batch
    if ranks < 2 or not 0 <= rank < ranks:
        raise ConfigError(
            "ranks must be 2 or more, and rank= a number from 0 to ranks - 1",
            received=f"ranks={ranks} and rank={rank}",
        )
    if recipe.network.name == PROBE:
        raise ConfigError(
            "a probe is not trained by gradient descent, so several ranks would not help",
            received=f"ranks={ranks}",
            remedy="omit ranks=; all cores are used",
        )
    if (own := choose_backend(backend)) != "jax":
        raise ConfigError(
            f"{own} cannot train with several ranks",
            received=f"ranks={ranks}",
            remedy="choose jax with backend=",
        )
    if batch % ranks:
        lower, upper = batch // ranks * ranks, -(-batch // ranks) * ranks
        raise ConfigError(
            "a batch must consist of equal parts for all ranks",
            received=f"batch={batch} for ranks={ranks}",
            remedy=f"set batch={upper}" + (f" or batch={lower}" if lower else ""),
        )
    if coordinator is not None:
        check_coordinator(coordinator, listens=rank == 0)

"""The process that is connected to Ray on behalf of another one.

It has a process of its own because Ray ends its driver, with messages from C++, when a cluster is
lost, writes to standard output, and replaces signal handlers. The input is pickled by the parent
process: a `Start`, then ``(number, argument)`` for each call. The output is pickled `Message`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import hashlib
import os
import pickle
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm._files import explain_oserror
from plainfilm.cluster.ray_connection import connect, refuse
from plainfilm.cluster.ray_worker import make_task
from plainfilm.decoding.sandbox import open_output
from plainfilm.errors import PlainfilmError, RunError

_PERIOD = 1.0  # seconds between two looks at the nodes
_ENDING = 4.0  # seconds that Ray has to end
_LOST = "its node was lost"


@dataclass(frozen=True, slots=True)
class Start:
    """How to connect, and what to run.

    Attributes
    ----------
    address
        HOST:PORT of a cluster, or None for an own Ray on this machine.
    workers
        Number of calls that run at the same time; None for as many as there is room for.
    whole_nodes
        Whether a call has a node with its GPUs for itself, instead of a core.
    opener
        Pickled callable, called once in each worker process, that returns the function to call.
    versions
        Versions of packages that every node must have; None for packages that are missing.
    """

    address: str | None
    workers: int | None
    whole_nodes: bool
    opener: bytes
    versions: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Message:
    """What happened: one of the attributes is set, ``number`` with ``value`` or ``problem``.

    Attributes
    ----------
    capacity
        Number of calls that can run at the same time from now on.
    error
        An error that ends everything.
    number
        The call that has ended.
    value, problem
        What it returned, pickled, or why it failed.
    """

    capacity: int | None = None
    error: PlainfilmError | None = None
    number: int | None = None
    value: bytes = b""
    problem: str | None = None


class _Output:
    """Writes messages from any thread."""

    def __init__(self) -> None:
        self._file = open_output()
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        with self._lock:
            pickle.dump(message, self._file)
            self._file.flush()


def serve() -> None:
    """Pass calls on to Ray until standard input ends."""
    output, requests = _Output(), queue.SimpleQueue[Any]()
    try:
        place = "/tmp" if Path("/tmp").is_dir() else None
        folder = tempfile.mkdtemp(prefix="plainfilm-", dir=place)
    except OSError as error:
        output.send(Message(error=explain_oserror(error, "the folder for temporary files")))
        return
    threading.Thread(target=_receive, args=(requests, folder), daemon=True).start()
    try:
        if (start := requests.get()) is not None:
            _Driver(start, folder, output).run(requests)
    except PlainfilmError as error:
        output.send(Message(error=error))
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def _receive(requests: queue.SimpleQueue[Any], folder: str) -> None:
    """Pass requests on, and None when the input ends; then end this process if Ray hangs."""
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    finally:
        requests.put(None)
        time.sleep(_ENDING)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)  # which also ends the processes of an own Ray


class _Driver:
    """The connection to Ray.

    Each call is placed on a node, because Ray itself reports the calls of a node that was cut off
    only after minutes.
    """

    def __init__(self, start: Start, folder: str, output: _Output) -> None:
        self._ray = connect(start.address, start.workers, folder)
        self._send = output.send
        self._workers = start.workers
        self._capacity = -1
        self._expected = start.versions
        self._name = hashlib.sha256(start.opener).hexdigest()
        self._opener = self._ray.put(start.opener)
        self._task = self._ray.remote(num_cpus=1, max_retries=0)(make_task())
        self._lock = threading.Lock()
        self._whole = start.whole_nodes
        self._nodes: dict[str, Mapping[str, float]] = {}  # resources of the nodes that are alive
        self._lost: set[str] = set()  # nodes that Ray may still report as alive
        self._calls: dict[int, tuple[str, Any]] = {}  # node and reference of each call
        self.look_at_nodes()

    def look_at_nodes(self) -> None:
        """Report the capacity if it has changed, and the calls of nodes that are lost."""
        nodes = {
            node["NodeID"]: node["Resources"]
            for node in self._ray.nodes()
            if node["Alive"]
            and node["Resources"].get("CPU", 0) >= 1
            and node["NodeID"] not in self._lost
        }
        with self._lock:
            self._nodes = nodes
            lost = [number for number, (node, _) in self._calls.items() if node not in nodes]
        room = sum(map(self._room, nodes.values()))
        capacity = min(room, self._workers or room)
        if capacity != self._capacity:
            self._capacity = capacity
            self._send(Message(capacity=capacity))
        for number in lost:
            self._end(number, Message(number=number, problem=_LOST))

    def run(self, requests: queue.SimpleQueue[Any]) -> None:
        """Submit what is asked for until there is None."""
        looked = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                if (request := requests.get(timeout=_PERIOD)) is None:
                    return
                self._submit(*request)
            if time.monotonic() - looked >= _PERIOD:
                self.look_at_nodes()
                looked = time.monotonic()

    def _submit(self, number: int, argument: bytes) -> None:
        """Begin a call on the node with most room."""
        with self._lock:
            used = Counter(node for node, _ in self._calls.values())
            rooms = {node: self._room(own) - used[node] for node, own in self._nodes.items()}
            node = max(rooms, key=lambda one: rooms[one], default="")
            resources = self._nodes.get(node, {})
        if not resources:
            self._send(Message(number=number, problem=_LOST))
            return
        place = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, False)
        task = self._task.options(scheduling_strategy=place)
        if self._whole:
            needed = {"num_cpus": int(resources["CPU"]), "num_gpus": int(resources.get("GPU", 0))}
            task = self._task.options(scheduling_strategy=place, **needed)
        reference = task.remote(self._expected, self._name, self._opener, argument)
        with self._lock:
            self._calls[number] = node, reference
        reference.future().add_done_callback(functools.partial(self._read, number))

    def _room(self, resources: Mapping[str, float]) -> int:
        """Return how many calls a node runs at the same time."""
        return 1 if self._whole else int(resources["CPU"])

    def _read(self, number: int, future: concurrent.futures.Future[Any]) -> None:
        """Report the result of a call."""
        error = future.exception()
        if error is not None:
            self._end(number, self._explain(number, error))
            return
        value = future.result()
        if isinstance(value, bytes):
            self._end(number, Message(number=number, value=value))
        else:
            node, found = value
            self._end(number, Message(error=refuse(node, found, self._expected)))

    def _end(self, number: int, message: Message) -> None:
        """Report the end of a call, once."""
        with self._lock:
            call = self._calls.pop(number, None)
            if call is not None and message.problem == _LOST:
                # Until Ray misses its answers, it would fail every call at once.
                self._lost.add(call[0])
                self._nodes.pop(call[0], None)
        if call is not None:
            self._send(message)

    def _explain(self, number: int, error: BaseException) -> Message:
        """Return the message about a call that Ray did not complete."""
        kinds = self._ray.exceptions
        if isinstance(error, kinds.LocalRayletDiedError):
            problem = "the Ray node of this machine has ended"
            return Message(error=RunError(problem, remedy="run the same command again"))
        if isinstance(error, kinds.RayTaskError):
            cause = getattr(error, "cause", None)
            if isinstance(cause, PlainfilmError):
                return Message(error=cause)
            # Only the type: the message of an unforeseen error may quote a file.
            return Message(number=number, problem=f"a defect: {type(cause or error).__name__}")
        problems = {
            kinds.NodeDiedError: _LOST,
            kinds.TaskUnschedulableError: _LOST,
            kinds.OutOfMemoryError: "a worker process was killed: its node had no memory left",
            kinds.WorkerCrashedError: "a worker process died",
        }
        found = (text for kind, text in problems.items() if isinstance(error, kind))
        return Message(number=number, problem=next(found, f"Ray: {type(error).__name__}"))

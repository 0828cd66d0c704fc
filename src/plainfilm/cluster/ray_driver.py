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
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm._files import reason_of
from plainfilm._machine import cores
from plainfilm._optional import require
from plainfilm._text import printable
from plainfilm.cluster.ray_worker import make_task
from plainfilm.decoding.sandbox import open_output
from plainfilm.errors import PlainfilmError, RunError, UsageError

_PERIOD = 1.0  # seconds between two looks at the nodes
_CONNECTING = 10.0  # seconds
_ENDING = 4.0  # seconds that Ray has to end
_LOST = "its node was lost"
_OBJECTS = 80 << 20  # bytes of shared memory, about the least that Ray takes; results are small


@dataclass(frozen=True, slots=True)
class Start:
    """How to connect, and what to run.

    Attributes
    ----------
    address
        HOST:PORT of a cluster, or None for an own Ray on this machine.
    workers
        Number of calls that run at the same time; None for one for each core.
    opener
        Pickled callable, called once in each worker process, that returns the function to call.
    versions
        Versions of packages that every node must have; None for packages that are missing.
    """

    address: str | None
    workers: int | None
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
    folder = tempfile.mkdtemp(prefix="plainfilm-", dir="/tmp" if Path("/tmp").is_dir() else None)
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
        self._ray = _connect(start, folder)
        self._send = output.send
        self._workers = start.workers
        self._capacity = -1
        self._expected = start.versions
        self._name = hashlib.sha256(start.opener).hexdigest()
        self._opener = self._ray.put(start.opener)
        self._task = self._ray.remote(num_cpus=1, max_retries=0)(make_task())
        self._lock = threading.Lock()
        self._nodes: dict[str, int] = {}  # cores of the nodes that are alive
        self._calls: dict[int, tuple[str, Any]] = {}  # node and reference of each call
        self.look_at_nodes()

    def look_at_nodes(self) -> None:
        """Report the capacity if it has changed, and the calls of nodes that are lost."""
        nodes = {
            node["NodeID"]: int(node["Resources"]["CPU"])
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }
        with self._lock:
            self._nodes = nodes
            lost = [number for number, (node, _) in self._calls.items() if node not in nodes]
        cores = sum(nodes.values())
        capacity = min(cores, self._workers or cores)
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
        """Begin a call on the node with most cores free."""
        with self._lock:
            used = Counter(node for node, _ in self._calls.values())
            node = max(self._nodes, key=lambda one: self._nodes[one] - used[one], default=None)
        if node is None:
            self._send(Message(number=number, problem=_LOST))
            return
        place = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, False)
        task = self._task.options(scheduling_strategy=place)
        reference = task.remote(self._expected, self._name, self._opener, argument)
        with self._lock:
            self._calls[number] = node, reference
        reference.future().add_done_callback(functools.partial(self._read, number))

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
            self._end(number, Message(error=_refuse(node, found, self._expected)))

    def _end(self, number: int, message: Message) -> None:
        """Report the end of a call, once."""
        with self._lock:
            call = self._calls.pop(number, None)
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


def _connect(start: Start, folder: str) -> Any:
    """Return Ray, connected to a cluster or to a Ray of its own in ``folder``."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_USAGE_STATS_ENABLED="0")
    if start.address is None:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    else:
        _find(start.address)
    ray = require("ray", "cluster")
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if start.address is None:
        import ray._private.ray_constants as constants

        # This makes Ray listen on the loopback address only, as on macOS and Windows.
        constants.ENABLE_RAY_CLUSTER = False
        ray.init(
            "local",
            num_cpus=start.workers or cores(),
            include_dashboard=False,
            object_store_memory=_OBJECTS,
            _temp_dir=folder,
            **quiet,
        )
        return ray
    try:
        ray.init(start.address, **quiet)
    except ray.exceptions.AuthenticationError as error:
        raise UsageError(
            f"the Ray cluster at {start.address} does not accept this machine's token",
            received=printable(str(error).strip().partition("\n")[0], 200),
            remedy="set RAY_AUTH_TOKEN_PATH to a file with the token of the cluster",
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"the Ray cluster at {start.address} does not accept the connection",
            received=printable(str(error).strip().partition("\n")[0], 200),
            remedy="run this command on a machine on which `ray start` has joined the cluster, "
            "with the same token and the same versions of Ray and Python",
        ) from error
    return ray


def _find(address: str) -> None:
    """Raise a UsageError unless something listens at an address; Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECTING).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster at {printable(address)}",
            received=reason_of(error) if isinstance(error, OSError) else "not HOST:PORT",
            remedy="give the address that `ray start --head` printed, as HOST:PORT",
        ) from error


def _refuse(
    node: str, found: Mapping[str, str | None], expected: Mapping[str, str | None]
) -> PlainfilmError:
    """Return the error of a node that has other versions or no authentication."""
    if "RAY_AUTH_MODE" in found:
        return UsageError(
            f"the Ray node {node} runs code for anyone who can connect to it",
            received=f"RAY_AUTH_MODE={found['RAY_AUTH_MODE'] or ''}",
            remedy="set RAY_AUTH_MODE=token on every machine before `ray start`",
        )
    return UsageError(
        f"the Ray node {node} has other versions than this machine",
        received="; ".join(
            f"{package}: {version or 'missing'}, here: {expected[package] or 'missing'}"
            for package, version in found.items()
        ),
        remedy="install the same versions on every machine, with constraints.txt",
    )

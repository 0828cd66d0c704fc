"""Saves start-up time: a subprocess works while Keras is imported, and the import is made faster.

The import of Keras and TensorFlow takes seconds and holds Python's interpreter lock, so that a
thread could not work at the same time. ``docs/reference/performance.md`` has the measured savings.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import ModuleType
from typing import Any, Generic, TypeVar

from plainfilm._progress import Progress
from plainfilm.decoding.sandbox import ENVIRONMENT, open_output, start_command

_INTERVAL = 0.05  # seconds between two progress messages of one stage
_GRACE = 5.0  # seconds for the subprocess to end its own processes
_NICE = 5  # of the subprocess: everything else waits for the import

Work = Callable[..., Generator[Any, None, None]]
_skipped: tuple[str, ...] = ()
T = TypeVar("T")


class Subprocess:
    """Runs a generator function in a subprocess, from now on, and yields its values.

    If the subprocess cannot be started, dies or raises an error, the work continues in this
    process, which raises the same error. So ``work`` must find again what it had finished. On
    leaving the context the subprocess ends, and its own subprocesses with it.

    ``work`` has a keyword argument ``progress``, can be imported, and its values can be pickled. If
    not ``enabled``, it runs in this process.
    """

    def __init__(self, work: Work, *arguments: Any, enabled: bool = True) -> None:
        self._work, self._arguments = work, arguments
        self._received: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        started = _start(work, arguments) if enabled and sys.executable else None
        self._process = None if started is None else started[0]
        if started is not None:
            # The pipes hold less than the messages: without a thread each process would wait for
            # the other, this one for the start of Python and the subprocess for the import.
            self._messenger = threading.Thread(target=self._communicate, args=started, daemon=True)
            self._messenger.start()

    def __enter__(self) -> Subprocess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it ends because its input has ended
            self._process.wait(_GRACE)
        self._process.kill()
        self._process.wait()
        self._messenger.join()
        self._process.stdout.close()

    def values(self, progress: Progress) -> Generator[Any, None, None]:
        """Yield the values of the work; ``progress`` is called at most 20 times a second."""
        received = 0
        for kind, content in self._messages():
            if kind == "progress":
                progress(*content)
            elif kind == "value":
                received += 1
                yield content
            else:
                return
        yield from islice(self._work(*self._arguments, progress=progress), received, None)

    def _messages(self) -> Iterator[tuple[str, Any]]:
        if self._process is not None:
            while (message := self._received.get()) is not None:
                yield message

    def _communicate(self, process: subprocess.Popen[bytes], request: bytes) -> None:
        """Send the request and put every answer into the queue; None when the process has ended."""
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError, ValueError):  # it has died, or the context was left
            process.stdin.write(request)
            process.stdin.flush()
        try:
            while True:
                self._received.put(pickle.load(process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError):  # it has ended or died
            self._received.put(None)


def _start(work: Work, arguments: tuple[Any, ...]) -> tuple[subprocess.Popen[bytes], bytes] | None:
    """Return the started subprocess and the request to send to it."""
    try:
        request = json.dumps(sys.path).encode() + b"\n" + pickle.dumps((work, arguments))
        process = subprocess.Popen(
            start_command(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
        )
    except (OSError, pickle.PicklingError, AttributeError, TypeError):
        return None
    return process, request


def serve() -> None:
    """Run the work that standard input names: the main function of the subprocess."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    output = open_output()
    work, arguments = pickle.load(sys.stdin.buffer)
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_end_with_input, args=(threading.get_ident(),), daemon=True).start()
    last: tuple[str, float] = ("", 0.0)

    def send(kind: str, content: Any = None) -> None:
        pickle.dump((kind, content), output)
        output.flush()

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or done == total or now - last[1] > _INTERVAL:
            last = stage, now
            send("progress", (stage, done, total, note))

    try:
        with contextlib.closing(work(*arguments, progress=progress)) as values:
            for value in values:
                send("value", value)
        send("end")
    finally:
        os._exit(0)  # the caller waits, and an orderly exit of the interpreter takes long


def _end_with_input(main: int) -> None:
    """End the work when the caller closes our input or dies."""
    while os.read(0, 1):  # not through sys.stdin, which locks at exit
        pass
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGTERM)  # interrupts waiting, too
    else:
        _thread.interrupt_main(signal.SIGTERM)


def _exit(*_: object) -> None:
    raise SystemExit(1)


class Background(Generic[T]):
    """Runs work in a thread from the first report of a training on.

    Before its first step a training needs the interpreter alone; later the steps leave it free most
    of the time. ``progress`` receives the reports of the training.
    """

    def __init__(self, work: Callable[[], T], progress: Progress) -> None:
        self._work, self._progress = work, progress
        self._future: Future[T] | None = None

    def progress(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Pass a report on; the first one starts the work."""
        if self._future is None:
            pool = ThreadPoolExecutor(1)
            self._future = pool.submit(self._work)
            pool.shutdown(wait=False)
        self._progress(stage, done, total, note)

    def result(self) -> T:
        """Return the result, or raise the error, of the work; run it now if it has not started."""
        return self._work() if self._future is None else self._future.result()


def skip_when_importing(*packages: str) -> None:
    """Make `fast_import` hide packages that the import can do without.

    Keras imports matplotlib, if it is installed, for functions that plainfilm does not use.
    """
    global _skipped
    _skipped = packages


@contextlib.contextmanager
def fast_import() -> Iterator[None]:
    """Import without the garbage collector, and exempt the imported objects from it for good.

    A framework creates a million objects that stay until the process ends.
    """
    hidden = [package for package in _skipped if package not in sys.modules]
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules.update(dict.fromkeys(hidden))  # None makes an import fail
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
        for package in hidden:
            modules.pop(package, None)

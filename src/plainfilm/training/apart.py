"""Work done in a process of its own, whose progress and results come back as they are made.

Importing a framework keeps Python's interpreter lock for seconds; what shares the interpreter with
it takes three times as long. In another process it does not.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from itertools import islice
from typing import Any

from plainfilm._progress import Progress
from plainfilm.decoding.sandbox import ENVIRONMENT, open_output, start_command

__all__ = ["apart", "serve"]

_EVERY = 0.05  # seconds between two progress messages of one stage
_GRACE = 5.0  # seconds for the other process to end its own processes, and to write what it has
_NICE = 5  # what goes on in the calling process is what is waited for in the end

Work = Callable[..., Generator[Any, None, None]]


def apart(work: Work, *given: Any, progress: Progress) -> Generator[Any, None, None]:
    """Yield what ``work(*given, progress=progress)`` yields, made by another process.

    Where that process does not come up, dies, or fails, the work is done again in this one, which
    raises what there is to raise. So ``work`` must find again what it had finished. It is done here
    from the beginning where it cannot be handed over.

    Parameters
    ----------
    work
        A generator function that another process can import; what it yields can be pickled.
    given
        Its arguments.
    progress
        Called here, at most 20 times a second for each stage.
    """
    came = 0
    try:
        order = pickle.dumps((work, given))
    except (pickle.PicklingError, AttributeError, TypeError):
        order = b""
    with contextlib.closing(_messages(order)) as messages:
        for kind, content in messages:
            if kind == "progress":
                progress(*content)
            elif kind == "value":
                came += 1
                yield content
            else:
                return
    yield from islice(work(*given, progress=progress), came, None)


def _messages(order: bytes) -> Generator[tuple[str, Any], None, None]:
    """Yield what the other process tells, until it ends or dies."""
    if not sys.executable or not order:
        return
    try:
        process = subprocess.Popen(
            start_command(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},  # as many are busy already as there are cores
        )
    except OSError:
        return
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(sys.path).encode() + b"\n" + order)
        process.stdin.flush()
        while True:
            yield pickle.load(process.stdout)
    except (OSError, EOFError, pickle.UnpicklingError):  # it is gone, in mid-message perhaps
        return
    finally:
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what it did not take is lost on purpose
                pipe.close()
        # Its input has ended, so it ends, and its own processes with it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        process.kill()
        process.wait()


def serve() -> None:
    """Do the work that standard input names: the life of the other process."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    answers = open_output()
    work, given = pickle.load(sys.stdin.buffer)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_input, args=(threading.get_ident(),), daemon=True).start()
    told: tuple[str, float] = ("", 0.0)

    def send(kind: str, content: Any = None) -> None:
        pickle.dump((kind, content), answers)
        answers.flush()

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal told
        now = time.monotonic()
        if stage != told[0] or done == total or now - told[1] > _EVERY:
            told = stage, now
            send("progress", (stage, done, total, note))

    try:
        with contextlib.closing(work(*given, progress=progress)) as values:
            for value in values:
                send("value", value)
        send("end")
    finally:
        os._exit(0)  # the caller waits for our end, and taking an interpreter apart takes long


def _end_with_input(main: int) -> None:
    """End the work in good order when the caller closes our input, or is no more."""
    while os.read(0, 1):  # not through sys.stdin, whose lock the end of the interpreter wants
        pass
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGTERM)  # also where it waits for something
    else:
        _thread.interrupt_main(signal.SIGTERM)


def _leave(*_: object) -> None:
    raise SystemExit(1)

"""Work done in a process of its own, whose progress and results come back as they are made.

Importing a framework keeps Python's interpreter lock for seconds; what shares the interpreter with
it takes three times as long. In another process it does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any

from thorax._progress import Progress
from thorax.data.capped import open_answers, start_command

__all__ = ["apart", "serve"]

_EVERY = 0.05  # seconds between two progress messages of one stage
_NICE = 5  # what goes on in the calling process is what is waited for in the end

Work = Callable[..., Iterator[Any]]


def apart(work: Work, *given: Any, progress: Progress) -> Generator[Any, None, None]:
    """Yield what ``work(*given, progress=progress)`` yields, made by another process.

    Where that process does not come up, dies, or fails, the work is done again in this one, which
    raises what there is to raise. So ``work`` must find again what it had finished.

    Parameters
    ----------
    work
        A generator function that another process can import; what it yields can be pickled.
    given
        Its arguments; they can be pickled.
    progress
        Called here, at most 20 times a second for each stage.
    """
    came = 0
    with contextlib.closing(_messages(work, given)) as messages:
        for kind, content in messages:
            if kind == "progress":
                progress(*content)
            elif kind == "value":
                came += 1
                yield content
            else:
                return
    yield from islice(work(*given, progress=progress), came, None)


def _messages(work: Work, given: tuple[Any, ...]) -> Generator[tuple[str, Any], None, None]:
    """Yield what the other process tells, until it ends or dies."""
    if not sys.executable:
        return
    try:
        process = subprocess.Popen(
            start_command(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(sys.path).encode() + b"\n")
            pickle.dump((work, given), process.stdin)
            process.stdin.flush()
            while True:
                message = pickle.load(process.stdout)
                yield message
        except (OSError, EOFError, pickle.UnpicklingError):  # it is gone, in mid-message perhaps
            return
        finally:
            process.kill()


def serve() -> None:
    """Do the work that standard input names: the life of the other process."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    answers = open_answers()
    work, given = pickle.load(sys.stdin.buffer)
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

    for value in work(*given, progress=progress):
        send("value", value)
    send("end")

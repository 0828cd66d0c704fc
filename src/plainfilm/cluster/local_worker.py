"""The main loop of a local worker process: opens a job, and works on the chunks that it receives.

The process that started it sends pickled values: the job and its output, then chunks. The replies
are pickled too: an `Outcome` for the opened job, then one for each chunk.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from plainfilm.cluster.job import Outcome
from plainfilm.cluster.open_job import OpenJob
from plainfilm.decoding.sandbox import open_output
from plainfilm.errors import PlainfilmError


def serve() -> None:
    """Work until standard input ends."""
    output, requests = open_output(), queue.SimpleQueue[Any]()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    job, out, retry = requests.get()

    def reply(outcome: Outcome) -> None:
        pickle.dump(outcome, output)
        output.flush()

    try:
        opened = OpenJob(job, out, retry=retry)
    except PlainfilmError as error:
        reply(Outcome(error=error))
        return
    reply(Outcome())
    while True:
        reply(opened.run(requests.get()))


def _receive(requests: queue.SimpleQueue[Any]) -> None:
    """Pass requests on; when the input ends, end this process at once, and what it started."""
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    finally:
        end_group(os.getpid(), lambda: os._exit(1))


def end_group(pid: int, otherwise: Callable[[], None]) -> None:
    """Kill a worker process and its decoding processes; on Windows do something else."""
    if hasattr(os, "killpg"):
        os.killpg(pid, signal.SIGKILL)
    else:
        otherwise()

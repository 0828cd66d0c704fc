"""Runs the trials of a search in several processes on one machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from plainfilm._progress import Progress
from plainfilm.decoding.sandbox import open_output, start_command
from plainfilm.errors import PlainfilmError, RunError
from plainfilm.search.folder import SearchFolder
from plainfilm.search.trial import Options
from plainfilm.search.work import OnTrial, work

_WAIT = 0.2  # seconds


def work_in_processes(
    root: Path, trials: int, options: Options, count: int, on_trial: OnTrial, progress: Progress
) -> None:
    """Run trials in a number of processes until all are finished.

    A trial whose process dies is continued by another one.

    Raises
    ------
    RunError
        If all processes end before all trials are finished.
    """
    order = {"root": str(root), "trials": trials, "cache": options.cache and str(options.cache)}
    order["workers"] = options.workers
    request = f"{json.dumps(sys.path)}\n{json.dumps(order)}\n".encode()
    watch = Watch(SearchFolder(root), trials, on_trial, progress)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes += [_start(request) for _ in range(count)]
        while any(process.poll() is None for process in processes):
            time.sleep(_WAIT)
            watch.report()
    except BaseException:
        for process in processes:
            process.kill()  # what it has finished is kept
        SearchFolder(root).forget_attempts()
        raise
    finally:
        replies = [process.communicate()[0].decode(errors="replace") for process in processes]
    watch.report()
    if all(process.returncode for process in processes):
        statuses = ", ".join(str(process.returncode) for process in processes)
        raise RunError(
            "all processes ended before the search was finished",
            received=next((reply for reply in replies if reply), f"exit status {statuses}"),
            remedy="run the same command again; finished trials are kept",
        )


class Watch:
    """Reports the results of trials that appear in the folder of a search."""

    def __init__(
        self, folder: SearchFolder, trials: int, on_trial: OnTrial, progress: Progress
    ) -> None:
        self._folder, self._trials = folder, trials
        self._on_trial, self._progress = on_trial, progress
        self._done = -1
        self._seen = {(stage, one.number) for stage, one in folder.all_results()}

    def report(self) -> None:
        """Call the callbacks for new results."""
        for stage, result in self._folder.all_results():
            if (stage, result.number) not in self._seen:
                self._seen.add((stage, result.number))
                if self._on_trial is not None:
                    self._on_trial(stage, result)
        done = len(self._folder.results("search"))
        if done != self._done:
            self._done = done
            self._progress("trials", done, max(done, self._trials))


def _start(request: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        start_command(__name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has died
        process.stdin.write(request)
        process.stdin.flush()
    return process


def serve() -> None:
    """Work on the search that standard input names: the main function of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends this process
    output, order = open_output(), json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    status = 1
    try:
        options = Options(order["cache"], order["workers"])
        work(Path(order["root"]), order["trials"], options)
        status = 0
    except PlainfilmError as error:
        received = "" if error.received is None else f" ({error.received})"
        output.write(f"{error.problem}{received}".encode())
    except Exception as error:  # only the type: the message may quote a file
        output.write(f"a defect: {type(error).__name__}".encode())
    finally:
        output.flush()
        os._exit(status)  # an orderly exit with a framework takes long


def _end_with_input() -> None:
    """End this process when the caller dies. Trials are continued from what they have written."""
    while os.read(0, 1):
        pass
    os._exit(1)

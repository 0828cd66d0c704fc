"""Runs the trials of a search on Ray: on this machine or on the machines of a cluster."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from plainfilm._progress import Progress
from plainfilm.cluster.ray_tasks import PACKAGES, RayTasks
from plainfilm.data import Manifest
from plainfilm.errors import RunError
from plainfilm.search.folder import SearchFolder
from plainfilm.search.parallel import Watch
from plainfilm.search.trial import DATA, SEARCH, Options
from plainfilm.search.work import OnTrial, run_next

_PACKAGES = (*PACKAGES, "scipy", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "optuna")
_TICK = 0.5  # seconds between two looks at the results
_MOST_PROBLEMS = 3  # consecutive processes that end without having run a trial


def work_on_ray(
    root: Path,
    trials: int,
    options: Options,
    address: str | None,
    parallel: int | None,
    on_trial: OnTrial,
    progress: Progress,
) -> None:
    """Run trials on Ray until all are finished.

    On this machine (``address=None``) ``parallel`` trials run at once; in a cluster one on each
    node, at most ``parallel`` in all. A trial that a lost node was running is continued by another
    one.

    Raises
    ------
    PlainfilmError
        If there is no connection to Ray, a node has other versions or does not see the folder or
        the images, or processes end again and again.
    """
    watch = Watch(SearchFolder(root), trials, on_trial, progress)
    opener = functools.partial(open_trials, str(root.absolute()), trials, options)
    whole = address is not None
    workers = parallel if whole else parallel or 1
    running, number, problems, ended = 0, 0, 0, False
    with closing(
        RayTasks(opener, address=address, workers=workers, whole_nodes=whole, packages=_PACKAGES)
    ) as tasks:
        while running or not ended:
            while not ended and running < tasks.capacity:
                running, number = running + 1, number + 1
                tasks.submit(number, None)
            for one in tasks.wait(_TICK):
                running -= 1
                problems = problems + 1 if one.problem else 0
                ended = ended or one.value is False
                if problems == _MOST_PROBLEMS:
                    raise RunError(
                        "processes on Ray end before their trial is finished",
                        received=one.problem,
                        remedy="run the same command again; finished trials are kept",
                    )
            watch.report()


def open_trials(root: str, trials: int, options: Options) -> Callable[[None], bool]:
    """Return the function that runs the next trial; it returns False if none is left."""
    folder, here = Path(root), socket.gethostname()
    if not (folder / SEARCH).exists():
        raise RunError(
            "the folder of the search is not on this machine",
            received=f"{root} on {here}",
            remedy="give a folder that all machines see under this name",
        )
    first = Manifest.read(folder / DATA).records[0].path
    if not Path(first).exists():
        raise RunError(
            "the images are not on this machine",
            received=f"{first} on {here}",
            remedy="mount them under this name on every machine",
        )
    return lambda _: run_next(folder, trials, options)

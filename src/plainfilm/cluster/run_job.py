"""Runs a job on the chunks of its output that are not done yet."""

from __future__ import annotations

import random
from contextlib import closing

from plainfilm._progress import Progress, silent
from plainfilm._text import printable
from plainfilm.cluster.drive import Driven, drive
from plainfilm.cluster.job import Engine, Job
from plainfilm.cluster.ledger import Ledger, Share
from plainfilm.errors import UsageError

__all__ = ["open_engine", "run_job"]


def run_job(
    job: Job,
    ledger: Ledger,
    *,
    stage: str,
    on: str = "local",
    workers: int | None = None,
    share: Share | None = None,
    progress: Progress = silent,
) -> Driven:
    """Work on the chunks of a ledger, or of a share of them, that have no part.

    Parameters
    ----------
    job, ledger
        The job, and the ledger of its output.
    stage, progress
        Name of the stage, and the callback.
    on, workers
        What runs the workers, and their number.
    share
        The share of the chunks.

    Raises
    ------
    UsageError
        If there is no such engine.
    PlainfilmError
        If an error stops the job. Finished chunks are kept.
    """
    chunks = ledger.to_do(share)
    if not chunks:
        return Driven(0, {}, {})
    # Calls that work on one output at the same time begin with different chunks.
    random.shuffle(chunks)
    with closing(open_engine(on, job, ledger.store.uri, workers, len(chunks))) as engine:
        return drive(engine, chunks, stage=stage, progress=progress, fail=ledger.fail)


def open_engine(on: str, job: Job, out: str, workers: int | None, most: int) -> Engine:
    """Return the engine of an option ``--on``, for at most ``most`` chunks at the same time."""
    if workers is not None and workers < 1:
        raise UsageError("there must be at least one worker", received=workers)
    kind, given, address = on.partition("=")
    if on == "local":
        from plainfilm.cluster.local import LocalEngine

        return LocalEngine(job, out, workers, most)
    if kind == "ray" and bool(address) == bool(given):
        from plainfilm.cluster.on_ray import RayEngine

        return RayEngine(job, out, workers, address or None, most)
    raise UsageError(
        "there is no such engine",
        received=printable(on),
        remedy="use local, ray (on this machine) or ray=HOST:PORT (a cluster)",
    )

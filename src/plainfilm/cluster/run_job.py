"""Runs a job on the chunks of its output that are not done yet."""

from __future__ import annotations

import random
from contextlib import closing
from statistics import median
from typing import Literal

from plainfilm._progress import Progress, silent
from plainfilm._text import printable
from plainfilm.cluster.drive import Driven, drive
from plainfilm.cluster.job import Engine, Job
from plainfilm.cluster.ledger import Ledger, Share
from plainfilm.cluster.plan import Chunk
from plainfilm.cluster.retry import find_retried
from plainfilm.errors import UsageError

__all__ = ["check_engine", "open_engine", "parse_engine", "run_job"]


def run_job(
    job: Job,
    ledger: Ledger,
    *,
    stage: str,
    on: str = "local",
    workers: int | None = None,
    share: Share | None = None,
    retry: bool = False,
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
    retry
        When no chunk is left, work again on rows with a temporary error.

    Raises
    ------
    UsageError
        If there is no such engine.
    PlainfilmError
        If an error stops the job. Finished chunks are kept.
    """

    def work(stage: str, chunks: list[Chunk], *, again: bool) -> Driven:
        if not chunks:
            return Driven(0, {}, {})
        # Calls that work on one output at the same time begin with different chunks.
        random.shuffle(chunks)
        half = median(chunk.rows for chunk in chunks)
        chunks.sort(key=lambda chunk: chunk.rows < half)  # so that workers end at the same time
        with closing(open_engine(on, job, ledger.store.uri, workers, len(chunks), again)) as engine:
            return drive(engine, chunks, stage=stage, progress=progress, fail=ledger.fail)

    failed = ledger.failed()
    driven = work(stage, ledger.to_do(share), again=False)
    for chunk in ledger.chunks(share):
        if chunk.name in failed and chunk not in driven.failed:
            ledger.clear_failed(chunk)
    if not retry or driven.failed:
        return driven
    return work(f"{stage} again", find_retried(ledger, [*ledger.chunks(share)]), again=True)


def open_engine(
    on: str, job: Job, out: str, workers: int | None, most: int, retry: bool = False
) -> Engine:
    """Return the engine of an option ``--on``.

    ``most`` is the number of chunks, and ``retry`` works again on rows with a temporary error.
    """
    kind, address = parse_engine(on)
    if kind == "local":
        from plainfilm.cluster.local import LocalEngine

        return LocalEngine(job, out, workers, most, retry=retry)
    from plainfilm.cluster.on_ray import RayEngine

    return RayEngine(job, out, workers, address, most, retry=retry)


def check_engine(on: str, workers: int | None) -> None:
    """Raise a UsageError for an unknown engine or number of workers, before files are listed."""
    parse_engine(on)
    if workers is not None and workers < 1:
        raise UsageError(
            "there must be at least one worker",
            received=workers,
            remedy="leave the number out for one per core",
        )


def parse_engine(on: str) -> tuple[Literal["local", "ray"], str | None]:
    """Return the engine that an option ``--on`` names, and the address of a Ray cluster.

    >>> parse_engine("ray=10.0.0.1:6379"), parse_engine("local")
    (('ray', '10.0.0.1:6379'), ('local', None))
    """
    kind, given, address = on.partition("=")
    if on == "local":
        return "local", None
    if kind == "ray" and bool(address) == bool(given):
        return "ray", address or None
    raise UsageError(
        "there is no such engine",
        received=printable(on),
        remedy="use local, ray (on this machine) or ray=HOST:PORT (a cluster)",
    )

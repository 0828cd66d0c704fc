"""Predicts on an archive of any size: `score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm._progress import Progress, silent
from plainfilm.bundle import read_bundle
from plainfilm.cluster.ledger import Ledger, Share
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.run_job import check_engine, run_job
from plainfilm.cluster.scoring_job import ScoringJob, store_bundle

__all__ = ["Scores", "score"]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a call of `score` did, and the state of its output.

    Attributes
    ----------
    out
        Path or URI of the output.
    planned
        Number of images in the archive.
    rows
        Number of images that this call worked on.
    counts
        Number of images without a prediction by reason, and of rejected ones; of the whole archive
        if it is finished, else of this call.
    failed
        Chunks on which every attempt failed, with the problem of the last one.
    finished
        Whether every planned image has its row.
    left_out
        Entries of the archives that were not planned, by reason.
    """

    out: str
    planned: int
    rows: int
    counts: Mapping[str, int]
    failed: Mapping[str, str]
    finished: bool
    left_out: Mapping[str, int]


def score(
    archives: str | Path | Sequence[str | Path],
    bundle: str | Path,
    out: str | Path,
    *,
    on: str = "local",
    workers: int | None = None,
    share: str | None = None,
    retry_errors: bool = False,
    column: str | None = None,
    progress: Progress = silent,
) -> Scores:
    """Predict on the images of an archive with several processes, and write a Parquet data set.

    The images are listed once, in chunks of at most 4,096 images and 2 GiB. A chunk is done when
    its part is written; an interrupted call is continued by the same call. Several calls on
    several machines can work on one output at the same time.

    Parameters
    ----------
    archives
        Folders, prefixes of object stores (``s3://BUCKET/PREFIX``), and lists of URIs (CSV, TSV or
        Parquet).
    bundle
        Path of a bundle or run folder.
    out
        Folder or prefix of an object store for the output.
    on
        What runs the workers: ``local`` (processes on this machine), ``ray`` (Ray on this
        machine), or ``ray=HOST:PORT`` (a Ray cluster that this machine has joined).
    workers
        Number of workers, one for each core by default. Each has a process for decoding.
    share
        Work on one of several equal shares of the chunks, such as ``3/16``.
    retry_errors
        When all images have a row, predict again on those that had a temporary error: that could
        not be reached or read, had changed since they were listed, or on which decoding was
        interrupted.
    column
        Column of the lists with the URIs; by default ``uri``, ``file`` or ``path``.
    progress
        Progress callback.

    Returns
    -------
    scores
        What was done.

    Raises
    ------
    UsageError
        If the output is of other archives or of another bundle.
    SourceError
        If an archive is missing, empty, or cannot be reached. Finished chunks are kept.
    """
    check_engine(on, workers)
    part = None if share is None else Share.parse(share)
    if isinstance(archives, str | Path):
        archives = [archives]
    job, ledger = prepare(archives, bundle, out, column=column, progress=progress)
    driven = run_job(
        job,
        ledger,
        stage="predicting",
        on=on,
        workers=workers,
        share=part,
        retry=retry_errors,
        progress=progress,
    )
    done = None if driven.failed else ledger.finish()
    return Scores(
        ledger.store.uri,
        len(ledger.plan),
        driven.rows,
        driven.counts if done is None else done.counts,
        {chunk.name: problem for chunk, problem in driven.failed.items()},
        done is not None,
        ledger.plan.index.left_out,
    )


def prepare(
    archives: Sequence[str | Path],
    bundle: str | Path,
    out: str | Path,
    *,
    column: str | None = None,
    progress: Progress = silent,
) -> tuple[ScoringJob, Ledger]:
    """Write plan, identity and bundle of an output that has none; return its job and ledger."""
    opened = read_bundle(bundle)
    store = open_store(out)
    plan = make_plan(store, archives, column=column, progress=progress)
    job = ScoringJob(store.uri, opened.id, opened.task.labels)
    ledger = Ledger(store, plan, job.identity(), document=f"{job.name}.json")
    store_bundle(store, opened)
    return job, ledger

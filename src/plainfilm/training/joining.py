"""Trains one rank of a training whose rank 0 is on another machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from plainfilm._progress import Progress, silent
from plainfilm.config import Recipe
from plainfilm.errors import ConfigError
from plainfilm.training.pipeline import DataSource, plan_training, resolve_recipe
from plainfilm.training.ranks import RanksTrainer
from plainfilm.training.trainer import Work
from plainfilm.training.training_images import decode


def join_training(
    data: DataSource,
    *,
    ranks: int,
    rank: int,
    coordinator: str,
    recipe: Recipe | str | Path = "standard",
    settings: Sequence[str] = (),
    seed: int = 0,
    backend: str | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    exclude: str | Path | None = None,
    progress: Progress = silent,
) -> None:
    """Train one rank, together with `train` on the machine of rank 0, which writes the run.

    Images are decoded after those of rank 0, so that machines with a common cache decode them once.
    Nothing is written except to the cache. The connection has no encryption and no password, so
    all machines must be on a network that no one else can use.

    Parameters
    ----------
    ranks, coordinator
        The number of ranks and the address of rank 0, as in its call of `train`.
    rank
        The number of this rank, from 1 to ``ranks`` - 1.
    data, recipe, settings, seed, backend, cache, workers, exclude, progress
        See `train`; data, recipe, settings, seed and exclusions must be those of rank 0.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        See `train`; RunError also if another rank is lost, or trains something else.
    """
    recipe = resolve_recipe(recipe, settings)
    if rank == 0:
        raise ConfigError("rank 0 writes the run", remedy="start it by plainfilm.train")
    trainer = RanksTrainer(recipe, backend, ranks, coordinator, rank)
    plan, manifest, teacher = plan_training(data, recipe, trainer, exclude, seed, ranks)
    recipe = plan.identity.recipe
    with closing(trainer):
        trainer.start(recipe, manifest.task, progress, plan)
        trainer.await_decoding(progress)
        splits = decode(manifest, recipe, cache, workers, progress=progress)
        nowhere = Path()  # only rank 0 writes
        work = Work(recipe, manifest.task, seed, nowhere, *splits, cache, workers, teacher)
        trainer.assist(work, progress)

"""Trains a recipe with several seeds, to show how much a result depends on chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from plainfilm.audit.pipeline import Audit
from plainfilm.data import Manifest
from plainfilm.errors import ConfigError, RunError
from plainfilm.training.pipeline import TrainOptions, train
from plainfilm.training.run import Run


def train_seeds(
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    seeds: int = 5,
    seed: int = 0,
    on_audit: Callable[[Audit], None] | None = None,
    on_run: Callable[[Run], None] | None = None,
    **options: Unpack[TrainOptions],
) -> tuple[Run, ...]:
    """Train a recipe with several seeds, each in a run of its own.

    All runs have the same splits, and images are decoded once. The same call continues an
    interrupted one.

    Parameters
    ----------
    data
        See `plainfilm.train`.
    out
        Folder of the runs ``seed-0``, ``seed-1``, ...
    seeds
        Number of seeds, 2 or more.
    seed
        The first seed.
    on_audit
        Called once, with the quick audit of the data.
    on_run
        Called with each run after it is sealed.
    options
        Further arguments of `plainfilm.train`.

    Returns
    -------
    tuple
        The runs, in the order of their seeds.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        See `plainfilm.train`; RunError also if ``out`` is the folder of a run.
    """
    if seeds < 2:
        raise ConfigError(
            "training with several seeds needs at least two",
            received=seeds,
            remedy="train with one seed by plainfilm.train",
        )
    folder = Path(out)
    if (folder / "plan.json").exists():
        raise RunError(
            f"{folder} is a run of one seed",
            remedy="choose another folder; each seed has a run in it",
        )
    runs = []
    for number in range(seed, seed + seeds):
        run = train(
            data,
            out=folder / f"seed-{number}",
            seed=number,
            on_audit=on_audit if number == seed else None,
            **options,
        )
        runs.append(run)
        if on_run is not None:
            on_run(run)
    return tuple(runs)

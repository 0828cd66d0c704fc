"""The same recipe trained from several seeds: how much of a result is luck of the draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from plainfilm._progress import Progress, silent
from plainfilm.audit.run import Audit
from plainfilm.config import Recipe
from plainfilm.data import Manifest
from plainfilm.errors import ConfigError, RunError
from plainfilm.training.run import Run, train

__all__ = ["train_seeds"]


def train_seeds(
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    seeds: int = 5,
    recipe: Recipe | str | Path = "standard",
    settings: Sequence[str] = (),
    seed: int = 0,
    backend: str | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    exclude: str | Path | None = None,
    on_audit: Callable[[Audit], None] | None = None,
    on_run: Callable[[Run], None] | None = None,
    progress: Progress = silent,
) -> tuple[Run, ...]:
    """Train a recipe from several seeds, each into a run of its own.

    The splits are the same for all, and images are decoded once. The same call continues an
    interrupted one.

    Parameters
    ----------
    data, recipe, settings, backend, cache, workers, exclude, on_audit
        As for `plainfilm.train`; the audit is told once.
    out
        Folder of the runs ``seed-0``, ``seed-1``, ...
    seeds
        How many, 2 or more.
    seed
        The first one.
    on_run
        Told each run when it is sealed.

    Returns
    -------
    tuple
        The runs, in the order of their seeds.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        As `plainfilm.train` does; RunError also if ``out`` is a run itself.
    """
    if seeds < 2:
        raise ConfigError(
            "several seeds are two at least",
            received=seeds,
            remedy="train one with plainfilm.train",
        )
    folder = Path(out)
    if (folder / "plan.json").exists():
        raise RunError(
            f"{folder} is a run of one seed",
            remedy="choose another folder; each seed gets a run below it",
        )
    runs = []
    for number in range(seed, seed + seeds):
        run = train(
            data,
            out=folder / f"seed-{number}",
            recipe=recipe,
            settings=settings,
            seed=number,
            backend=backend,
            cache=cache,
            workers=workers,
            exclude=exclude,
            on_audit=on_audit if number == seed else None,
            progress=progress,
        )
        runs.append(run)
        if on_run is not None:
            on_run(run)
    return tuple(runs)

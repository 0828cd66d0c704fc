"""Trains a recipe several times: with several seeds, or on the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from plainfilm._files import check_output_folder
from plainfilm._progress import Progress
from plainfilm.audit.pipeline import Audit
from plainfilm.config import PROBE, Recipe
from plainfilm.data import Folds, make_folds
from plainfilm.errors import ConfigError, RunError
from plainfilm.training.lock import FolderLock
from plainfilm.training.pipeline import DataSource, list_images, resolve_recipe, train
from plainfilm.training.run import Run

OnAudit = Callable[[Audit], None] | None
OnRun = Callable[[Run], None] | None


class TrainOptions(TypedDict, total=False):
    """The arguments of `train` that several trainings have in common."""

    recipe: Recipe | str | Path
    settings: Sequence[str]
    backend: str | None
    ranks: int
    cache: str | Path | None
    workers: int | None
    exclude: str | Path | None
    progress: Progress


def train_seeds(
    data: DataSource,
    *,
    out: str | Path,
    seeds: int = 5,
    seed: int = 0,
    on_audit: OnAudit = None,
    on_run: OnRun = None,
    **options: Unpack[TrainOptions],
) -> tuple[Run, ...]:
    """Train a recipe with several seeds, to show how much a result depends on chance.

    Each seed has a run of its own. All have the same splits, and images are decoded once. The same
    call continues an interrupted one.

    Parameters
    ----------
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
    data, options
        See `train`.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        See `train`; RunError also if ``out`` is the folder of a run.
    """
    if seeds < 2:
        raise ConfigError(
            "training with several seeds needs at least two",
            received=seeds,
            remedy="train with one seed by plainfilm.train",
        )
    recipe = resolve_recipe(options.get("recipe", "standard"), options.pop("settings", ()))
    if recipe.network.name == PROBE and recipe.fit.epochs == 1:
        raise ConfigError(
            "the seeds of a probe differ only in its augmented copies, and there are none",
            received="fit.epochs = 1",
            remedy="set fit.epochs to 2 or more, or train with one seed",
        )
    options["recipe"] = recipe
    numbers = range(seed, seed + seeds)
    trainings = [(f"seed-{number}", data, number) for number in numbers]
    return _train_each(Path(out), trainings, on_audit, on_run, options)


@dataclass(frozen=True, slots=True)
class FoldRuns:
    """The trainings of a cross-validation.

    Attributes
    ----------
    folder
        The folder of the runs ``fold-1``, ``fold-2``, ...
    folds
        The data set in folds.
    runs
        One run for each fold; its test set is the fold.
    """

    folder: Path
    folds: Folds
    runs: tuple[Run, ...]


def train_folds(
    data: DataSource,
    *,
    out: str | Path,
    folds: int = 5,
    seed: int = 0,
    on_audit: OnAudit = None,
    on_run: OnRun = None,
    **options: Unpack[TrainOptions],
) -> FoldRuns:
    """Train a recipe once for each fold of a data set, on the other folds.

    Each fold has a run of its own, whose test set is the fold. Its validation set is taken from
    the other folds, so that epoch, temperature and thresholds are chosen without the fold. A test
    set of the data is in no fold. The same call continues an interrupted one.

    Parameters
    ----------
    out
        Folder of the runs ``fold-1``, ``fold-2``, ...
    folds
        Number of folds, 2 or more, see `plainfilm.data.make_folds`.
    seed
        Seed of each training. Folds do not depend on it.
    on_audit
        Called once, with the quick audit of the data.
    on_run
        Called with each run after it is sealed.
    data, options
        See `train`.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        See `train` and `plainfilm.data.make_folds`; RunError also if ``out`` is the folder of a
        run.
    """
    recipe = resolve_recipe(options.get("recipe", "standard"), options.pop("settings", ()))
    if recipe.distil is not None:
        raise ConfigError(
            "a cross-validation has no teacher: it would have seen the images of each fold",
            received=recipe.name,
            remedy="train with several seeds, or cross-validate another recipe",
        )
    divided = make_folds(list_images(data, options.pop("exclude", None)), folds)
    options["recipe"] = recipe
    trainings = [
        (f"fold-{fold}", divided.split(fold, recipe.data.validation), seed)
        for fold in range(1, folds + 1)
    ]
    folder = Path(out)
    runs = _train_each(folder, trainings, on_audit, on_run, options)
    return FoldRuns(folder, divided, runs)


def _train_each(
    folder: Path,
    trainings: Sequence[tuple[str, DataSource, int]],
    on_audit: OnAudit,
    on_run: OnRun,
    options: TrainOptions,
) -> tuple[Run, ...]:
    """Train into a folder for each name, data and seed."""
    if (folder / "plan.json").exists():
        raise RunError(
            f"{folder} is the run of one training",
            remedy="choose another folder; each training has a run in it",
        )
    if not (folder / trainings[0][0]).exists():
        check_output_folder(folder)
    runs: list[Run] = []
    with FolderLock(folder):
        for name, data, seed in trainings:
            notify = None if runs else on_audit
            runs.append(train(data, out=folder / name, seed=seed, on_audit=notify, **options))
            if on_run is not None:
                on_run(runs[-1])
    return tuple(runs)

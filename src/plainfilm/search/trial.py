"""Runs one trial: trains its recipe on each part of the question, and scores the models."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm._progress import Progress, silent
from plainfilm.config import Recipe
from plainfilm.data import Manifest
from plainfilm.errors import MissingExtraError, PlainfilmError, StorageError
from plainfilm.runtime import Predictor
from plainfilm.search.document import (
    SearchDocument,
    SearchPlan,
    Stage,
    Training,
    Trial,
    TrialResult,
)
from plainfilm.search.questions import Part, fold_part, group_part, groups_of
from plainfilm.search.scoring import Scores, load_images, score

if TYPE_CHECKING:
    from plainfilm.training import Run

SEARCH, DATA, TRIAL, RESULT = "search.json", "data.parquet", "trial.json", "result.json"
CONFIRMING_SEEDS = 3
"""Least number of fresh seeds with which the best trials are trained again."""

_FIRST_FRESH = 1000  # of the fresh seeds, after the first seed of the search


@dataclass(frozen=True, slots=True)
class Options:
    """Where decoded images are, and the number of decoding processes; see `plainfilm.train`."""

    cache: str | Path | None = None
    workers: int | None = None


def run_trial(
    search: Path,
    folder: Path,
    options: Options = Options(),
    progress: Progress = silent,
    problem: str | None = None,
) -> TrialResult:
    """Run the trial that ``trial.json`` in a folder describes, and write ``result.json``.

    A trial that was interrupted is continued. Everything is read from the folder of the search, so
    that any process can run it. A recipe that cannot be trained gives a result with the problem, as
    does a ``problem`` that is known before.

    Raises
    ------
    StorageError, MissingExtraError
        If the reason is not the recipe.
    """
    trial = Trial.read(folder / TRIAL)
    plan = SearchDocument.read(search / SEARCH).plan
    result = TrialResult(trial.number, trial.base, trial.values, problem=problem)
    try:
        if problem is None:
            trainings = [*_run_parts(search, folder, plan, trial, options, progress)]
            result = replace(result, trainings=tuple(trainings))
            if not math.isfinite(result.mean(plan.objective)):
                problem = "there are too few test images: no kind of disturbance has both classes"
                result = replace(result, problem=problem)
    except (StorageError, MissingExtraError):
        raise
    except PlainfilmError as error:
        received = "" if error.received is None else f" ({error.received})"
        result = replace(result, problem=f"{error.problem}{received}")
    result.write(folder / RESULT)
    return result


def _run_parts(
    search: Path,
    folder: Path,
    plan: SearchPlan,
    trial: Trial,
    options: Options,
    progress: Progress,
) -> Iterator[Training]:
    """Yield the trainings of a trial with their scores."""
    manifest = Manifest.read(search / DATA)
    groups = groups_of(manifest) if plan.shift is not None else []
    share = trial.recipe.data.validation
    for name, division, seed in trainings_of(plan, trial.stage, groups):
        if plan.shift is not None:
            part = group_part(manifest, name, division, validation=share)
            own = f"group-{groups.index(name) + 1}-seed-{seed}"
        else:
            fold = int(name.removeprefix("fold "))
            part = fold_part(manifest, plan.folds, fold, division, validation=share)
            own = f"fold-{fold}-seed-{seed}"
        run = _train(folder / own, part, seed, plan, trial.recipe, options, progress)
        yield Training(
            run=own,
            part=name,
            division=division,
            seed=seed,
            weight=float(part.pairs) if len(groups) > 2 else 1.0,
            scores=_score(run, part, options),
            seconds=float(run.bundle.provenance.training_seconds or 0.0),
            parameters=run.bundle.provenance.parameters,
        )


def trainings_of(
    plan: SearchPlan, stage: Stage, groups: Sequence[str]
) -> Iterator[tuple[str, int, int]]:
    """Yield the part, the division and the seed of each training of a trial.

    With folds, each seed tests on the next fold. In a confirmation each seed is a fresh one and has
    a division of its own.
    """
    fresh = stage == "confirmation"
    for number in range(max(CONFIRMING_SEEDS, plan.seeds) if fresh else plan.seeds):
        seed = plan.seed + number + (_FIRST_FRESH if fresh else 0)
        division = 1 + number if fresh else 0
        names = groups if plan.shift is not None else [f"fold {number % plan.folds + 1}"]
        yield from ((name, division, seed) for name in names)


def _train(
    folder: Path,
    part: Part,
    seed: int,
    plan: SearchPlan,
    recipe: Recipe,
    options: Options,
    progress: Progress,
) -> Run:
    from plainfilm.training import train  # prepares the import of Keras

    try:
        return train(
            part.training,
            out=folder,
            recipe=recipe,
            seed=seed,
            backend=plan.backend,
            cache=options.cache,
            workers=options.workers,
            progress=progress,
        )
    finally:
        # Frameworks hold the network of each training.
        if keras := sys.modules.get("keras"):
            keras.utils.clear_session()
            gc.collect()


def _score(run: Run, part: Part, options: Options) -> Scores:
    spec = run.bundle.pixels
    images = load_images(part.test, spec, cache=options.cache, workers=options.workers)
    return score(Predictor(run.bundle), images)

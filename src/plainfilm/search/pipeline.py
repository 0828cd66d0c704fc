"""Searches for a recipe: proposes trials, runs them, and chooses among the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm import _files
from plainfilm._json import to_json
from plainfilm._optional import require
from plainfilm._progress import Progress, silent
from plainfilm.bundle import read_bundle
from plainfilm.cluster.run_job import parse_engine
from plainfilm.data import Manifest, make_splits
from plainfilm.errors import ConfigError, RunError
from plainfilm.search.choose import choose, to_confirm
from plainfilm.search.document import (
    SCORE_NAMES,
    Choice,
    HeldOut,
    Origin,
    SearchDocument,
    SearchPlan,
    Trial,
    held_out_words,
)
from plainfilm.search.folder import SearchFolder
from plainfilm.search.on_ray import work_on_ray
from plainfilm.search.parallel import work_in_processes
from plainfilm.search.questions import with_groups
from plainfilm.search.space import Space, make_space
from plainfilm.search.toml import recipe_to_toml
from plainfilm.search.trial import DATA, SEARCH, Options
from plainfilm.search.work import OnTrial, work
from plainfilm.training.pipeline import DataSource, choose_trainer, list_images
from plainfilm.training.plan import differences

BEST_RECIPE = "best.toml"


def search(
    data: DataSource,
    *,
    out: str | Path,
    recipe: str | Path | Sequence[str | Path] = "standard",
    over: Sequence[str] = (),
    settings: Sequence[str] = (),
    trials: int = 20,
    seeds: int = 2,
    folds: int = 5,
    shift: str | None = None,
    seed: int = 0,
    parallel: int | None = None,
    on: str = "local",
    backend: str | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    on_trial: OnTrial = None,
    progress: Progress = silent,
) -> SearchDocument:
    """Search for the best settings of one or more recipes.

    The test set is removed first. If the data have none, it is the one that `plainfilm.train` draws
    from them. The same call continues an interrupted search; a larger number of trials extends it.
    Several processes that make the same call share its trials.

    Parameters
    ----------
    data
        A manifest, or the sources that `plainfilm.load_dataset` takes.
    out
        Folder of the search.
    recipe
        Name or file of a recipe, or several.
    over
        Settings that vary: ``[RECIPE:]KEY=VALUES``, see `parse_setting`.
    settings
        ``key=value`` overrides of all trials.
    trials
        Number of trials. The first is the unchanged recipe.
    seeds
        Number of trainings of a trial, each with another seed and tested on another fold.
    folds
        Number of folds by patient.
    shift
        Column of the data set, or ``styles``: models are tested on images of one group, trained on
        the others, for each group in turn.
    seed
        Seed of the proposals, and the first seed of the trainings.
    parallel
        Number of processes that run trials: one by default; in a Ray cluster, one on each node.
    on
        Where trials run: ``local``, ``ray`` (Ray on this machine), or ``ray=HOST:PORT`` (a Ray
        cluster that this machine has joined).
    backend, cache, workers, progress
        See `plainfilm.train`.
    on_trial
        Called with the stage and the result of each trial.

    Returns
    -------
    document
        What ``search.json`` holds. The recipe that was chosen is in ``best.toml``.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        See `plainfilm.train`; RunError also if ``out`` is the folder of another search, or no trial
        succeeds.
    """
    require("optuna", "search")
    names = [recipe] if isinstance(recipe, str | Path) else recipe
    space = make_space([*map(str, names)], settings, over)
    _check_numbers(
        trials=trials, seeds=seeds, folds=folds, parallel=1 if parallel is None else parallel
    )
    engine, address = parse_engine(on)
    for own in space.extremes():
        choose_trainer(own, backend)
    folder, options = SearchFolder(Path(out)), Options(cache, workers)
    manifest, held_out = without_test(list_images(data, None), space)
    if shift is not None:
        manifest = with_groups(manifest, shift, cache=cache, workers=workers)
    plan = _plan(manifest, held_out, space, shift, folds, seeds, seed, backend)
    _check_options(space, manifest, backend, progress)
    _files.make_folder(folder.root)
    with folder.turn():
        _claim_folder(folder.root, plan, manifest)
        folder.try_again()
    if engine == "ray":
        work_on_ray(folder.root, trials, options, address, parallel, on_trial, progress)
    elif parallel is not None and parallel > 1:
        work_in_processes(folder.root, trials, options, parallel, on_trial, progress)
    else:
        work(folder.root, trials, options, on_trial=on_trial, progress=progress)
    return finish(folder.root)


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < (least := 2 if name == "folds" else 1):
            raise ConfigError(f"{name}= must be at least {least}", received=value)


def without_test(manifest: Manifest, space: Space) -> tuple[Manifest, HeldOut]:
    """Return the images outside the test set, without splits, and the numbers of the test set."""
    origin: Origin = "drawn"
    if manifest.is_split:
        origin = "official" if "test" in manifest.splits else "none"
    else:
        if "test" in manifest.records.officials:
            origin = "official"
        shares = space.build(space.recipes[0], {}).data
        manifest = make_splits(manifest, validation=shares.validation, test=shares.test)
    records = manifest.records.take(manifest.records.order())
    inside = records.splits == "test"
    test = replace(manifest, records=records.where(inside))
    kept = records.where(~inside).replace(split="", official="")
    patients = len(np.unique(test.patients))
    held_out = HeldOut(len(test), patients, test.hash if len(test) else "", origin)
    return replace(manifest, records=kept), held_out


def _plan(
    manifest: Manifest,
    test: HeldOut,
    space: Space,
    shift: str | None,
    folds: int,
    seeds: int,
    seed: int,
    backend: str | None,
) -> SearchPlan:
    return SearchPlan(
        dataset=manifest.name,
        manifest=manifest.hash,
        images=len(manifest),
        patients=len(np.unique(manifest.patients)),
        test=test,
        recipes={name: space.build(name, {}) for name in space.recipes},
        fixed=space.fixed,
        over=space.over,
        shift=shift,
        folds=folds,
        # By docs/explanation/choosing-recipes.md, these decide; they are not proven.
        objective="by_kind" if shift is None else "mixed",
        seeds=seeds,
        seed=seed,
        backend=backend,
    )


def _check_options(
    space: Space, manifest: Manifest, backend: str | None, progress: Progress
) -> None:
    """Build the network of each extreme value of its options, to report a wrong one at once."""
    seen: list[object] = []
    for recipe in space.extremes():
        key = recipe.network, recipe.input, recipe.fit.loss
        if key not in seen:
            seen.append(key)
            choose_trainer(recipe, backend).start(recipe, manifest.task, progress)


def _claim_folder(root: Path, plan: SearchPlan, manifest: Manifest) -> None:
    """Write the plan and the images, unless the same plan is there."""
    path = root / SEARCH
    if path.exists():
        before = SearchDocument.read(path).plan
        own = replace(plan, dataset=before.dataset)  # the folder may have another name now
        if differing := differences(*map(_plain, (before, own))):
            raise RunError(
                f"{root} holds another search",
                received="; ".join(differing[:4]),
                remedy="choose another folder with out=, or repeat the settings of that search to "
                "continue it",
            )
    else:
        _files.check_output_folder(root, DATA)
    manifest.write(root / DATA)  # the images may have been moved
    if not path.exists():
        SearchDocument(plan).write(path)


def _plain(plan: SearchPlan) -> Any:
    """Return a plan as plain values, with the settings that vary by name and in words."""
    over = {own.name: own.describe() for own in plan.over}
    return {**to_json(plan, complete=True), "over": over}


def finish(root: Path) -> SearchDocument:
    """Choose among the best trials; write ``search.json`` and the recipe that was chosen.

    Raises
    ------
    RunError
        If no trial has succeeded.
    """
    folder, document = SearchFolder(root), SearchDocument.read(root / SEARCH)
    objective = document.plan.objective
    trials = folder.results("search")
    numbers = {one.number for one in to_confirm(trials, objective)}
    again = [one for one in folder.results("confirmation") if one.number in numbers]
    if not any(math.isfinite(one.mean(objective)) for one in again):
        problems = [one.problem for one in (*again, *trials) if one.problem]
        raise RunError(
            "no trial has succeeded",
            received=problems[0] if problems else None,
            remedy="train one recipe with plainfilm train to find the reason",
        )
    choice = choose(trials, again, objective)
    chosen = next(own for own in folder.trials("search") if own.number == choice.trial)
    best = next(one for one in trials if one.number == choice.trial)
    run = folder.folder_of(chosen) / best.trainings[0].run
    document = replace(
        document,
        trials=tuple(trials),
        confirmations=tuple(again),
        choice=choice,
        synthetic=bool(read_bundle(run / "bundle").provenance.synthetic_images),
    )
    with folder.turn():
        _write_recipe(root / BEST_RECIPE, chosen, document, choice)
        document.write(root / SEARCH)
    return document


def _write_recipe(path: Path, trial: Trial, document: SearchDocument, choice: Choice) -> None:
    plan = document.plan
    comments = (
        f"Found by plainfilm search: trial {choice.trial} of {len(document.trials)}.",
        f"AUROC ({SCORE_NAMES[plan.objective]}) with fresh seeds: {choice.fresh_score:.4f} "
        f"(sd {choice.fresh_spread:.4f}); in the search: {choice.search_score:.4f}.",
        f"Searched over: {'; '.join(own.name for own in plan.over) or 'recipes'}.",
        f"Test set: {held_out_words(plan)}.",
    )
    _files.write_text(path, recipe_to_toml(trial.recipe, comments))

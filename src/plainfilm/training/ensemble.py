"""Seals several trainings of one recipe as one bundle that predicts the mean of their logits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm._json import to_json
from plainfilm._progress import Progress, silent
from plainfilm.data import fill_cache
from plainfilm.errors import RunError
from plainfilm.metrics import apply_temperature
from plainfilm.training.checked_bundle import Expected, prevalences
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.members import Members, Scores
from plainfilm.training.plan import Plan, claim_folder
from plainfilm.training.run import Run, open_run, write_data
from plainfilm.training.several import FoldRuns
from plainfilm.training.thresholds import (
    DRAWS,
    describe_images,
    disturbed_images,
    lock_on,
    lock_rejection,
)
from plainfilm.training.training_images import SplitImages

_SHARED = ("audit.json", "augmented.npz", "fingerprint.json", "left_out.csv")
_CHUNK = 256  # images whose disturbed copies are in memory at once


def seal_ensemble(
    runs: Sequence[Run],
    folder: str | Path,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Run:
    """Seal two or more finished runs that differ only in their seed as one run with one bundle.

    Temperature, operating points and rejection are selected again, on the validation images of
    all members. A folder with the same ensemble is left unchanged. A RunError is raised if the runs
    differ in more than the seed, or the folder has something else in it.
    """
    folder, plan, manifest = Path(folder), _plan_of_seeds(runs), runs[0].manifest
    if _is_sealed(folder, plan):
        return open_run(folder)
    _copy_shared(runs[0].folder, folder, _SHARED)
    manifest.write(folder / "manifest.parquet")
    recipe, records = plan.identity.recipe, manifest.select("validation")
    images = fill_cache(records, recipe.input, folder=cache, workers=workers, progress=progress)
    held = SplitImages(records.drop(images.left_out), images).to_validation_set()
    progress("sealing", 0, 1)
    members = Members.of([run.bundle for run in runs], recipe)
    logits, novelty = members.score(disturbed_images(held.images))
    locked, count = lock_on(logits, held.labels, held.patients, members.task, recipe), len(held)
    own = None if novelty is None else novelty[:count]
    bundle = members.seal(
        folder / "bundle",
        locked,
        None if novelty is None else lock_rejection(novelty, count),
        Expected(held.images, locked.probabilities[:count], own),
        provenance=replace(members.provenance(plan.identity), locked_on=describe_images(count)),
        known=runs[0].bundle.read_training_images(),  # all members have the same images
    )
    progress("sealing", 1, 1)
    return Run(folder, plan, manifest, bundle)


def seal_fold_ensemble(
    trained: FoldRuns,
    folder: str | Path,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Run:
    """Seal the models of a cross-validation as one run with one bundle.

    All but one of the members were trained on any image of the folds, so that none of these images
    can evaluate the ensemble. Temperature, operating points and rejection are selected on the
    predictions of the member that was not trained on the image. The test set of the run is that of
    the data set, if there is one. A folder with the same ensemble is left unchanged.
    """
    folder, plan = Path(folder), _plan_of_folds(trained)
    if _is_sealed(folder, plan):
        return open_run(folder)
    recipe, records = plan.identity.recipe, trained.folds.manifest
    images = fill_cache(records, recipe.input, folder=cache, workers=workers, progress=progress)
    data = SplitImages(records.drop(images.left_out), images)
    manifest = trained.folds.whole.drop(images.left_out)
    _copy_shared(trained.runs[0].folder, folder, ("audit.json", "augmented.npz"))
    write_data(folder, manifest, data)
    manifest.write(folder / "manifest.parquet")
    progress("sealing", 0, 1)
    members = Members.of([run.bundle for run in trained.runs], recipe)
    logits, novelty = _score_held_out(members, trained, data)
    labels, patients = data.records.label_array(), [str(key) for key in data.records.patients]
    locked, count = lock_on(logits, labels, patients, members.task, recipe), len(labels)
    some = data.gather(np.arange(min(count, _CHUNK)))
    own, own_novelty = members.score(some)
    probabilities = apply_temperature(own, locked.temperature.value, kind=members.task.kind)
    bundle = members.seal(
        folder / "bundle",
        locked,
        None if novelty is None else lock_rejection(novelty, count),
        Expected(some, probabilities, own_novelty),
        provenance=replace(
            members.provenance(plan.identity),
            folds=trained.folds.count,
            train_images=count,
            validation_images=None,
            training_prevalence=prevalences(labels, members.task),
            locked_on=describe_images(count, "out-of-fold image"),
        ),
        known=collect_known_images(data),
    )
    progress("sealing", 1, 1)
    return Run(folder, plan, manifest, bundle)


def _is_sealed(folder: Path, plan: Plan) -> bool:
    """Claim a folder for an ensemble; return whether it is finished."""
    claim_folder(folder, plan)
    return (folder / "bundle" / "SHA256SUMS").exists()


def _copy_shared(source: Path, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _score_held_out(members: Members, trained: FoldRuns, data: SplitImages) -> Scores:
    """Return the scores of the disturbed images, each by the member that was not trained on it."""
    of = dict(zip(trained.folds.manifest.ids.tolist(), trained.folds.numbers, strict=True))
    numbers = np.array([of[name] for name in data.records.ids.tolist()])
    logits = np.empty((1 + DRAWS, len(numbers), len(members.task.labels)))
    novelty = None if members.scales is None else np.empty((1 + DRAWS, len(numbers)))
    for fold in range(1, trained.folds.count + 1):
        rows = np.flatnonzero(numbers == fold)
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            own, scores = members.score(disturbed_images(data.gather(some)), only=fold - 1)
            logits[:, some] = own.reshape(1 + DRAWS, len(some), -1)
            if novelty is not None and scores is not None:
                novelty[:, some] = scores.reshape(1 + DRAWS, len(some))
    flat = logits.reshape(-1, logits.shape[2])
    return flat, None if novelty is None else novelty.reshape(-1)


def _plan_of_seeds(runs: Sequence[Run]) -> Plan:
    """Return the plan of the ensemble: that of a member, with the seeds of all."""
    seeds = [run.plan.identity.seed for run in runs]
    plan = _plan(runs, "seed")
    numbers = tuple(seed for seed in seeds if isinstance(seed, int))
    if len(set(numbers)) < len(runs):
        raise RunError("the runs of an ensemble must have different seeds", received=seeds)
    return replace(plan, identity=replace(plan.identity, seed=numbers))


def _plan_of_folds(trained: FoldRuns) -> Plan:
    """Return the plan of the ensemble: that of a member, with the images of all folds."""
    plan, whole = _plan(trained.runs, "manifest"), trained.folds.whole
    identity = replace(plan.identity, manifest=whole.hash)
    return replace(plan, identity=identity, dataset=whole.describe())


def _plan(runs: Sequence[Run], field: str) -> Plan:
    """Return the plan of the first run with the members; all runs may only differ in a field."""
    if len(runs) < 2:
        raise RunError("an ensemble needs at least two runs", received=len(runs))
    first = runs[0].plan
    expected = _without(first, field)
    for run in runs:
        if _without(run.plan, field) != expected:
            raise RunError(
                f"the runs of an ensemble may only differ in their {field}",
                received=f"{run.folder} was made with other settings or data",
            )
    members = tuple(run.bundle.id for run in runs)
    return replace(first, identity=replace(first.identity, members=members))


def _without(plan: Plan, field: str) -> dict[str, Any]:
    values = to_json(plan.identity, complete=True)
    return {name: value for name, value in values.items() if name != field}

"""Seals several trainings of one recipe as one bundle that predicts the mean of their logits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm import __version__
from plainfilm._json import to_json
from plainfilm._optional import require
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle, Provenance
from plainfilm.data import fill_cache
from plainfilm.errors import RunError
from plainfilm.models.merge import merge_graphs
from plainfilm.runtime import Predictor
from plainfilm.training.backend import use_backend
from plainfilm.training.networks import head_of, one_logit_per_label
from plainfilm.training.plan import Plan, claim_folder
from plainfilm.training.run import Run, open_run
from plainfilm.training.training_images import SplitImages

_SHARED = ("audit.json", "augmented.npz", "fingerprint.json", "left_out.csv")


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
    folder = Path(folder)
    plan = _plan(runs)
    claim_folder(folder, plan)
    if (folder / "bundle" / "SHA256SUMS").exists():
        return open_run(folder)
    use_backend(plan.identity.backend)
    from plainfilm.training.seal import write_checked_bundle
    from plainfilm.training.thresholds import disturbed_images, lock_on

    bundles = [run.bundle for run in runs]
    recipe, task, manifest = plan.identity.recipe, bundles[0].task, runs[0].manifest
    for name in _SHARED:
        if (runs[0].folder / name).is_file():
            shutil.copyfile(runs[0].folder / name, folder / name)
    manifest.write(folder / "manifest.parquet")

    records = manifest.select("validation")
    images = fill_cache(records, recipe.input, folder=cache, workers=workers, progress=progress)
    validation = SplitImages(records.drop(images.left_out), images).to_validation_set()
    progress("sealing", 0, 1)
    head = head_of(task, recipe.fit.loss)
    disturbed = disturbed_images(validation.images)
    members = [Predictor(bundle) for bundle in bundles]
    logits = np.mean([member.logits(disturbed).astype(np.float64) for member in members], axis=0)
    locked = lock_on(one_logit_per_label(logits, task, head), validation, task, recipe)
    scales = _novelty_scales(bundles)
    novelty = None
    if scales is not None:
        parts = [member.probabilities_and_novelty(disturbed)[1] for member in members]
        pairs = zip(parts, scales, strict=True)
        novelty = np.mean([part / scale for part, scale in pairs if part is not None], axis=0)
    graphs = [bundle.graph.read_bytes() for bundle in bundles]
    bundle = write_checked_bundle(
        folder / "bundle",
        recipe,
        task,
        validation,
        locked,
        novelty,
        provenance=_provenance(bundles, plan),
        has_activation_map=all(bundle.has_activation_map for bundle in bundles),
        graph=merge_graphs(graphs, task, head, locked.temperature.value, scales),
        weights=_weights(bundles),
        known=bundles[0].read_training_images(),  # all members have the same images
    )
    progress("sealing", 1, 1)
    return Run(folder, plan, manifest, bundle)


def _plan(runs: Sequence[Run]) -> Plan:
    """Return the plan of the ensemble: that of a member, with the seeds of all."""
    if len(runs) < 2:
        raise RunError("an ensemble needs at least two runs", received=len(runs))
    first = runs[0].plan
    seeds = [run.plan.identity.seed for run in runs]
    for run in runs:
        if _without_seed(run.plan) != _without_seed(first):
            raise RunError(
                "the runs of an ensemble may only differ in their seed",
                received=f"{run.folder} was made with other settings or data",
            )
    numbers = [seed for seed in seeds if isinstance(seed, int)]
    if len(set(numbers)) < len(runs):
        raise RunError("the runs of an ensemble must have different seeds", received=seeds)
    members = tuple(run.bundle.id for run in runs)
    return replace(first, identity=replace(first.identity, seed=tuple(numbers), members=members))


def _without_seed(plan: Plan) -> Any:
    return to_json(replace(plan.identity, seed=0), complete=True)


def _novelty_scales(bundles: Sequence[Bundle]) -> list[float] | None:
    """Return the thresholds that the members' novelty is divided by, None if one has none."""
    scales = [bundle.rejection.threshold for bundle in bundles if bundle.rejection is not None]
    return scales if len(scales) == len(bundles) else None


def _weights(bundles: Sequence[Bundle]) -> bytes:
    """Return all members' weights as one safetensors file; names begin with the member's number."""
    safetensors = require("safetensors.numpy", "train")
    tensors = {
        f"m{number}/{name}": array
        for number, bundle in enumerate(bundles)
        for name, array in safetensors.load(bundle.weights.read_bytes()).items()
    }
    data: bytes = safetensors.save(tensors)
    return data


def _provenance(bundles: Sequence[Bundle], plan: Plan) -> Provenance:
    origins = [bundle.provenance for bundle in bundles]
    return replace(
        origins[0],
        plainfilm=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=plan.identity.seed,
        members=plan.identity.members,
        parameters=sum(origin.parameters or 0 for origin in origins),
        epoch=None,
        training_seconds=round(sum(origin.training_seconds or 0 for origin in origins), 1),
    )

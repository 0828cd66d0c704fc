"""Seal several trainings of one recipe as one bundle, whose answer is the mean of theirs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm import __version__, _files
from plainfilm._optional import require
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle, read_bundle, write_bundle
from plainfilm.config import Recipe
from plainfilm.data import fill_cache
from plainfilm.errors import RunError
from plainfilm.models.merge import merge_graphs
from plainfilm.runtime import Predictor
from plainfilm.training.backend import use_backend
from plainfilm.training.networks import head_of, one_logit_per_label
from plainfilm.training.plan import claim_folder
from plainfilm.training.run import TRAINED_ON, Run, open_run
from plainfilm.training.seal import Held, check_sealed, chosen_by
from plainfilm.training.thresholds import disturbed_images, lock_rejection, lock_thresholds

__all__ = ["seal_ensemble"]

_SAME = ("audit.json", "augmented.npz", "fingerprint.json", "left_out.csv")


def seal_ensemble(
    runs: Sequence[Run],
    folder: str | Path,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Run:
    """Seal finished runs that differ in their seed alone as one run with one bundle.

    Temperature, operating points and rejection are chosen anew, on the validation images that the
    members share. A folder that holds this very ensemble is left as it is.

    Parameters
    ----------
    runs
        Two or more.
    folder
        New, empty, or of this very ensemble.
    cache, workers
        As for `plainfilm.train`.

    Raises
    ------
    RunError
        If the runs differ in more than the seed, or the folder holds something else.
    """
    folder = Path(folder)
    plan = _plan(runs)
    claim_folder(folder, plan)
    if (folder / "bundle" / "SHA256SUMS").exists():
        return open_run(folder)
    use_backend(plan["identity"]["backend"])
    first = runs[0]
    recipe = Recipe.from_json(first.bundle.provenance["recipe"])
    task, manifest = first.bundle.task, first.manifest
    for name in _SAME:
        if (first.folder / name).is_file():
            shutil.copyfile(first.folder / name, folder / name)
    manifest.write(folder / "manifest.parquet")
    seen_before = {
        line for run in runs for line in (run.folder / TRAINED_ON).read_text("ascii").split()
    }
    _files.write_text(folder / TRAINED_ON, "".join(f"{line}\n" for line in sorted(seen_before)))

    validation = manifest.select("validation")
    images = fill_cache(validation, recipe.input, folder=cache, workers=workers, progress=progress)
    validation = validation.drop(images.left_out)
    held = Held(
        images.gather(images.positions(validation.ids)),
        validation.label_array(),
        [str(patient) for patient in validation.patients],
    )
    progress("sealing", 0, 1)
    head = head_of(task, recipe.fit.loss)
    seen, (labels, patients) = disturbed_images(held.images), held.repeated
    members = [Predictor(run.bundle) for run in runs]
    logits = np.mean([member.logits(seen).astype(np.float64) for member in members], axis=0)
    settled = lock_thresholds(
        one_logit_per_label(logits, task, head),
        labels,
        patients,
        task,
        balance=recipe.fit.balance == "weights",
        points=recipe.points,
    )
    scales = _scales(runs)
    novelty = np.zeros(len(seen))
    if scales is not None:
        parts = [member.probabilities_and_novelty(seen)[1] for member in members]
        pairs = zip(parts, scales, strict=True)
        novelty = np.mean([part / scale for part, scale in pairs if part is not None], axis=0)
    graphs = [run.bundle.graph.read_bytes() for run in runs]
    bundle = write_bundle(
        folder / "bundle",
        task=task,
        pixels=recipe.input,
        temperature=settled.temperature.value,
        points=settled.points,
        graph=merge_graphs(graphs, task, head, settled.temperature.value, scales),
        has_activation_map=all(run.bundle.has_activation_map for run in runs),
        weights=_weights([run.bundle for run in runs]),
        provenance={**_provenance(runs, plan), **chosen_by(settled, held, recipe, task)},
        rejection=None if scales is None else lock_rejection(novelty, len(held.images)),
        indeterminate=settled.bands,
    )
    check_sealed(bundle, held.images, settled.probabilities, novelty)
    progress("sealing", 1, 1)
    return Run(folder, plan, manifest, read_bundle(folder / "bundle"))


def _plan(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the plan of the whole: that of any member, with all their seeds."""
    if len(runs) < 2:
        raise RunError("an ensemble needs two runs at least", received=len(runs))
    plans = [run.plan["identity"] for run in runs]
    first = {key: value for key, value in plans[0].items() if key != "seed"}
    for run, identity in zip(runs, plans, strict=True):
        if {key: value for key, value in identity.items() if key != "seed"} != first:
            raise RunError(
                "the runs of an ensemble may differ in their seed alone",
                received=f"{run.folder} was made from another recipe, other data or otherwise",
            )
    seeds = [identity["seed"] for identity in plans]
    if len(set(seeds)) < len(seeds):
        raise RunError("the runs of an ensemble must have different seeds", received=str(seeds))
    members = [run.bundle.id for run in runs]
    return {**runs[0].plan, "identity": {**first, "seed": seeds, "members": members}}


def _scales(runs: Sequence[Run]) -> list[float] | None:
    found = [run.bundle.rejection for run in runs]
    known = [rejection.threshold for rejection in found if rejection is not None]
    return known if len(known) == len(found) else None


def _weights(bundles: Sequence[Bundle]) -> bytes:
    """Return all members' weights as the bytes of one file, each under its number."""
    safetensors = require("safetensors.numpy", "train")
    tensors = {
        f"m{number}/{name}": array
        for number, bundle in enumerate(bundles)
        for name, array in safetensors.load(bundle.weights.read_bytes()).items()
    }
    data: bytes = safetensors.save(tensors)
    return data


def _provenance(runs: Sequence[Run], plan: Mapping[str, Any]) -> dict[str, Any]:
    origins = [run.bundle.provenance for run in runs]
    return {
        **origins[0],
        "plainfilm": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **plan["identity"],
        "parameters": sum(origin["parameters"] for origin in origins),
        "epoch": None,
        "training_seconds": round(sum(origin["training_seconds"] for origin in origins), 1),
    }

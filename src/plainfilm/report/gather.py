"""Collect from a run or an evaluation what its report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from plainfilm._json import to_json
from plainfilm.bundle import read_bundle
from plainfilm.data import Manifest, pick
from plainfilm.errors import ImageError, RunError
from plainfilm.evaluation.document import Document, ExternalDocument, SeedsDocument
from plainfilm.evaluation.legacy import external_values, seeds_values
from plainfilm.evaluation.result import Evaluation
from plainfilm.evaluation.run import find_run
from plainfilm.explain import heatmap
from plainfilm.report.audit.section import read_audit
from plainfilm.report.build import build_report
from plainfilm.report.content import ReportContent, Sample, WorstCase
from plainfilm.report.model_card import write_model_card
from plainfilm.runtime import Predictor
from plainfilm.training import Run, open_run

__all__ = ["rewrite_report", "write_report"]

_WORST = 12
_D = TypeVar("_D", bound=Document)


def write_report(
    evaluation: Evaluation,
    *,
    model: str | Path,
    run: Run | None = None,
    external: Mapping[str, Any] | None = None,
    out: Path | None = None,
) -> Path:
    """Write ``report.html`` for an evaluation.

    Parameters
    ----------
    evaluation
        What was found.
    model
        The bundle or run folder that was evaluated; its predictor explains the worst errors.
    run
        The run that the bundle came from, if there is one, for its history and plan.
    external
        The content of ``external.json``, which lays this evaluation beside others; None takes the
        one that lies in the evaluation's folder, if any.
    out
        Path of the HTML file; None takes ``report.html`` beside ``evaluation.json``.

    Returns
    -------
    Path
        Of the report.
    """
    predictor = Predictor(model)
    history = run.history if run else []
    content = ReportContent(
        evaluation=evaluation.values,
        history=history,
        best_epoch=predictor.bundle.provenance.epoch,
        plan=_plan(run, predictor, len(history)) if run else {},
        samples=_samples(predictor, evaluation.manifest),
        augmented=_augmented(run.folder / "augmented.npz") if run else (),
        worst=_worst(predictor, evaluation),
        findings=evaluation.manifest.findings,
        audit=read_audit(run.folder / "audit.json", run.manifest) if run else None,
        external=external
        or _stored(evaluation.folder / "external.json", ExternalDocument, external_values),
        seeds=_stored(run.folder.parent / "seeds.json", SeedsDocument, seeds_values)
        if run
        else None,
        listed=_listed(evaluation, run),
    )
    path = build_report(content, out or evaluation.folder / "report.html")
    write_model_card(predictor.bundle, content, path.parent)
    return path


def _listed(evaluation: Evaluation, run: Run | None) -> Mapping[str, Any]:
    """Count what became of the files: of the run's data where its own test was scored."""
    from plainfilm.report.file_counts import list_flow

    if run is not None and evaluation.values["dataset"]["split"] == "test":
        scored = {record.id for record in evaluation.manifest.records}
        own = {record.id for record in run.manifest.records if record.split == "test"}
        if scored <= own:
            return list_flow(run.manifest, evaluation.values)
    return list_flow(evaluation.manifest, evaluation.values, whole=False)


def _stored(path: Path, kind: type[_D], values: Callable[[_D], dict[str, Any]]) -> Any:
    """Return a document next to an evaluation, or None."""
    try:
        return values(kind.read(path))
    except RunError:
        return None


def rewrite_report(
    folder: str | Path, out: Path | None = None, *, model: str | Path | None = None
) -> Path:
    """Write the report of an evaluation again from the files that it left.

    Parameters
    ----------
    folder
        Of a run that was evaluated, or of an evaluation.
    out
        Path of the HTML file; None takes ``report.html`` in the evaluation's folder.
    model
        The run or bundle that was evaluated. None takes the run that lies above the evaluation.

    Raises
    ------
    RunError
        If there is no evaluation, or it is not one of this model, or no run lies above it and no
        model is given.
    """
    folder = Path(folder)
    place = folder if (folder / "evaluation.json").is_file() else folder / "evaluation"
    home: Path
    if model is not None:
        home = Path(model)
        bundle, above = read_bundle(home), find_run(home)
        run = None if above is None else open_run(above)
    else:
        home = _run_of(place) if place == folder else folder
        run = open_run(home)
        bundle = run.bundle
    if not (place / "evaluation.json").is_file():
        raise RunError(
            f"{folder} has not been evaluated", remedy=f"run: plainfilm evaluate {folder}"
        )
    evaluation = Evaluation.read(place)
    if evaluation.document.bundle.id != bundle.id:
        raise RunError(
            f"{place} was evaluated with another bundle than the one in {home}",
            remedy="evaluate again",
        )
    if run is not None and run.bundle.id != bundle.id:
        run = None
    return write_report(evaluation, model=home, run=run, out=out)


def _run_of(place: Path) -> Path:
    for above in place.resolve().parents:
        if (above / "plan.json").is_file() and (above / "bundle").is_dir():
            return above
    raise RunError(
        f"the report of {place} cannot be written again: no run lies above it",
        remedy="name the run or bundle that was evaluated with --model",
    )


def _samples(predictor: Predictor, manifest: Manifest) -> list[Sample]:
    samples = []
    for position in pick(manifest):
        record = manifest.records[position]
        try:
            pixels = predictor.read(record.path).pixels
        except ImageError:
            continue  # it was readable when it was scored; the grid can do without it
        samples.append(Sample(pixels, record.id, manifest.task.class_of(record.labels)))
    return samples


def _worst(predictor: Predictor, evaluation: Evaluation) -> list[WorstCase] | None:
    """Return pictures of the worst errors; None where there are errors and none can be shown."""
    cases = []
    mistakes = evaluation.worst(_WORST)
    for mistake in mistakes:
        record = mistake.record
        try:
            pixels = predictor.read(record.path).pixels
        except ImageError:
            continue
        cases.append(
            WorstCase(
                pixels,
                heatmap(predictor, pixels, mistake.label),
                record.id,
                evaluation.manifest.task.class_of(record.labels),
                mistake.probability,
                mistake.label,
                mistake.threshold,
            )
        )
    return cases if cases or not mistakes else None


def _augmented(path: Path) -> list[Sample]:
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as stored:
        return [
            Sample(pixels, f"{number}", str(label))
            for number, (pixels, label) in enumerate(
                zip(stored["images"], stored["labels"], strict=True), start=1
            )
        ]


def _plan(run: Run, predictor: Predictor, epochs: int) -> Mapping[str, Any]:
    identity, origin = run.plan.identity, predictor.bundle.provenance
    recipe = identity.recipe
    return {
        "recipe": recipe.name,
        "description": recipe.description,
        "network": recipe.network.name,
        "parameters": origin.parameters,
        "input": f"{recipe.input.size} x {recipe.input.size}, {recipe.input.geometry}",
        "epochs": epochs or recipe.fit.epochs,
        "augmentation": recipe.augment.name,
        "seed": identity.seed,
        "backend": identity.backend,
        "precision": identity.precision,
        "training seconds": origin.training_seconds,
        "machine": to_json(run.plan.machine, complete=True),
        "versions": run.plan.versions,
        "data": to_json(run.plan.dataset.splits),
    }

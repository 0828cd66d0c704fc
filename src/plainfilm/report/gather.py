"""Collect from a run or an evaluation what its report shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm import _files
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.data import Manifest, pick
from plainfilm.errors import ImageError, RunError
from plainfilm.evaluation.result import SCHEMA, Evaluation
from plainfilm.evaluation.run import find_run
from plainfilm.explain import heatmap
from plainfilm.report.audit.content import read_audit
from plainfilm.report.build import build_report
from plainfilm.report.content import ReportContent, Sample, WorstCase
from plainfilm.report.model_card import write_model_card
from plainfilm.runtime import Predictor
from plainfilm.training import Run, open_run

__all__ = ["rewrite_report", "write_report"]

_WORST = 12


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
        best_epoch=int(predictor.bundle.provenance.get("epoch") or 0) or None,
        plan=_plan(run, predictor, len(history)) if run else {},
        samples=_samples(predictor, evaluation.manifest),
        augmented=_augmented(run.folder / "augmented.npz") if run else (),
        worst=_worst(predictor, evaluation),
        findings=evaluation.manifest.findings,
        audit=read_audit(run.folder / "audit.json", run.manifest) if run else None,
        external=external or _stored(evaluation.folder / "external.json"),
        seeds=_stored(run.folder.parent / "seeds.json") if run else None,
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


def _stored(path: Path) -> Mapping[str, Any] | None:
    """Return what lies beside an evaluation, or None."""
    try:
        values: Mapping[str, Any] = _files.read_json(path)
    except (OSError, ValueError):
        return None
    return values


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
    try:
        values = _files.read_json(place / "evaluation.json")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder} has not been evaluated", remedy=f"run: plainfilm evaluate {folder}"
        ) from error
    if values.get("schema") != SCHEMA:
        raise RunError(
            f"{place} holds an evaluation of another schema",
            received=values.get("schema"),
            remedy="evaluate again",
        )
    if values["bundle"]["id"] != bundle.id:
        raise RunError(
            f"{place} was evaluated with another bundle than the one in {home}",
            remedy="evaluate again",
        )
    if run is not None and run.bundle.id != bundle.id:
        run = None
    manifest, probabilities = _predictions(place, bundle, run)
    return write_report(
        Evaluation(place, values, manifest, probabilities), model=home, run=run, out=out
    )


def _run_of(place: Path) -> Path:
    for above in place.resolve().parents:
        if (above / "plan.json").is_file() and (above / "bundle").is_dir():
            return above
    raise RunError(
        f"the report of {place} cannot be written again: no run lies above it",
        remedy="name the run or bundle that was evaluated with --model",
    )


def _predictions(place: Path, bundle: Bundle, run: Run | None) -> tuple[Manifest, Any]:
    """Return the records that were scored, and their probabilities (n, labels)."""
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(place / "predictions.parquet")
        made_by = json.loads(table.schema.metadata[b"plainfilm"])["bundle"]
        ids = table.column("id").to_pylist()
        names = [f"probability_{label}" for label in bundle.task.labels]
        columns = np.stack([table.column(name).to_numpy() for name in names], 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"the predictions in {place} cannot be read",
            received=f"{type(error).__name__}: {error}",
            remedy="evaluate again",
        ) from error
    if made_by != bundle.id or not np.isfinite(columns).all():
        raise RunError(
            f"the predictions in {place} are not those of its evaluation",
            received="another bundle's" if made_by != bundle.id else "probabilities that are NaN",
            remedy="evaluate again",
        )
    by_id = dict(zip(ids, columns, strict=True))
    stored = place / "manifest.parquet"
    if stored.is_file():
        manifest = Manifest.read(stored)
    elif run is not None:
        # Evaluations of older versions have none, and are of the run's own test split.
        manifest = run.manifest.select("test")
    else:
        raise RunError(f"{place} holds no manifest.parquet", remedy="evaluate again")
    kept = tuple(record for record in manifest.records if record.id in by_id)
    probabilities = np.array([by_id[record.id] for record in kept], np.float32)
    return replace(manifest, records=kept), probabilities


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
    identity, origin = run.plan["identity"], predictor.bundle.provenance
    recipe = identity["recipe"]
    return {
        "recipe": recipe["name"],
        "description": recipe["description"],
        "network": recipe["network"]["name"],
        "parameters": origin["parameters"],
        "input": "{size} x {size}, {geometry}".format(**recipe["input"]),
        "epochs": epochs or recipe["fit"]["epochs"],
        "augmentation": recipe["augment"]["name"],
        "seed": identity["seed"],
        "backend": identity["backend"],
        "precision": identity["precision"],
        "training seconds": origin["training_seconds"],
        "machine": run.plan["machine"],
        "versions": run.plan["versions"],
        "data": run.plan["dataset"].get("splits", {}),
    }

"""Collect from a run or an evaluation what its report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from thorax import _files
from thorax.data import Manifest, pick
from thorax.errors import ImageError, RunError
from thorax.evaluation.result import SCHEMA, Evaluation
from thorax.explain import heatmap
from thorax.report.audit_content import read_audit
from thorax.report.build import build_report
from thorax.report.content import ReportContent, Sample, WorstCase
from thorax.runtime import Predictor
from thorax.training import Run, open_run

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
        best_epoch=int(predictor.bundle.provenance.get("epoch", 0)) or None,
        plan=_plan(run, predictor, len(history)) if run else {},
        samples=_samples(predictor, evaluation.manifest),
        augmented=_augmented(run.folder / "augmented.npz") if run else (),
        worst=_worst(predictor, evaluation),
        findings=evaluation.manifest.findings,
        audit=read_audit(run.folder / "audit.json", run.manifest) if run else None,
        external=external or _stored(evaluation.folder / "external.json"),
        seeds=_stored(run.folder.parent / "seeds.json") if run else None,
    )
    return build_report(content, out or evaluation.folder / "report.html")


def _stored(path: Path) -> Mapping[str, Any] | None:
    """Return what lies beside an evaluation, or None."""
    try:
        values: Mapping[str, Any] = _files.read_json(path)
    except (OSError, ValueError):
        return None
    return values


def rewrite_report(folder: str | Path, out: Path | None = None) -> Path:
    """Write the report of a run again from the files that its evaluation left.

    Raises
    ------
    RunError
        If the run has not been evaluated.
    """
    run = open_run(folder)
    place = run.folder / "evaluation"
    try:
        values = _files.read_json(place / "evaluation.json")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run.folder} has not been evaluated", todo=f"run: thorax evaluate {run.folder}"
        ) from error
    if values.get("schema") != SCHEMA:
        raise RunError(
            f"{place} was written by another version of thorax",
            received=f"schema {values.get('schema')}",
            todo=f"run: thorax evaluate {run.folder}",
        )
    if values["bundle"]["id"] != run.bundle.id:
        raise RunError(
            f"{place} is about another bundle than the run now holds",
            todo=f"run: thorax evaluate {run.folder}",
        )
    manifest, probabilities = _predictions(place / "predictions.parquet", run)
    evaluation = Evaluation(place, values, manifest, probabilities)
    return write_report(evaluation, model=run.folder, run=run, out=out)


def _predictions(path: Path, run: Run) -> tuple[Manifest, Any]:
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    scored = set(table.column("id").to_pylist())
    manifest = run.manifest.select("test")
    kept = tuple(record for record in manifest.records if record.id in scored)
    names = [f"probability_{label}" for label in run.bundle.task.labels]
    by_id = dict(
        zip(
            table.column("id").to_pylist(),
            np.stack([table.column(name).to_numpy() for name in names], 1),
            strict=True,
        )
    )
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
        "data": run.plan["dataset"].get("partitions", {}),
    }

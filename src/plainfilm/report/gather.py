"""Collects from a run and its evaluation the content of a report, and writes the report."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm.bundle import read_bundle
from plainfilm.data import Manifest, pick
from plainfilm.data.characteristics import (
    Characteristics,
    characterise,
    characterise_splits,
    manifest_columns,
)
from plainfilm.errors import ImageError, RunError, UsageError
from plainfilm.evaluation.crossval import CROSSVAL
from plainfilm.evaluation.document import (
    CrossValidationDocument,
    Document,
    EvaluationDocument,
    ExternalDocument,
    SeedsDocument,
)
from plainfilm.evaluation.pipeline import find_run
from plainfilm.evaluation.result import Evaluation
from plainfilm.explain import heatmap
from plainfilm.records import Record
from plainfilm.report.audit.findings import read_audit
from plainfilm.report.build import build_report
from plainfilm.report.content import ReportContent, Sample, TrainingContent, WorstCase
from plainfilm.report.file_counts import FileCounts, count_files
from plainfilm.report.model_card import write_model_card
from plainfilm.report.paper.export import PaperFiles, write_paper
from plainfilm.runtime import Predictor
from plainfilm.training import Run, open_run

_WORST = 12
_D = TypeVar("_D", bound=Document)


_PARTS = ("MODEL_CARD.md", "figures", "tables")  # written next to the page


def write_report(
    evaluation: Evaluation,
    *,
    model: str | Path | None = None,
    run: Run | None = None,
    external: ExternalDocument | None = None,
    out: Path | None = None,
    paper: PaperFiles | None = None,
) -> Path:
    """Write ``report.html`` of an evaluation and, of a bundle, the model card.

    Parameters
    ----------
    evaluation, model
        The evaluation, and the bundle or run folder that was evaluated; None for predictions.
    run
        The run of the bundle, if there is one, for its history and plan.
    external
        The external validation that includes this evaluation. None reads ``external.json`` of the
        evaluation's folder, if it exists.
    out
        Path of the HTML file; None is ``report.html`` in the folder of the evaluation.
    paper
        Folder and size of the files for a paper, see `write_paper`; None writes none.
    """
    predictor = None if model is None else Predictor(model)
    manifest, training = evaluation.manifest, None
    if predictor is not None and run is not None:
        training = TrainingContent(run.plan, predictor.bundle.provenance, run.history)
    content = ReportContent(
        evaluation=evaluation.document,
        training=training,
        samples=_samples(predictor, manifest) if predictor and manifest else (),
        augmented=_augmented(run.folder / "augmented.npz") if run else (),
        worst=_worst(predictor, evaluation, manifest) if predictor and manifest else None,
        findings=evaluation.document.findings,
        audit=read_audit(run.folder / "audit.json", run.manifest) if run else None,
        external=external or _stored(ExternalDocument, evaluation.folder / "external.json"),
        seeds=_stored(SeedsDocument, run.folder.parent / "seeds.json") if run else None,
        crossval=_stored(CrossValidationDocument, evaluation.folder.parent / "crossval.json")
        if evaluation.document.model.kind == "folds"
        else None,
        files=_count_files(evaluation.document, manifest, run) if manifest else None,
        characteristics=_characterise(evaluation, run),
    )
    path = build_report(content, out or evaluation.folder / "report.html")
    if paper is not None:
        write_paper(content, paper)
    if predictor is not None:
        write_model_card(predictor.bundle, content, path.parent)
    return path


def _stored(kind: type[_D], path: Path) -> _D | None:
    """Return a document, or None if it does not exist or cannot be read."""
    try:
        return kind.read(path)
    except RunError:
        return None


def _count_files(document: EvaluationDocument, manifest: Manifest, run: Run | None) -> FileCounts:
    """Count the files of the whole run if its own test set was scored, else of the data set."""
    if run is not None and _is_own_test(document, manifest.ids.tolist(), run):
        return count_files(run.manifest, document)
    return count_files(manifest, document, whole=False)


def _is_own_test(document: EvaluationDocument, ids: Sequence[str], run: Run) -> bool:
    """Return whether the scored images are of the test set of the run."""
    own = {*run.manifest.records.ids_where(run.manifest.splits == "test")}
    return document.dataset.split == "test" and own.issuperset(ids)


def _characterise(evaluation: Evaluation, run: Run | None) -> list[Characteristics]:
    """Describe the splits of the run, and the images that were scored."""
    document, scored = evaluation.document, evaluation.predictions
    groups = characterise_splits(run.manifest) if run is not None else []
    name = document.dataset.name
    if run is not None and _is_own_test(document, scored.ids, run):
        groups, name = [own for own in groups if own.name != "test"], "test"
    columns = scored.columns
    if not columns and evaluation.manifest is not None:
        columns = manifest_columns(evaluation.manifest)
    own = characterise(name, document.task, scored.patients, scored.labels, columns)
    return [*groups, own]


def rewrite_report(
    folder: str | Path,
    out: Path | None = None,
    *,
    model: str | Path | None = None,
    paper: PaperFiles | None = None,
) -> Path:
    """Write the report of an evaluation again from its files.

    Parameters
    ----------
    folder
        Folder of an evaluated run, of an evaluation, or of a cross-validation.
    out
        Path of the HTML file; None is ``report.html`` in the folder of the evaluation.
    model
        The run or bundle that was evaluated. None is the run that contains the evaluation.
    paper
        Folder and size of the files for a paper; None writes none.

    Raises
    ------
    RunError
        If there is no evaluation, or it is of another model, or no run contains it and no model
        is given.
    """
    folder = Path(folder)
    if (folder / "crossval.json").is_file():
        folder /= CROSSVAL
    if out is not None:
        _check_page(Path(out))
    place = folder if (folder / "evaluation.json").is_file() else folder / "evaluation"
    if place == folder and model is None:
        evaluation = Evaluation.read(place)
        if evaluation.document.model.kind != "bundle":
            return write_report(evaluation, out=out, paper=paper)
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
    if evaluation.document.model.id != bundle.id:
        raise RunError(
            f"{place} was evaluated with another bundle than the one in {home}",
            remedy="evaluate again",
        )
    if run is not None and run.bundle.id != bundle.id:
        run = None
    return write_report(evaluation, model=home, run=run, out=out, paper=paper)


def _check_page(path: Path) -> None:
    """Raise a UsageError if a new page is no HTML file or its files would replace others."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            "the report is an HTML file", received=path, remedy="give a name that ends in .html"
        )
    if path.exists() and not _is_page(path):
        raise UsageError(
            "the report would replace a file that is not a report",
            received=path,
            remedy="name a new file, or remove this one",
        )
    others = [name for name in _PARTS if (path.parent / name).exists()]
    if others and not path.exists():
        raise UsageError(
            f"{path.parent} holds files that the report would replace",
            received=", ".join(others),
            remedy="write the report into a folder of its own",
        )


def _is_page(path: Path) -> bool:
    """Return whether a file is a report of an earlier call."""
    try:
        with _files.open_regular(path) as file:
            start = file.read(1024).lower()
    except OSError:
        return False
    return start.startswith(b"<!doctype html>") and b"plainfilm" in start


def _run_of(place: Path) -> Path:
    for above in place.resolve().parents:
        if (above / "plan.json").is_file() and (above / "bundle").is_dir():
            return above
    raise RunError(
        f"the report of {place} cannot be written again: no run contains it",
        remedy="name the run or bundle that was evaluated with --model",
    )


def _read(predictor: Predictor, record: Record) -> NDArray[np.uint8] | None:
    """Return the pixels of an image, or None if it can no longer be read."""
    try:
        return predictor.read(record.path).pixels
    except ImageError:
        return None


def _samples(predictor: Predictor, manifest: Manifest) -> list[Sample]:
    records = [manifest.records[position] for position in pick(manifest)]
    return [
        Sample(pixels, record.id, manifest.task.class_of(record.labels))
        for record in records
        if (pixels := _read(predictor, record)) is not None
    ]


def _worst(
    predictor: Predictor, evaluation: Evaluation, manifest: Manifest
) -> list[WorstCase] | None:
    """Return images of the largest errors; None if there are errors and no image is readable."""
    cases = []
    mistakes = evaluation.worst(_WORST)
    for mistake in mistakes:
        record, label = manifest.records.find(mistake.id), mistake.label
        pixels = None if record is None else _read(predictor, record)
        if pixels is None:
            continue
        heat = heatmap(predictor, pixels, label)
        name = manifest.task.class_of(mistake.labels)
        prediction = (mistake.probability, label, mistake.threshold)
        cases.append(WorstCase(pixels, heat, mistake.id, name, *prediction))
    return cases if cases or not mistakes else None


def _augmented(path: Path) -> list[Sample]:
    if not path.exists():
        return []
    try:
        with np.load(io.BytesIO(_files.read_regular(path)), allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, _files.reason_of(error)) from error
    if images.dtype != np.uint8 or images.ndim != 3 or labels.shape != (len(images),):
        raise _damaged(path, f"images {images.dtype} {images.shape}, labels {labels.shape}")
    pairs = zip(images, labels, strict=True)
    return [Sample(own, f"{n}", str(label)) for n, (own, label) in enumerate(pairs, start=1)]


def _damaged(path: Path, reason: str) -> RunError:
    remedy = "remove it; the report then shows no augmented images"
    return RunError(f"{path} is damaged", received=reason, remedy=remedy)

"""Evaluates one bundle on several data sets and compares them: external validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.data import Manifest
from plainfilm.data.sources.root_names import number_names
from plainfilm.errors import RunError, SourceError, UsageError
from plainfilm.evaluation.document import EvaluationDocument, ExternalDocument
from plainfilm.evaluation.document.several import OVERLAPPING, ExternalRow, write_with_table
from plainfilm.evaluation.pipeline import choose_folder, evaluate, find_run, plain_name
from plainfilm.evaluation.result import DOCUMENT, Evaluation
from plainfilm.evaluation.scoring import align
from plainfilm.metrics import independent_difference
from plainfilm.training import open_run

METRICS = ("auroc", "average_precision", "accuracy", "sensitivity", "specificity", "brier")
"""The metrics that are compared."""

_INTERNAL = "internal-validation"
_VALIDATION = "internal validation"
_CHOSEN = (
    "Thresholds and temperature were chosen on the internal validation images, so the metrics of "
    "that row that need a threshold or calibration are too optimistic. "
)
_NOTE = (
    "A difference is the row minus the first one; its interval treats the two as independent. "
    "A difference may come from other patients, machines, labels or prevalence: the numbers do not "
    "show which."
)


@dataclass(frozen=True, slots=True)
class ExternalValidation:
    """The result of `validate`.

    Attributes
    ----------
    folder
        Folder of ``external.json`` and ``external.csv``.
    document
        The content of ``external.json``.
    evaluations
        One evaluation for each data set.
    """

    folder: Path
    document: ExternalDocument
    evaluations: tuple[Evaluation, ...]


def validate(
    model: Bundle | str | Path,
    data: Sequence[Manifest],
    *,
    out: str | Path | None = None,
    robustness: bool = True,
    prevalence: float | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    n_bootstrap: int = 2000,
    progress: Progress = silent,
) -> ExternalValidation:
    """Evaluate a bundle on several data sets and compare the results.

    The first rows are the internal validation and the test split of the run that the bundle
    came from, where that run is available; otherwise ``data[0]`` is the first row.

    Parameters
    ----------
    model
        A bundle, or the folder of a bundle or run.
    data
        The data sets, at least one; each is scored whole.
    out
        Folder for the files: each evaluation gets a folder with the name of its data set; one data
        set alone uses ``out`` itself. None takes ``external`` in the folder of the run
        (``evaluation-NAME`` for one data set).
    robustness, prevalence, cache, workers, n_bootstrap, progress
        See `evaluate`.

    Raises
    ------
    UsageError, SourceError, LabelError, BundleError
        See `evaluate`.
    """
    if not data:
        raise UsageError("there is no data set to evaluate on", remedy="name one or more")
    path = model.folder if isinstance(model, Bundle) else Path(model)
    bundle = model if isinstance(model, Bundle) else read_bundle(path)
    named = number_names([manifest.name for manifest in data])
    data = [replace(own, name=name) for own, name in zip(data, named, strict=True)]
    single, plain = len(data) == 1, [plain_name(name) for name in named]
    folder = choose_folder(path, out, f"evaluation-{plain[0]}" if single else "external")
    for manifest in data:
        align(manifest, bundle.task)  # report labels that do not fit before any image is scored
    if not single and out is not None:
        _files.check_output_folder(folder, "external.json")
    names = number_names(plain, taken=(_INTERNAL,))
    again = partial(
        evaluate, cache=cache, workers=workers, n_bootstrap=n_bootstrap, progress=progress
    )
    evaluations = tuple(
        again(
            path,  # not the bundle: the run at the path knows the images it was trained on
            manifest,
            out=folder if single else folder / name,
            robustness=robustness,
            prevalence=prevalence,
        )
        for manifest, name in zip(data, names, strict=True)
    )
    rows, notes = _internal_rows(path, bundle, folder / _INTERNAL, again)
    rows += [
        _with_overlap(_row(one.document, "external", one.folder), one.document)
        for one in evaluations
    ]
    document = ExternalDocument(
        version=__version__,
        model=evaluations[0].document.model,
        label=bundle.task.labels[0] if bundle.task.kind == "binary" else None,
        rows=(rows[0], *(_with_difference(row, rows[0]) for row in rows[1:])),
        note="".join([_CHOSEN * (rows[0].role == _VALIDATION), _NOTE, *notes]),
    )
    write_with_table(document, folder / "external", document.rows)
    return ExternalValidation(folder, document, evaluations)


def _internal_rows(
    path: Path, bundle: Bundle, folder: Path, again: partial[Evaluation]
) -> tuple[list[ExternalRow], list[str]]:
    """Return the rows of the run's own validation and test split, and notes on missing ones."""
    home = find_run(path)
    if home is None or read_bundle(home / "bundle").id != bundle.id:
        return [], []
    rows: list[ExternalRow] = []
    notes: list[str] = []

    def add(role: str, place: Path, result: Callable[[], EvaluationDocument]) -> None:
        try:
            rows.append(_row(result(), role, place))
        except SourceError as error:  # the images may have been moved
            notes.append(f" Not shown: {error.problem}.")

    manifest = open_run(home).manifest
    if "validation" in manifest.splits:
        held = manifest.select("validation")
        internal = partial(again, bundle, held, out=folder, robustness=False)
        add(_VALIDATION, folder, lambda: internal().document)
    else:
        chosen = bundle.provenance.locked_on
        notes.append(
            " Not shown: the internal validation, because the run has no validation images"
            + (f"; thresholds and temperature were chosen on {chosen}." if chosen else ".")
        )
    own = manifest.records.where(manifest.splits == "test")
    if own:
        role = "official test" if "test" in own.officials else "internal test"
        place = home / "evaluation"
        add(
            role, place, lambda: stored_evaluation(place / DOCUMENT, bundle) or again(home).document
        )
    return rows, notes


def stored_evaluation(path: Path, bundle: Bundle) -> EvaluationDocument | None:
    """Return an evaluation that this version made of the bundle, or None."""
    try:
        document = EvaluationDocument.read(path)
    except RunError:
        return None
    same = document.model.id == bundle.id and document.version == __version__
    return document if same else None


def _row(document: EvaluationDocument, role: str, folder: Path) -> ExternalRow:
    label, rejection = document.binary, document.rejection
    columns = () if label is None else document.subgroups.labels.get(document.task.labels[0], ())
    return ExternalRow(
        name=document.dataset.name,
        role=role,
        folder=folder.name,
        n=document.n,
        patients=document.patients,
        positives=None if label is None else label.positives,
        prevalence=None if label is None else label.prevalence,
        metrics={name: document.main[name] for name in METRICS if name in document.main},
        calibration_slope=None if label is None else label.curves.calibration.slope,
        in_the_large=None if label is None else label.curves.calibration.in_the_large,
        rejected=None if rejection is None else rejection.rejected,
        indeterminate=None if rejection is None else rejection.indeterminate,
        within={one.column: one.within.auroc for one in columns if one.within is not None},
    )


def _with_overlap(row: ExternalRow, document: EvaluationDocument) -> ExternalRow:
    """Return the row with the overlap with the training images, which has a role of its own."""
    overlap = document.overlap
    if overlap is None or not overlap.images:
        return replace(row, overlap=0)
    without = {name: overlap.metrics[name] for name in METRICS if name in overlap.metrics}
    return replace(row, role=OVERLAPPING, overlap=overlap.images, without=without)


def _with_difference(row: ExternalRow, first: ExternalRow) -> ExternalRow:
    difference = {
        name: independent_difference(interval, first.metrics[name])
        for name, interval in row.metrics.items()
        if name in first.metrics
    }
    return replace(row, difference=difference)

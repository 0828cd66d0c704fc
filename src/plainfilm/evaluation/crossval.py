"""Evaluates a cross-validation: each fold, all out-of-fold predictions, the mean over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.data import LeftOut
from plainfilm.errors import RunError
from plainfilm.evaluation.analyse import analyse
from plainfilm.evaluation.document.crossval import CrossValidationDocument, FoldRow
from plainfilm.evaluation.document.evaluation import DatasetSummary
from plainfilm.evaluation.document.several import write_with_table
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.pipeline import evaluate
from plainfilm.evaluation.predictions import FOLD, Cells, Predictions
from plainfilm.evaluation.result import Evaluation
from plainfilm.evaluation.seed_variation import main_metrics, vary
from plainfilm.metrics import mean_fold_auroc
from plainfilm.records import OperatingPoint
from plainfilm.training import FoldRuns, Run, train_folds
from plainfilm.training.pipeline import DataSource
from plainfilm.training.several import OnAudit, OnRun, TrainOptions

CROSSVAL = "crossval"
"""Name of the folder of the pooled evaluation, and of the document next to it."""

_NOTE = (
    "Each image is predicted by the model of its fold, which was trained on the other folds. "
    "Pooled metrics rank images of different models against each other; the mean over folds ranks "
    "an image only within its fold. Both intervals take the models as given: they cover the choice "
    "of patients who are evaluated, not of those who are trained on."
)


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """The result of `cross_validate`.

    Attributes
    ----------
    folder
        Folder of the runs, and of ``crossval.json`` and ``crossval.csv``.
    document
        The content of ``crossval.json``.
    evaluation
        The evaluation of all out-of-fold predictions, in the folder ``crossval``.
    runs
        One run for each fold.
    """

    folder: Path
    document: CrossValidationDocument
    evaluation: Evaluation
    runs: tuple[Run, ...]


def cross_validate(
    data: DataSource,
    *,
    out: str | Path,
    folds: int = 5,
    seed: int = 0,
    n_bootstrap: int = 2000,
    on_audit: OnAudit = None,
    on_run: OnRun = None,
    **options: Unpack[TrainOptions],
) -> CrossValidation:
    """Train a recipe on all folds but one, for each fold, and evaluate it on that fold.

    The same call continues an interrupted one. To seal the models as one bundle, use the command
    ``plainfilm train --folds 5 --ensemble``.

    Parameters
    ----------
    data, out, folds, seed, on_audit, on_run, options
        See `plainfilm.training.train_folds`.
    n_bootstrap
        Number of resamples of each bootstrap.
    """
    trained = train_folds(
        data, out=out, folds=folds, seed=seed, on_audit=on_audit, on_run=on_run, **options
    )
    return evaluate_folds(
        trained,
        cache=options.get("cache"),
        workers=options.get("workers"),
        n_bootstrap=n_bootstrap,
        progress=options.get("progress", silent),
    )


def evaluate_folds(
    trained: FoldRuns,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    n_bootstrap: int = 2000,
    progress: Progress = silent,
) -> CrossValidation:
    """Evaluate the models of a cross-validation, each on its own fold, and all together.

    Writes the evaluation of each fold into the folder of its run, that of all predictions into the
    folder ``crossval``, and ``crossval.json`` and ``crossval.csv``. An evaluation of the same
    models by this version is read instead.

    Parameters
    ----------
    trained
        The result of `plainfilm.training.train_folds`.
    cache, workers, n_bootstrap, progress
        See `plainfilm.evaluate`.
    """
    folder = trained.folder
    stored = _read(folder, trained)
    if stored is not None:
        return stored
    judge = partial(evaluate, cache=cache, workers=workers, n_bootstrap=n_bootstrap)
    found = [judge(run.folder, robustness=False, progress=progress) for run in trained.runs]
    predictions, points = _pool(trained, found)
    left_out = [
        LeftOut(one.id, "", one.reason, one.problem)
        for evaluation in found
        for one in evaluation.document.left_out
    ]
    pool = trained.folds.manifest
    dataset = DatasetSummary(pool.name, "out-of-fold", pool.drop(left_out).hash, pool.hash)
    progress("computing intervals", 0, 1)
    document = analyse(
        _judged(trained, found, points),
        predictions,
        dataset,
        left_out=left_out,
        findings=[*dict.fromkeys(one for own in found for one in own.document.findings)],
        n_bootstrap=n_bootstrap,
    )
    progress("computing intervals", 1, 1)
    evaluation = Evaluation(_files.make_folder(folder / CROSSVAL), document, predictions)
    evaluation.write()
    summary = _describe(trained, found, evaluation)
    write_with_table(summary, folder / CROSSVAL, summary.rows)
    return CrossValidation(folder, summary, evaluation, trained.runs)


def _read(folder: Path, trained: FoldRuns) -> CrossValidation | None:
    """Return a stored evaluation of the same models by this version, or None."""
    try:
        document = CrossValidationDocument.read(folder / f"{CROSSVAL}.json")
        evaluation = Evaluation.read(folder / CROSSVAL)
    except RunError:
        return None
    bundles = [run.bundle.id for run in trained.runs]
    same = [row.bundle for row in document.rows] == bundles
    if not same or document.version != __version__ or evaluation.document.model != document.model:
        return None
    return CrossValidation(folder, document, evaluation, trained.runs)


def _pool(
    trained: FoldRuns, found: Sequence[Evaluation]
) -> tuple[Predictions, tuple[OperatingPoint, ...]]:
    """Return the predictions of all folds, and operating points with their mean thresholds."""
    parts = [evaluation.predictions for evaluation in found]
    sizes = [len(part) for part in parts]
    decisions = {
        name: _join([part.decisions[name] for part in parts], sizes) for name in parts[0].decisions
    }
    decisions[FOLD] = np.repeat(np.arange(1, len(parts) + 1), sizes).tolist()
    names = dict.fromkeys(name for part in parts for name in part.columns)
    points, thresholds = [], {}
    for one in zip(*(run.bundle.operating_points for run in trained.runs), strict=True):
        cuts = np.array([point.threshold for point in one])
        rule = (
            "locked for the model of each fold on its own validation images: thresholds of "
            f"{cuts.min():.3f} to {cuts.max():.3f}, shown by their mean"
        )
        points.append(replace(one[0], threshold=float(cuts.mean()), rule=rule))
        thresholds[one[0].label, one[0].name] = np.repeat(cuts, sizes)
    pooled = Predictions(
        parts[0].task,
        [name for part in parts for name in part.ids],
        [patient for part in parts for patient in part.patients],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        columns={
            name: _join([part.columns.get(name) for part in parts], sizes)
            for name in names
            if name.casefold() != FOLD  # differences between folds are those of models
        },
        decisions=decisions,
        thresholds=thresholds,
    )
    return pooled, tuple(points)


def _join(columns: Sequence[Cells | None], sizes: Sequence[int]) -> Cells:
    """Return the cells of all parts; those of a part without the column are None."""
    pairs = zip(columns, sizes, strict=True)
    return [cell for own, size in pairs for cell in ([None] * size if own is None else own)]


def _judged(
    trained: FoldRuns, found: Sequence[Evaluation], points: tuple[OperatingPoint, ...]
) -> JudgedModel:
    """Describe the models of all folds as one."""
    first, bundles = found[0].document.model, [run.bundle.id for run in trained.runs]
    images = [one.document.model.training for one in found]
    summary = replace(
        first,
        name=trained.folder.resolve().name,
        kind="folds",
        id=_files.hash_json(bundles),
        temperature=None,
        locked_on="the validation images of each fold's model",
        training=replace(first.training, images=None, validation_images=None)
        if len(set(images)) > 1
        else first.training,
        scores=f"the probabilities of {len(bundles)} models, each on its own fold",
    )
    return JudgedModel(summary=summary, task=found[0].document.task, operating_points=points)


def _describe(
    trained: FoldRuns, found: Sequence[Evaluation], pooled: Evaluation
) -> CrossValidationDocument:
    """Return the results of the folds, and the means over them."""
    one, folds = pooled.predictions, trained.folds
    number, patients = one.decisions[FOLD], [*one.patients]
    rows = tuple(
        FoldRow(
            fold=fold,
            name=folds.names[fold - 1] if folds.names else None,
            folder=run.folder.name,
            bundle=run.bundle.id,
            n=evaluation.document.n,
            patients=evaluation.document.patients,
            metrics=main_metrics(evaluation.document),
        )
        for fold, (run, evaluation) in enumerate(zip(trained.runs, found, strict=True), 1)
    )
    return CrossValidationDocument(
        version=__version__,
        model=pooled.document.model,
        dataset=pooled.document.dataset,
        assigned="column" if folds.names else "by patient",
        test_images=len(folds.test),
        rows=rows,
        pooled=main_metrics(pooled.document),
        mean_auroc=mean_fold_auroc(one.labels, one.probabilities, number, patients),
        labels={
            label: mean_fold_auroc(
                one.labels[:, column], one.probabilities[:, column], number, patients
            )
            for column, label in enumerate(one.task.labels)
        },
        variation=vary([row.metrics for row in rows]),
        note=_NOTE,
    )

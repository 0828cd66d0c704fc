"""Evaluates a table of predictions: `evaluate_predictions`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from plainfilm import _files
from plainfilm._progress import Progress, silent
from plainfilm._text import plural
from plainfilm.bundle import read_bundle
from plainfilm.data import Manifest, SourceOptions, load_dataset
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.tables.files import table_name
from plainfilm.errors import LabelError, SourceError, UsageError
from plainfilm.evaluation.analyse import analyse
from plainfilm.evaluation.document.evaluation import DatasetSummary
from plainfilm.evaluation.pipeline import check_folder, plain_name
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.prevalence import check_prevalence
from plainfilm.evaluation.result import Evaluation
from plainfilm.evaluation.scoring import name_split, official_test
from plainfilm.evaluation.tables.cells import check_table
from plainfilm.evaluation.tables.join import join
from plainfilm.evaluation.tables.judge import judge, probabilities_of
from plainfilm.evaluation.tables.read import read_predictions
from plainfilm.evaluation.tables.rows import ScoredTable
from plainfilm.evaluation.tables.scores import common_scale, recognise_scale
from plainfilm.records import Finding, OperatingPoint, Task


def evaluate_predictions(
    predictions: str | Path,
    data: Manifest | str | Path | Sequence[str | Path] | None = None,
    *,
    validation: str | Path | None = None,
    thresholds: Mapping[str, float] | float | None = None,
    id_column: str | None = None,
    scores: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    prevalence: float | None = None,
    n_bootstrap: int = 2000,
    progress: Progress = silent,
    **options: Unpack[SourceOptions],
) -> Evaluation:
    """Evaluate the predictions of any classifier from a table, without its images.

    The table has a row for each image: an id, the ground truth, one column of scores for each
    label and, optionally, the patient, the split and further columns, whose values are subgroups.
    Columns with usual names are recognised: ``id``, ``label`` and ``score``, or ``label_Edema`` and
    ``probability_Edema``. Scores are probabilities or, if some are below 0, logits.

    Parameters
    ----------
    predictions
        The table: CSV, Parquet or Excel.
    data
        Data set with the ground truth, patients and subgroups, if they are not in the table: a
        manifest, or what `plainfilm.load_dataset` takes. Its official test split is evaluated, or
        all of it where there is none.
    validation
        Table with the scores of validation images, on which temperature and thresholds are
        locked. None takes the validation rows of the column of splits, if there is one; without
        either, only given thresholds are judged, or those of the model of `plainfilm.score`.
    thresholds
        Threshold for all labels, or by label, 0 to 1.
    id_column, scores
        Column of the ids, and column or columns of the scores, in the order of the labels.
    out
        Folder for the files. None makes the folder ``evaluation-NAME`` in the current one.
    prevalence, n_bootstrap, progress
        See `plainfilm.evaluate`.
    **options
        Description of ``data`` or, without it, of both tables, see
        `plainfilm.data.SourceOptions`; ``labels`` names the column or columns of the ground truth.

    Returns
    -------
    Evaluation
        Also written as ``evaluation.json`` and ``predictions.parquet``.

    Raises
    ------
    SourceError, LabelError, UsageError
        If a table cannot be read, it is not clear which column is which, or ``out`` holds another
        evaluation.
    """
    path = check_table(Path(predictions))
    columns = [scores] if isinstance(scores, str) else scores
    given = {} if thresholds is None else thresholds
    given = {"*": float(given)} if isinstance(given, int | float) else given
    if data is not None and not isinstance(data, Manifest):
        roots = [data] if isinstance(data, str | Path) else [*data]
        options["one_class"] = True
        data, options = load_dataset(*roots, **options), {}
    task = None if data is None else data.task
    progress("reading predictions", 0, 1)
    table = read_predictions(path, options, id_column, columns, task)
    held = None
    if validation is not None:
        held_path = check_table(Path(validation))
        held = read_predictions(held_path, options, id_column, columns, task)
    if data is None:
        table, held, split = _choose_rows(table, held)
    else:
        held = None if held is None else join(held, data, data)
        tested = official_test(data)
        table, split = join(table, tested, data), name_split(tested)
    if held is not None:
        table = _check_held(table, held)
    progress("reading predictions", 1, 1)
    if not len(table) or table.labels is None:
        raise SourceError(
            f"{path.name} has no image with a label and a score",
            received=table.left_out[0].problem if table.left_out else "no row",
            remedy="check the columns of the ground truth and of the scores",
        )
    scale = recognise_scale(table.scores, table.task, table.path)
    if held is not None:
        other = recognise_scale(held.scores, held.task, held.path)
        scale = common_scale(scale, other, (table.path, held.path))
    points = () if held is not None or given else _locked_points(path, table.task)
    model = judge(table, scale, held, given, points)
    if prevalence is not None:
        check_prevalence(model, prevalence)
    name = table_name(path) if data is None else data.name
    folder = Path(out) if out is not None else Path(f"evaluation-{plain_name(table_name(path))}")
    content = _hash(table)
    check_folder(folder, model.summary.id, content)
    _files.make_folder(folder)
    rows = Predictions(
        table.task,
        table.ids,
        table.patients,
        table.labels,
        probabilities_of(model, scale, table.scores),
        table.columns,
    )
    progress("computing intervals", 0, 1)
    document = analyse(
        model,
        rows,
        DatasetSummary(name, split, content, content),
        left_out=table.left_out,
        findings=[*table.findings, *_notes(model.summary.locked_on, scale.words, given, points)],
        prevalence=prevalence,
        n_bootstrap=n_bootstrap,
    )
    progress("computing intervals", 1, 1)
    evaluation = Evaluation(folder, document, rows)
    evaluation.write()
    return evaluation


def _choose_rows(
    table: ScoredTable, held: ScoredTable | None
) -> tuple[ScoredTable, ScoredTable | None, str]:
    """Return the rows to evaluate, those to lock thresholds on, and the name of the split."""
    splits = np.array([split or "" for split in table.splits])
    if not np.any(splits == "test"):
        names = {*splits.tolist()}
        return table, held, names.pop() if len(names) == 1 and names != {""} else "all"
    own = table[splits == "validation"]
    used = 0
    if held is None and len(own):
        held, used = own, len(own)
    others = int(np.sum(splits != "test")) - used
    chosen = table[splits == "test"]
    if others:
        verb = "is" if others == 1 else "are"
        problem = f"{plural(others, 'row')} of other splits {verb} not evaluated"
        unused = finding("rows-unused", "note", problem, others)
        chosen = replace(chosen, findings=[*chosen.findings, unused])
    return chosen, held, "test"


def _check_held(table: ScoredTable, held: ScoredTable) -> ScoredTable:
    """Check that validation rows are of the same task and of other images and patients."""
    if held.task != table.task:
        raise LabelError(
            "the validation table has other labels",
            received=f"{', '.join(held.task.classes)}; expected {', '.join(table.task.classes)}",
            remedy="give tables with the same columns",
        )
    if held.path != table.path and (same := {*held.ids} & {*table.ids}):
        raise UsageError(
            "images are in both tables: thresholds would be chosen on the images that they are "
            "judged on",
            received=f"{plural(len(same), 'image')}, such as {min(same)}",
            remedy="give validation images of other patients",
        )
    shared = {*held.patients} & {*table.patients}
    if not shared:
        return table
    found = finding(
        "patients-shared",
        "serious",
        f"{plural(len(shared), 'patient has', 'patients have')} validation and evaluated images",
        len(shared),
        consequence="thresholds and temperature were chosen on the patients that they are judged "
        "on, so results are too optimistic",
        remedy="split by patient",
    )
    return replace(table, findings=[*table.findings, found])


def _locked_points(path: Path, task: Task) -> tuple[OperatingPoint, ...]:
    """Return the operating points of the bundle in an output of `plainfilm score`."""
    folder = path / "bundle"
    if not folder.is_dir():
        return ()
    points = read_bundle(folder).operating_points
    return points if {point.label for point in points} <= {*task.labels} else ()


def _notes(
    locked_on: str | None,
    words: str,
    given: Mapping[str, float],
    points: Sequence[OperatingPoint],
) -> list[Finding]:
    notes = []
    if words != "probabilities":
        notes.append(finding("scores-converted", "note", f"the table has {words}", 1))
    if points:
        notes.append(
            finding(
                "thresholds-of-bundle", "note", "thresholds are those of the model", len(points)
            )
        )
    elif locked_on is None:
        which = "only the given thresholds are judged" if given else "no threshold is judged"
        notes.append(
            finding(
                "no-validation",
                "warning",
                f"there are no validation predictions, so {which}",
                1,
                consequence="the probabilities are evaluated without calibration, and nothing "
                "shows how a threshold was chosen",
                remedy="give predictions on validation images with validation=",
            )
        )
    return notes


def _hash(table: ScoredTable) -> str:
    """Return a hash of ids, labels and patients, which does not depend on the salt of keys."""
    first: dict[str, int] = {}
    groups = [first.setdefault(key, len(first)) for key in table.patients]
    labels = np.zeros(0) if table.labels is None else table.labels
    digest = hashlib.sha256(repr((table.task.kind, table.task.classes)).encode())
    digest.update("\n".join(table.ids).encode("utf-8", "surrogatepass"))
    digest.update(labels.astype("<f4").tobytes())
    digest.update(np.array(groups, "<i8").tobytes())
    return digest.hexdigest()

"""Reads a table of predictions: ids, ground truth, scores, patients, splits and subgroups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plainfilm._csv import original
from plainfilm._text import plural
from plainfilm.data import LeftOut, SourceOptions
from plainfilm.data.pseudonyms import Pseudonyms, is_key
from plainfilm.data.sources.listing import Listing, finding
from plainfilm.data.sources.patients.names import patient_of
from plainfilm.data.sources.tables.columns import Columns
from plainfilm.data.sources.tables.further_columns import keep_further_columns
from plainfilm.data.sources.tables.split_columns import find_split_columns, read_splits
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError, UsageError
from plainfilm.evaluation.tables.cells import Cells, read_cells
from plainfilm.evaluation.tables.names import (
    OUTPUTS,
    ROLES,
    describe_choice,
    find_scores,
    find_truths,
    fold,
    scored_label,
)
from plainfilm.evaluation.tables.rows import ScoredTable
from plainfilm.evaluation.tables.truth import as_classes, read_truth
from plainfilm.records import Split, Task

_NEARLY_ALL = 0.95
_REASON = ("reason", "problem")
"""Columns in which plainfilm states why an image has no probability."""


def read_predictions(
    path: Path,
    options: SourceOptions,
    id_column: str | None = None,
    scores: Sequence[str] | None = None,
    task: Task | None = None,
) -> ScoredTable:
    """Read a table of predictions.

    Parameters
    ----------
    options
        Options of a table of images.
    id_column, scores
        Columns of the ids and of the scores, in the order of the labels. None recognises them by
        name.
    task
        The task of the ground truth, if a data set has it; then the table has none.

    Raises
    ------
    SourceError, UsageError, LabelError
        If the table or a column cannot be read, or it is not clear which column is which.
    """
    cells = read_cells(path, options)
    listing = Listing(path.name, is_table=True)
    chosen: dict[str, str] = {}
    id_column = _choose(cells, "id", id_column, "id_column", chosen)
    ids = (
        [*map(original, cells.text(id_column))]
        if id_column
        else [f"row {n + 1}" for n in range(len(cells))]
    )
    _check_ids(path, id_column, ids)
    labels, truths = None, dict[str, str]()
    left_out: dict[int, LeftOut] = {}
    if task is None:
        truths = _truth_columns(cells, options.get("labels"))
        task, labels, left_out, found = read_truth(cells, truths, ids, options)
        listing.findings += found
    used = {id_column, *truths}
    score_columns = _score_columns(cells, task, scores, used)
    values = np.column_stack([cells.numbers(name) for name in score_columns])
    if labels is not None:
        task = as_classes(task, labels, values)
    stated = [cells.text(name) if name in cells.columns else None for name in _REASON]
    for row in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        reason, problem = (None if own is None else own[row] for own in stated)
        left_out.setdefault(
            row,
            LeftOut(ids[row], "", reason or "no-score", problem or "the image has no finite score"),
        )
    owner = _patient_column(cells, options.get("patient"), chosen)
    used |= {owner, *score_columns}
    rest = {n: cells.text(n) for n in cells.columns if n not in used and not _is_output(n)}
    split = _split_column(path, rest, options.get("split_column"))
    table = Table(path, rest)
    # Without other columns, the table does not know its number of rows.
    splits: list[Split | None] = [None] * len(ids)
    if split is not None:
        splits = [*read_splits(table, split)]
    patients = _patients(ids, cells.text(owner) if owner else None, listing)
    if owner:
        table.columns[owner] = patients
    roles = Columns(id_column or "", (), owner, split, ())
    further = keep_further_columns(table, roles, listing)
    _report(path, chosen, dict(zip(task.labels, score_columns, strict=True)), truths, listing)
    everything = ScoredTable(
        path, task, ids, patients, labels, values, splits, dict(further), [], listing.findings
    )
    if not left_out:
        return everything
    kept = np.ones(len(ids), bool)
    kept[[*left_out]] = False
    return replace(everything[kept], left_out=[*left_out.values()])


def _choose(
    cells: Cells, role: str, name: str | None, argument: str, chosen: dict[str, str]
) -> str | None:
    """Return the column of a role by its option or its usual name, or None."""
    if name is not None:
        if name not in cells.columns:
            raise _no_column(cells, argument, name)
        return name
    found = [column for column in cells.columns if fold(column) in ROLES[role]]
    exact = [column for column in found if fold(column) in ("id", "imageid", "image", "file")]
    found = exact[:1] if len(found) > 1 and exact else found
    if len(found) > 1:
        raise SourceError(
            f"several columns could be the {role}: {', '.join(found)}",
            received=cells.path,
            remedy=f"name the column with {argument}=",
        )
    if found:
        chosen[role] = found[0]
    return found[0] if found else None


def _no_column(cells: Cells, argument: str, name: str) -> UsageError:
    return UsageError(
        f"{argument}= names a column that does not exist",
        received=f"{name!r}; {cells.path} has {', '.join([*cells.columns][:30])}",
        remedy="name an existing column",
    )


def _check_ids(path: Path, column: str | None, ids: Sequence[str]) -> None:
    if len({*ids}) == len(ids):
        return
    repeated, count = Counter(ids).most_common(1)[0]
    raise SourceError(
        "the table of predictions has several rows for one image",
        received=f"{repeated!r} {count} times in the column {column!r} of {path}",
        remedy="give one row for each image; several views of a patient are several images "
        "with one patient",
    )


def _truth_columns(cells: Cells, given: str | Sequence[str] | None) -> dict[str, str]:
    """Return the columns of the ground truth with the names of their labels."""
    if given is not None:
        names = [given] if isinstance(given, str) else [*given]
        for name in names:
            if name not in cells.columns:
                raise _no_column(cells, "labels", name)
        families = find_truths(names) if len(names) > 1 else {}
        return families if len(families) == len(names) else {name: name for name in names}
    found = find_truths(cells.columns)
    if not found:
        raise SourceError(
            "it is not clear which column is the ground truth",
            received=f"{cells.path} with the columns {', '.join([*cells.columns][:30])}",
            remedy="name the column or columns with labels=, or give the data set of the images",
        )
    return found


def _score_columns(
    cells: Cells, task: Task, given: Sequence[str] | None, used: set[str | None]
) -> list[str]:
    """Return the column of the scores of each label."""
    if given is not None:
        for name in given:
            if name not in cells.columns:
                raise _no_column(cells, "scores", name)
        if len(given) != len(task.labels):
            raise UsageError(
                f"scores= needs one column for each of {plural(len(task.labels), 'label')}",
                received=", ".join(given),
                remedy=f"name them in the order {', '.join(task.labels)}",
            )
        return [*given]
    columns = []
    for label in task.labels:
        alone = task.kind == "binary" or len(task.labels) == 1
        names = [name for name in cells.columns if name not in used]
        found = find_scores(label, names, alone=alone)
        found = [name for name in found if cells.is_numeric(name)] or found
        if len(found) != 1:
            raise SourceError(
                f"{'several columns' if found else 'no column'} could be the score of {label}"
                + (f": {', '.join(found)}" if found else ""),
                received=f"{cells.path} with the columns {', '.join([*cells.columns][:30])}",
                remedy="name the columns with scores=, in the order of the labels "
                + ", ".join(task.labels),
            )
        columns += found
    return columns


def _is_output(name: str) -> bool:
    return fold(name) in OUTPUTS or scored_label(name) is not None


def _patient_column(cells: Cells, given: str | None, chosen: dict[str, str]) -> str | None:
    if given is not None and given not in cells.columns:
        raise _no_column(cells, "patient", given)
    return _choose(cells, "patient", given, "patient", chosen)


def _split_column(path: Path, rest: dict[str, list[str]], given: str | None) -> str | None:
    if given is not None:
        if given not in rest:
            raise UsageError(
                "split_column= names a column that does not exist",
                received=f"{given!r} in {path}",
                remedy="name an existing column",
            )
        return given
    found = find_split_columns(Table(path, rest), ())
    return found[0] if len(found) == 1 else None


def _patients(ids: Sequence[str], given: list[str] | None, listing: Listing) -> list[str]:
    """Return patient keys: of a column, or of file names that follow a known convention."""
    names = given
    if names is None:
        sample = [patient_of(one) for one in ids[:1000]]
        if sum(found is not None for found in sample) < _NEARLY_ALL * len(sample):
            listing.report(
                "patients-unknown",
                "warning",
                "the table has no column of patients, so each image counts as a patient",
                len(ids),
                consequence="intervals are too narrow if patients have several images",
                remedy="name the column of the patients with patient=",
            )
            return [*ids]
        names = [found[0] if (found := patient_of(one)) else "" for one in ids]
        listing.report(
            "patients-from-names", "note", "patients were read from the file names", len(ids)
        )
    if blank := sum(not name for name in names):
        verb = "has no patient and counts" if blank == 1 else "have no patient and count"
        listing.report(
            "patients-blank",
            "warning",
            f"{plural(blank, 'row')} of {listing.name} {verb} as a patient of its own",
            blank,
            consequence="intervals are too narrow if these images are of the same patients",
        )
    pseudonyms = Pseudonyms()
    keys = {name: name if is_key(name) else pseudonyms.key(name) for name in {*names} - {""}}
    return [keys[name] if name else one for name, one in zip(names, ids, strict=True)]


def _report(
    path: Path,
    chosen: dict[str, str],
    scores: dict[str, str],
    truths: dict[str, str],
    listing: Listing,
) -> None:
    """Report which columns were read, where their names show it only indirectly."""
    parts = [describe_choice(chosen)] if chosen else []
    if truths:
        parts.append(f"ground truth from {', '.join(map(repr, truths))}")
    parts.append(f"scores from {', '.join(map(repr, scores.values()))}")
    listing.findings.insert(
        0, finding("columns-read", "note", f"{path.name}: {'; '.join(parts)}", len(scores))
    )

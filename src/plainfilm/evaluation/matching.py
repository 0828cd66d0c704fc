"""Reads evaluations of the same images and brings their predictions into one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plainfilm.errors import RunError, UsageError
from plainfilm.evaluation.predictions import FOLD, Predictions
from plainfilm.evaluation.result import Stored
from plainfilm.evaluation.tables.join import match_ids


def read_matched(folders: Sequence[Path]) -> list[Stored]:
    """Read evaluations of the same images, all in the order of the first.

    Raises
    ------
    UsageError
        If a folder holds no evaluation, or two are not of the same images, patients and labels, or
        have the same probabilities.
    """
    found = [_read(folder) for folder in folders]
    first = found[0]
    for place, other in enumerate(found[1:], 1):
        tasks = first.document.task, other.document.task
        # Of two classes, the name of the negative one does not matter.
        if len({(task.kind, task.labels) for task in tasks}) > 1:
            raise UsageError(
                "the models have different tasks",
                received=f"{tasks[0].classes} and {tasks[1].classes}",
                remedy="give tables of predictions the names of the classes with --map, or the "
                "data set with the ground truth",
            )
        found[place] = other._replace(predictions=_align(first, other))
        for earlier in found[:place]:
            _check_different(earlier, found[place])
            _check_folds(earlier, found[place])
    return _group(found)


def _group(found: Sequence[Stored]) -> list[Stored]:
    """Give all evaluations the patients of those that know them, after checking these."""
    known = [side for side in found if not _without_patients(side)] or [found[0]]
    patients = known[0].predictions.patients
    for side in known[1:]:
        own = side.predictions.patients
        # Keys may have different salts: only the grouping counts.
        pairs = set(zip(patients, own, strict=True))
        if not len(pairs) == len(set(patients)) == len(set(own)):
            raise UsageError(
                "the evaluations group the images into different patients",
                received=f"{len(set(patients))} and {len(set(own))} patients",
                remedy="give both the same column of patients",
            )
    return [
        side._replace(predictions=replace(side.predictions, patients=patients)) for side in found
    ]


def _without_patients(side: Stored) -> bool:
    """Return whether the patients of a table of predictions are unknown."""
    return any(finding.check == "patients-unknown" for finding in side.document.findings)


def _read(folder: Path) -> Stored:
    try:
        return Stored.read(folder)
    except RunError as error:
        raise UsageError(
            f"{folder} holds no evaluation that can be compared",
            received=error.problem,
            remedy="give the folder that plainfilm evaluate wrote, or a run that was evaluated",
        ) from error


def _check_different(one: Stored, other: Stored) -> None:
    if np.array_equal(one.predictions.probabilities, other.predictions.probabilities):
        raise UsageError(
            "two evaluations have the same probabilities, so there is nothing to compare",
            received=f"models {one.document.model.id[:12]} and {other.document.model.id[:12]}",
            remedy="give evaluations of different models on the same images",
        )


def _check_folds(one: Stored, other: Stored) -> None:
    """Raise a `UsageError` if two cross-validations divide the images into different folds."""
    mine, theirs = one.predictions.folds, other.predictions.folds
    if mine is None or theirs is None or np.array_equal(mine, theirs):
        return
    raise UsageError(
        "the cross-validations have different folds",
        received=f"{mine.max()} folds in {one.folder.parent}, {theirs.max()} in "
        f"{other.folder.parent}; {np.mean(mine != theirs):.0%} of the images are in another one",
        remedy="give --folds the same number, and the same data or the same column 'fold'",
    )


def _align(first: Stored, second: Stored) -> Predictions:
    """Return the second predictions in the order of the first, after checking them."""
    one, other = first.predictions, second.predictions
    rows = match_ids(other.ids, one.ids)
    order = [row for row in rows if row is not None]
    if len(order) < len(rows) or len({*order}) < len(other.ids):
        mine = [id_ for id_, row in zip(one.ids, rows, strict=True) if row is None]
        used = {*order}
        theirs = [id_ for row, id_ in enumerate(other.ids) if row not in used]
        raise UsageError(
            "the evaluations are not of the same images",
            received=f"{len({*order})} in both, {_only(first, mine)}, {_only(second, theirs)}",
            remedy="evaluate all on the same data: plainfilm evaluate BUNDLE DATA --out FOLDER",
        )
    labels = other.labels[order]
    wrong = np.argwhere(~((one.labels == labels) | (np.isnan(one.labels) & np.isnan(labels))))
    if len(wrong):
        row, column = wrong[0]
        values = f"{one.labels[row, column]:g} and {labels[row, column]:g}"
        raise UsageError(
            "the evaluations disagree about the ground truth of "
            f"{first.document.task.labels[column]}",
            received=f"{one.ids[row]}: {values}",
        )
    return replace(
        other,
        ids=one.ids,
        patients=[other.patients[row] for row in order],
        labels=labels,
        probabilities=other.probabilities[order],
        decisions={} if other.folds is None else {FOLD: other.folds[order].tolist()},
        thresholds={key: cuts[order] for key, cuts in other.thresholds.items()},
    )


def _only(side: Stored, ids: Sequence[str]) -> str:
    """Return how many images only one evaluation has, with an example."""
    example = f" (such as {min(ids)})" if ids else ""
    return f"{len(ids)} only in {side.folder}{example}"

"""Reads evaluations of the same images and brings their predictions into one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plainfilm.errors import RunError, UsageError
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.result import Stored


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
        if first.document.task != other.document.task:
            raise UsageError(
                "the models have different tasks",
                received=f"{first.document.task.classes} and {other.document.task.classes}",
            )
        aligned = other._replace(predictions=_align(first, other))
        for earlier in found[:place]:
            _check_different(earlier, aligned)
        found[place] = aligned
    return found


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


def _align(first: Stored, second: Stored) -> Predictions:
    """Return the second predictions in the order of the first, after checking them."""
    one, other = first.predictions, second.predictions
    mine, theirs = set(one.ids), set(other.ids)
    if mine != theirs or len(mine) != len(one.ids) or len(theirs) != len(other.ids):
        raise UsageError(
            "the evaluations are not of the same images",
            received=f"{len(mine & theirs)} in both, {_only(first, mine - theirs)}, "
            f"{_only(second, theirs - mine)}",
            remedy="evaluate all on the same data: plainfilm evaluate BUNDLE DATA --out FOLDER",
        )
    rows = {id_: row for row, id_ in enumerate(other.ids)}
    order = [rows[id_] for id_ in one.ids]
    patients = tuple(other.patients[row] for row in order)
    # Keys may have different salts: only the grouping counts.
    pairs = set(zip(one.patients, patients, strict=True))
    if not len(pairs) == len(set(patients)) == len(set(one.patients)):
        raise UsageError(
            "the evaluations group the images into different patients",
            received=f"{len(set(one.patients))} and {len(set(patients))} patients",
            remedy="give both the same column of patients",
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
        patients=patients,
        labels=labels,
        probabilities=other.probabilities[order],
        decisions={},
    )


def _only(side: Stored, ids: set[str]) -> str:
    """Return how many images only one evaluation has, with an example."""
    example = f" (such as {min(ids)})" if ids else ""
    return f"{len(ids)} only in {side.folder}{example}"

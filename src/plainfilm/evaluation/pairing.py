"""Reads two evaluations and pairs them image by image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plainfilm.errors import RunError, UsageError
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.document.several import ComparedModel
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.result import DOCUMENT, PREDICTIONS


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of two evaluations."""

    folder: Path
    document: EvaluationDocument
    predictions: Predictions

    @property
    def model(self) -> ComparedModel:
        """Return the name and bundle of the model."""
        folder, bundle = self.folder, self.document.bundle
        name = folder.parent.name if folder.name == "evaluation" else folder.name
        return ComparedModel(name, bundle.id, bundle.recipe, bundle.seed)


def read_pair(first: Path, second: Path) -> tuple[Side, Side]:
    """Read two evaluations of the same images, the second in the order of the first.

    Raises
    ------
    UsageError
        If a folder holds no evaluation, or the two have other tasks, images, patients or labels.
    """
    one, other = _read(first), _read(second)
    if one.document.task != other.document.task:
        raise UsageError(
            "the two models have different tasks",
            received=f"{one.document.task.classes} and {other.document.task.classes}",
        )
    return one, replace(other, predictions=_align(one.predictions, other.predictions, one))


def _read(folder: Path) -> Side:
    if not (folder / DOCUMENT).is_file() and (folder / "evaluation").is_dir():
        folder = folder / "evaluation"
    try:
        document = EvaluationDocument.read(folder / DOCUMENT)
        predictions = Predictions.read(folder / PREDICTIONS, document.task.labels)
    except RunError as error:
        raise UsageError(
            f"{folder} holds no evaluation that can be compared",
            received=error.problem,
            remedy="give the folder that plainfilm evaluate wrote, or a run that was evaluated",
        ) from error
    if predictions.bundle != document.bundle.id:
        raise UsageError(
            f"{folder}: predictions.parquet is of another bundle than evaluation.json",
            remedy="evaluate again",
        )
    return Side(folder, document, predictions)


def _align(one: Predictions, other: Predictions, side: Side) -> Predictions:
    """Return the second predictions in the order of the first, after checking them."""
    mine, theirs = set(one.ids), set(other.ids)
    if mine != theirs or len(mine) != len(one.ids) or len(theirs) != len(other.ids):
        lone = sorted(mine ^ theirs)
        raise UsageError(
            "the two evaluations are not of the same images",
            received=f"{len(mine & theirs)} in both, {len(mine - theirs)} in the first only, "
            f"{len(theirs - mine)} in the second only, such as {', '.join(lone[:3]) or 'none'}",
            remedy="evaluate both on the same data: plainfilm evaluate BUNDLE DATA --out FOLDER",
        )
    rows = {id_: row for row, id_ in enumerate(other.ids)}
    order = [rows[id_] for id_ in one.ids]
    patients = tuple(other.patients[row] for row in order)
    # Keys may have different salts: only the grouping counts.
    pairs = set(zip(one.patients, patients, strict=True))
    if not len(pairs) == len(set(patients)) == len(set(one.patients)):
        raise UsageError("the two evaluations group the images into different patients")
    labels = other.labels[order]
    wrong = np.argwhere(~((one.labels == labels) | (np.isnan(one.labels) & np.isnan(labels))))
    if len(wrong):
        row, column = wrong[0]
        values = one.labels[row, column], labels[row, column]
        raise UsageError(
            "the two evaluations disagree about the ground truth of "
            f"{side.document.task.labels[column]}",
            received=f"{one.ids[row]}: {values[0]:g} and {values[1]:g}",
        )
    return Predictions(other.bundle, one.ids, patients, labels, other.probabilities[order])

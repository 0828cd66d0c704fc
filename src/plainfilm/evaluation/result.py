"""The result of an evaluation: its document, its predictions by image, and its mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import Manifest
from plainfilm.errors import RunError
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.view import Floats
from plainfilm.metrics import Interval
from plainfilm.records import Task

DOCUMENT, PREDICTIONS, MANIFEST = "evaluation.json", "predictions.parquet", "manifest.parquet"


class Stored(NamedTuple):
    """The files of an evaluation, without the records."""

    folder: Path
    document: EvaluationDocument
    predictions: Predictions

    @classmethod
    def read(cls, folder: Path) -> Stored:
        """Read the folder of an evaluation, of a run or of a cross-validation.

        See `Evaluation.read` for errors.
        """
        if not (folder / DOCUMENT).is_file():
            inside = (folder / name for name in ("evaluation", "crossval"))
            folder = next((place for place in inside if place.is_dir()), folder)
        document = EvaluationDocument.read(folder / DOCUMENT)
        model, predictions = Predictions.read(folder / PREDICTIONS, document.task)
        found = cls(folder, document, predictions)
        if model != document.model.id:
            raise found.mismatch("predictions of another model")
        return found

    def mismatch(self, received: str) -> RunError:
        """Return the error that the predictions do not belong to the document."""
        return RunError(
            f"the predictions in {self.folder} are not those of its evaluation",
            received=received,
            remedy="evaluate again",
        )


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that is predicted wrongly.

    Attributes
    ----------
    id, labels
        Id of the image, and its true labels (1, 0 or NaN).
    label
        The label that is wrong; of a multi-class task, the predicted class.
    probability
        The probability of the label, 0 to 1.
    threshold
        The threshold of the label; None for a multi-class task.
    """

    id: str
    labels: tuple[float, ...]
    label: str
    probability: float
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate` and `evaluate_predictions`.

    Attributes
    ----------
    folder
        Folder of ``evaluation.json``, ``predictions.parquet`` and ``manifest.parquet``.
    document
        The content of ``evaluation.json``.
    predictions
        Ground truth and predictions of the images that were scored.
    manifest
        The records of these images, in the same order; None if only their predictions are known.
    """

    folder: Path
    document: EvaluationDocument
    predictions: Predictions
    manifest: Manifest | None = None

    @property
    def metrics(self) -> Mapping[str, Interval]:
        """Return the metrics with their intervals, by name: ``evaluation.metrics["auroc"].low``.

        Of several labels, they include the means over the labels (macro averages).
        """
        return self.document.main

    @property
    def probabilities(self) -> NDArray[np.floating[Any]]:
        """Return the probabilities (n, labels)."""
        return self.predictions.probabilities

    def write_document(self) -> None:
        """Write ``evaluation.json`` into the folder of the evaluation."""
        self.document.write(self.folder / DOCUMENT)

    def write(self) -> None:
        """Write the files of the evaluation into its folder."""
        self.write_document()
        self.predictions.write(self.folder / PREDICTIONS, self.document.model.id)
        if self.manifest is not None:
            self.manifest.write(self.folder / MANIFEST)

    @classmethod
    def read(cls, folder: str | Path) -> Evaluation:
        """Read the folder of an evaluation, or that of a run that was evaluated.

        Raises
        ------
        RunError
            If there is no evaluation, or its files cannot be read or do not belong together.
        """
        stored = Stored.read(Path(folder))
        if stored.document.model.kind != "bundle":
            return cls(*stored)
        manifest = Manifest.read(stored.folder / MANIFEST)
        ids = [*stored.predictions.ids]
        records = manifest.records.where(manifest.records.contains_ids(ids))
        if len(records) != len({*ids}):
            raise stored.mismatch("predictions of other images")
        # Both files are written in the same order.
        if records.ids.tolist() != ids:
            raise stored.mismatch("predictions in another order")
        return cls(*stored, replace(manifest, records=records))

    def worst(self, count: int = 12) -> tuple[Mistake, ...]:
        """Return the images that are predicted wrongly, the worst first.

        A prediction is wrong at the default operating point of its label (``balanced``), as for
        `plainfilm predict`, or, of a multi-class task, where the most probable class is not the
        true one. The worst has the largest distance of its probability p from the threshold t,
        relative to the largest possible one: (p - t) / (1 - t) above and (t - p) / t below; or the
        largest difference between the probabilities of the predicted and of the true class.

        Parameters
        ----------
        count
            Largest number of images. There may be fewer, or none: rejected images, labels without
            an operating point and unknown labels are left out, and each image is listed
            once, with the label in which it is most wrong.
        """
        one, thresholds = self.predictions, default_cuts(self.document, self.predictions)
        task, rejected = one.task, one.rejected
        ranked = rank_mistakes(one.labels, one.probabilities, task, thresholds)
        return tuple(
            Mistake(
                one.ids[row],
                tuple(map(float, one.labels[row])),
                task.labels[column],
                float(one.probabilities[row, column]),
                None if task.kind == "multiclass" else float(thresholds[task.labels[column]][row]),
            )
            for row, column in [pair for pair in ranked if not rejected[pair[0]]][:count]
        )


def default_cuts(document: EvaluationDocument, predictions: Predictions) -> dict[str, Floats]:
    """Return the threshold (n,) of the default operating point of each label that has one."""
    found = {}
    for column, label in enumerate(document.task.labels):
        results = document.labels[label]
        for name, point in results.operating_points.items():
            if point is results.default_point:
                found[label] = predictions.cuts(column, name, point.threshold)
    return found


def rank_mistakes(
    labels: NDArray[np.floating[Any]],
    probabilities: NDArray[np.floating[Any]],
    task: Task,
    thresholds: Mapping[str, Floats | float],
) -> list[tuple[int, int]]:
    """Return (row, column) of the images that are predicted wrongly, in the order of `worst`.

    Labels (1, 0 or NaN) and probabilities are (n, labels), and a label has one threshold or (n,).
    Ties are in the order of the rows.

    Examples
    --------
    >>> task = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))
    >>> y_score = np.array([[0.5], [0.7], [0.1]])
    >>> rank_mistakes(np.array([[0.0], [0.0], [1.0]]), y_score, task, {"PNEUMONIA": 0.6})
    [(2, 0), (1, 0)]
    """
    y_true, y_score = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    if task.kind == "multiclass":
        gaps = _multiclass_gaps(y_true, y_score)
    else:
        gaps = np.full(y_true.shape, -1.0)
        for column, name in enumerate(task.labels):
            if name in thresholds:
                gaps[:, column] = _gaps(y_true[:, column], y_score[:, column], thresholds[name])
    if not gaps.size:
        return []
    columns, most = gaps.argmax(axis=1), gaps.max(axis=1)
    order = np.argsort(-most, kind="stable")
    return [(int(row), int(columns[row])) for row in order if most[row] >= 0]


def _gaps(y_true: Floats, y_score: Floats, threshold: Floats | float) -> Floats:
    """Return how wrong each prediction is, -1 where it is right or the label is unknown."""
    predicted = y_score >= threshold
    largest = np.where(predicted, 1 - threshold, threshold)
    # At a threshold of 1, a distance above it is 0.
    distance = np.abs(y_score - threshold) / np.where(largest > 0, largest, 1)
    wrong = np.where(predicted, y_true == 0, y_true == 1)
    return np.where(wrong, distance, -1.0)


def _multiclass_gaps(y_true: Floats, y_score: Floats) -> Floats:
    gaps = np.full(y_true.shape, -1.0)
    known = np.flatnonzero(~np.isnan(y_true).any(axis=1))
    predicted, true = y_score[known].argmax(axis=1), y_true[known].argmax(axis=1)
    margin = y_score[known, predicted] - y_score[known, true]
    gaps[known, predicted] = np.where(predicted == true, -1.0, margin)
    return gaps

"""Ranks wrong predictions by how wrong they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.view import Floats
from plainfilm.records import Record, Task


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that is predicted wrongly.

    Attributes
    ----------
    record
        The image, with its true labels.
    label
        The label that is wrong; of a multi-class task, the predicted class.
    probability
        The probability of the label, 0 to 1.
    threshold
        The threshold of the label; None for a multi-class task.
    """

    record: Record
    label: str
    probability: float
    threshold: float | None = None


def rank_mistakes(
    labels: NDArray[np.floating[Any]],
    probabilities: NDArray[np.floating[Any]],
    task: Task,
    thresholds: Mapping[str, float],
) -> list[tuple[int, int]]:
    """Return (row, column) of the images that are predicted wrongly, the worst first.

    A label is predicted positive from its threshold on. A multi-class image is predicted as its
    most probable class, and its column is that class. The distance of a wrong probability p from
    the threshold t is relative to the largest possible one: (p - t) / (1 - t) above and
    (t - p) / t below. For a multi-class image it is the probability of the predicted class less
    that of the true one.

    Labels (1, 0 or NaN) and probabilities are (n, labels). Labels without a threshold have no
    mistakes; a multi-class task needs none. Each image is listed at most once, with the label in
    which it is most wrong, and ties are in the order of the rows.

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


def _gaps(y_true: Floats, y_score: Floats, threshold: float) -> Floats:
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

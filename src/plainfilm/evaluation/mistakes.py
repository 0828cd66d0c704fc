"""Which calls are wrong, and how wrong each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Task

__all__ = ["balanced_thresholds", "rank_mistakes"]


def balanced_thresholds(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the threshold of the balanced operating point of each label that has one.

    Parameters
    ----------
    evaluation
        The content of ``evaluation.json``.
    """
    labels: Mapping[str, Mapping[str, Any]] = evaluation.get("labels") or {}
    return {
        name: float(point["threshold"])
        for name, section in labels.items()
        for point in (section.get("operating_points") or {}).values()
        if point.get("purpose") == "balanced"
    }


def rank_mistakes(
    labels: NDArray[np.floating[Any]],
    probabilities: NDArray[np.floating[Any]],
    task: Task,
    thresholds: Mapping[str, float],
) -> list[tuple[int, int]]:
    """Return (row, column) of the images that are called wrongly, the worst first.

    A label is called positive from its threshold on; a multi-class image is called the most
    probable class, and its column is that class. How wrong a call is goes from 0 to 1 on either
    side: the part of the room beyond the threshold that the probability has used up, (p - t) /
    (1 - t) above and (t - p) / t below; of a multi-class image, by how much its probability of
    the called class exceeds that of the true one.

    Parameters
    ----------
    labels, probabilities
        (n, labels); a label is 1, 0 or NaN = unknown, which counts for nothing.
    thresholds
        By label, 0 to 1. Labels without one have no call, so no mistake; a multi-class task
        needs none.

    Returns
    -------
    list
        Each image at most once, with the label that it is most wrong in; equally wrong ones in
        the order of the rows.

    Examples
    --------
    >>> task = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))
    >>> given = np.array([[0.5], [0.7], [0.1]])
    >>> rank_mistakes(np.array([[0.0], [0.0], [1.0]]), given, task, {"PNEUMONIA": 0.6})
    [(2, 0), (1, 0)]
    """
    truth = np.asarray(labels, np.float64)
    given = np.asarray(probabilities, np.float64)
    if task.kind == "multiclass":
        gaps = _multiclass_gaps(truth, given)
    else:
        gaps = np.full(truth.shape, -1.0)
        for column, name in enumerate(task.labels):
            if name in thresholds:
                gaps[:, column] = _gaps(truth[:, column], given[:, column], thresholds[name])
    if not gaps.size:
        return []
    columns, most = gaps.argmax(axis=1), gaps.max(axis=1)
    order = np.argsort(-most, kind="stable")
    return [(int(row), int(columns[row])) for row in order if most[row] >= 0]


def _gaps(
    truth: NDArray[np.float64], given: NDArray[np.float64], threshold: float
) -> NDArray[np.float64]:
    """Return how wrong each call is, -1 where it is right or the truth is unknown."""
    called = given >= threshold
    room = np.where(called, 1 - threshold, threshold)
    # A threshold of 1 leaves no room above: what lies on it is wrong by nothing.
    far = np.abs(given - threshold) / np.where(room > 0, room, 1)
    wrong = np.where(called, truth == 0, truth == 1)
    return np.where(wrong, far, -1.0)


def _multiclass_gaps(truth: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    gaps = np.full(truth.shape, -1.0)
    known = np.flatnonzero(~np.isnan(truth).any(axis=1))
    if not known.size:
        return gaps
    called, right = given[known].argmax(axis=1), truth[known].argmax(axis=1)
    margin = given[known, called] - given[known, right]
    gaps[known, called] = np.where(called == right, -1.0, margin)
    return gaps

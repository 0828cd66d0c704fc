"""The body of ``evaluation.json``: every metric with its interval, for one label or for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError
from plainfilm.evaluation.averages import Answer, PooledPairs, macro_average, micro_average
from plainfilm.evaluation.curves import curves
from plainfilm.evaluation.label import describe_point, rate_intervals, score_intervals
from plainfilm.evaluation.precision import describe_precision
from plainfilm.evaluation.view import LabelView
from plainfilm.metrics import (
    RATES,
    Interval,
    Statistic,
    as_labels,
    as_scores,
    bootstrap_interval,
    group_index,
    pool,
    replicate,
    totals_statistic,
    undefined,
    wilson,
)
from plainfilm.records import OperatingPoint, Task

__all__ = ["summarise"]


@dataclass(frozen=True, slots=True, eq=False)
class _Label:
    """One label on its way: its view, its calls, and where its replicates lie."""

    name: str
    view: LabelView
    known: NDArray[np.bool_]
    points: tuple[OperatingPoint, ...]
    called: NDArray[np.bool_] | None  # at the default point, (n,) of the known images
    statistics: tuple[Statistic, ...]


def summarise(
    labels: ArrayLike,
    probabilities: ArrayLike,
    task: Task,
    patients: Sequence[str],
    points: Sequence[OperatingPoint],
    *,
    seed: int = 0,
    replicates: int = 2000,
) -> dict[str, Any]:
    """Return every number of an evaluation, with 95 % intervals, fit for JSON.

    Parameters
    ----------
    labels
        (n, labels) of 1, 0 or NaN (unknown, left out label by label).
    probabilities
        (n, labels), 0 to 1.
    task
        Its labels name the columns.
    patients
        (n,) keys. Where some patient has several images, intervals come from drawing patients
        again; otherwise from Wilson (shares of images), DeLong (AUROC) and drawing images (the
        rest). Each interval's ``method`` says which.
    points
        Operating points locked on validation. Metrics that need calls are those of the label's
        ``balanced`` point; a multi-class task without one calls the most probable class.
    seed, replicates
        Seed of the generator, and number of resamples.

    Returns
    -------
    ``n``, ``patients``, ``prevalence``, ``metrics``, ``operating_points``, ``curves``,
    ``precision`` and ``labels`` (the same per label, with ``unknown`` and ``positives``). For a
    binary task the top is its label. Otherwise its metrics are the means over the labels, its
    prevalence is None, operating points and curves are found below ``labels``, and ``micro`` holds
    the ranking metrics of all pairs of image and label; a multi-class task has
    ``confusion_matrix`` (truth down, most probable class across, in the order of the labels), and
    its ``accuracy`` is that of the most probable class. What is undefined is None, with a
    ``reason``.

    Raises
    ------
    MetricError
        If shapes or values do not fit.
    """
    truth = as_labels(labels, dimensions=2)
    chances = as_scores(probabilities, truth.shape, name="probabilities", low=0, high=1)
    _check(truth, task, points)
    keys = [str(patient) for patient in patients]
    groups, count = group_index(keys, len(truth))
    again, units = pool(groups, count)
    clustered = count < len(truth)
    views = [
        _prepare(i, truth, chances, groups, (again, units), clustered, task, points)
        for i in range(len(task.labels))
    ]
    pairs = PooledPairs.of(truth, chances, groups, again, units, views[0].view.unit)
    overall = _overall_statistics(truth, chances, again, units, task)
    several = [pairs.statistic()] if task.kind != "binary" else []
    drawn = replicate(
        [*(one for view in views for one in view.statistics), *several, *overall],
        patients=units,
        images=len(truth),
        replicates=replicates,
        rng=np.random.default_rng(seed),
    )
    answers, position = [], 0
    for view in views:
        own = drawn[position : position + len(view.statistics)]
        position += len(view.statistics)
        answers.append(_answer(view, own, keys, task))
    sections = {view.name: answer.section for view, answer in zip(views, answers, strict=True)}
    if task.kind == "binary":
        return {**answers[0].section, "labels": sections}
    top: dict[str, Any] = {"n": len(truth), "patients": count, "prevalence": None}
    metrics = {name: macro_average(name, task.labels, answers) for name in answers[0].intervals}
    micro = micro_average(pairs, drawn[position])
    if overall:
        metrics["accuracy"], top["confusion_matrix"] = _multiclass(
            truth, chances, groups, clustered, drawn[-1]
        )
    return {
        **top,
        "micro": {name: interval.to_json() for name, interval in micro.items()},
        "metrics": {name: interval.to_json() for name, interval in metrics.items()},
        "operating_points": {},
        "curves": {},
        "labels": sections,
    }


def _check(truth: NDArray[np.float64], task: Task, points: Sequence[OperatingPoint]) -> None:
    if truth.shape[1] != len(task.labels):
        raise MetricError(
            "labels must have one column per label of the task",
            received=f"{truth.shape[1]} columns, labels {', '.join(task.labels)}",
        )
    if not len(truth):
        raise MetricError("there is no image to evaluate")
    strange = sorted({point.label for point in points} - set(task.labels))
    if strange:
        raise MetricError(
            "an operating point is about a label that the task does not have",
            received=", ".join(strange),
            remedy="the labels are " + ", ".join(task.labels),
        )
    if task.kind == "multiclass":
        whole = truth[~np.isnan(truth.sum(axis=1))]
        if np.any(whole.sum(axis=1) != 1):
            raise MetricError("a multi-class label must have exactly one 1 per image")


def _prepare(
    column: int,
    truth: NDArray[np.float64],
    chances: NDArray[np.float64],
    groups: NDArray[np.intp],
    drawing: tuple[NDArray[np.intp], int],
    clustered: bool,
    task: Task,
    points: Sequence[OperatingPoint],
) -> _Label:
    name = task.labels[column]
    known = ~np.isnan(truth[:, column])
    view = LabelView(
        positive=truth[known, column] == 1,
        probabilities=chances[known, column],
        groups=groups[known],
        drawn=drawing[0][known],
        units=drawing[1],
        clustered=clustered,
    )
    own = tuple(point for point in points if point.label == name)
    balanced = next((point for point in own if point.purpose == "balanced"), None)
    called: NDArray[np.bool_] | None = None
    if balanced is not None:
        called = view.probabilities >= balanced.threshold
    elif task.kind == "multiclass":
        called = (chances.argmax(axis=1) == column)[known]
    rates = [view.probabilities >= point.threshold for point in own]
    rates += [] if called is None else [called]
    statistics = (*view.score_statistics(), *(view.rate_statistic(one) for one in rates))
    return _Label(name, view, known, own, called, statistics)


def _answer(
    label: _Label, drawn: Sequence[NDArray[np.float64]], keys: Sequence[str], task: Task
) -> Answer:
    view = label.view
    intervals, replicates = score_intervals(view, drawn[:2])
    error = intervals.pop("calibration_error")
    if label.called is None:
        why = "no balanced operating point is locked for this label"
        intervals.update({name: undefined("none", why) for name in RATES})
    else:
        intervals.update(rate_intervals(view, label.called, drawn[-1]))
        replicates.update(zip(RATES, drawn[-1], strict=True))
    own_keys = list(compress(keys, label.known)) if view.clustered else None
    names = (task.classes[0], task.classes[1]) if task.kind == "binary" else ("other", label.name)
    positives, n = int(view.positive.sum()), len(view.positive)
    section = {
        "n": n,
        "unknown": int((~label.known).sum()),
        "patients": int(np.count_nonzero(np.bincount(view.groups))),
        "positives": positives,
        "prevalence": positives / n if n else None,
        "metrics": {name: interval.to_json() for name, interval in intervals.items()},
        "operating_points": {
            point.name: describe_point(view, point, replicate_set)
            for point, replicate_set in zip(label.points, drawn[3:], strict=False)
        },
        "curves": curves(view, own_keys, names, error, drawn[2]),
        "precision": describe_precision(view, intervals),
    }
    return Answer(section, intervals, replicates)


def _overall_statistics(
    truth: NDArray[np.float64],
    chances: NDArray[np.float64],
    groups: NDArray[np.intp],
    count: int,
    task: Task,
) -> list[Statistic]:
    """Return, for a multi-class task, the statistic (images, those called rightly)."""
    if task.kind != "multiclass":
        return []
    known, right = _right(truth, chances)
    columns = np.column_stack([np.ones(len(right)), right])
    return [totals_statistic(columns, groups[known], count)]


def _right(
    truth: NDArray[np.float64], chances: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    known = ~np.isnan(truth.sum(axis=1))
    return known, truth[known].argmax(axis=1) == chances[known].argmax(axis=1)


def _multiclass(
    truth: NDArray[np.float64],
    chances: NDArray[np.float64],
    groups: NDArray[np.intp],
    clustered: bool,
    drawn: NDArray[np.float64],
) -> tuple[Interval, list[list[int]]]:
    """Return the accuracy of the most probable class, and the confusion matrix (k, k)."""
    known, right = _right(truth, chances)
    size = truth.shape[1]
    matrix = np.zeros((size, size), dtype=np.intp)
    np.add.at(matrix, (truth[known].argmax(axis=1), chances[known].argmax(axis=1)), 1)
    table = [[int(cell) for cell in row] for row in matrix]
    if not right.size:
        return undefined("none", "there is no image of known label"), table
    if not clustered:
        return wilson(int(right.sum()), right.size), table
    with np.errstate(invalid="ignore"):
        shares = drawn[1] / drawn[0]
    accuracy = bootstrap_interval(
        "accuracy",
        float(right.mean()),
        shares,
        positive=np.ones_like(right),
        called=right,
        groups=groups[known],
        unit="patients",
    )
    return accuracy, table

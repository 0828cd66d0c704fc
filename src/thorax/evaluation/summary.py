"""The body of ``evaluation.json``: every metric with its interval, for one label or for many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thorax.errors import MetricError
from thorax.evaluation.label import (
    LabelView,
    curves,
    describe_point,
    rate_intervals,
    score_intervals,
)
from thorax.metrics import (
    RATES,
    Interval,
    Statistic,
    as_labels,
    as_scores,
    bootstrap_interval,
    group_index,
    percentile,
    replicate,
    totals_statistic,
    undefined,
    wilson,
)
from thorax.records import OperatingPoint, Task

__all__ = ["summarise"]

_SCORES = ("auroc", "average_precision", "brier", "log_loss")


@dataclass(frozen=True, slots=True, eq=False)
class _Label:
    """One label on its way: its view, its calls, and where its replicates lie."""

    name: str
    view: LabelView
    known: NDArray[np.bool_]
    points: tuple[OperatingPoint, ...]
    called: NDArray[np.bool_] | None  # at the default point, (n,) of the known images
    statistics: tuple[Statistic, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """One label's section, and what macro averages need of it."""

    section: dict[str, Any]
    intervals: Mapping[str, Interval]
    replicates: Mapping[str, NDArray[np.float64]]


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
    ``n``, ``patients``, ``prevalence``, ``metrics``, ``operating_points``, ``curves`` and
    ``labels`` (the same per label, with ``unknown`` and ``positives``). For a binary task the top
    is its label. Otherwise its metrics are the means over the labels, its prevalence is None, and
    operating points and curves are found below ``labels``; a multi-class task has
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
    views = [
        _prepare(i, truth, chances, groups, count, task, points) for i in range(len(task.labels))
    ]
    overall = _overall_statistics(truth, chances, groups, count, task)
    drawn = replicate(
        [*(one for view in views for one in view.statistics), *overall],
        patients=count,
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
    metrics = {name: _macro(name, task.labels, answers) for name in answers[0].intervals}
    if overall:
        metrics["accuracy"], top["confusion_matrix"] = _multiclass(
            truth, chances, groups, count, drawn[-1]
        )
    return {
        **top,
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
            todo="the labels are " + ", ".join(task.labels),
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
    count: int,
    task: Task,
    points: Sequence[OperatingPoint],
) -> _Label:
    name = task.labels[column]
    known = ~np.isnan(truth[:, column])
    view = LabelView(
        positive=truth[known, column] == 1,
        probabilities=chances[known, column],
        groups=groups[known],
        patients=count,
        clustered=count < len(truth),
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
) -> _Answer:
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
        "patients": len(np.unique(view.groups)),
        "positives": positives,
        "prevalence": positives / n if n else None,
        "metrics": {name: interval.to_json() for name, interval in intervals.items()},
        "operating_points": {
            point.name: describe_point(view, point, replicate_set)
            for point, replicate_set in zip(label.points, drawn[2:], strict=False)
        },
        "curves": curves(view, own_keys, names, error),
    }
    return _Answer(section, intervals, replicates)


def _macro(name: str, labels: Sequence[str], answers: Sequence[_Answer]) -> Interval:
    """Return the mean of a metric over the labels for which it is defined."""
    pairs = list(zip(labels, answers, strict=True))
    there = [answer for _, answer in pairs if not math.isnan(answer.intervals[name].value)]
    missing = [label for label, answer in pairs if math.isnan(answer.intervals[name].value)]
    if not there:
        reasons = sorted({answer.intervals[name].reason or "" for answer in answers})
        return undefined("none", f"undefined for every label: {'; '.join(reasons)}")
    left_out = f"without {', '.join(missing)} (undefined)" if missing else None
    value = float(np.mean([answer.intervals[name].value for answer in there]))
    drawn = np.mean([answer.replicates[name] for answer in there], axis=0)
    finite = drawn[np.isfinite(drawn)]
    if not finite.size or np.ptp(finite) < 1e-12:
        # Every replicate is the same; the labels' own limits still have a width.
        low, high = (
            float(np.mean([getattr(answer.intervals[name], end) for answer in there]))
            for end in ("low", "high")
        )
        reason = left_out
        if math.isnan(low):
            reason = "; ".join(filter(None, (left_out, "not every label has limits")))
        return Interval(value, low, high, "mean of the labels' limits, 95 %", reason)
    found = percentile(value, drawn, unit="patients")
    reason = "; ".join(part for part in (left_out, found.reason) if part) or None
    return Interval(value, found.low, found.high, found.method, reason)


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
    count: int,
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
    if count == len(truth):
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

"""Computes every metric with its interval, for one label or for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError
from plainfilm.evaluation.averages import Estimate, macro_average, micro_average, pool_labels
from plainfilm.evaluation.curves import curves
from plainfilm.evaluation.document import LabelResults, Summary
from plainfilm.evaluation.document.label import ThresholdRange
from plainfilm.evaluation.label import (
    describe_point,
    describe_sample_sizes,
    rate_intervals,
    score_intervals,
)
from plainfilm.evaluation.view import NO_POINT, Bools, Clusters, Floats, LabelView
from plainfilm.metrics import (
    RATES,
    Interval,
    Statistic,
    as_labels,
    as_scores,
    totals_statistic,
    undefined,
    wilson,
)
from plainfilm.records import OperatingPoint, Task


def summarise(
    labels: ArrayLike,
    probabilities: ArrayLike,
    task: Task,
    patients: Sequence[str],
    points: Sequence[OperatingPoint],
    *,
    ranges: Mapping[tuple[str, str], ThresholdRange] | None = None,
    seed: int = 0,
    n_bootstrap: int = 2000,
) -> Summary:
    """Return every metric with a 95 % interval, by label and over all labels.

    Parameters
    ----------
    labels
        (n, labels) of 1, 0 or NaN. NaN is unknown and left out, label by label.
    probabilities
        (n, labels), 0 to 1.
    task
        The task; its labels name the columns.
    patients
        (n,) patient keys. Where some patient has several images, the bootstrap draws patients.
        Otherwise intervals are Wilson's (shares of images), DeLong's (AUROC), or from a bootstrap
        of images. The ``method`` of each interval names its method.
    points
        Operating points locked on validation. Metrics that need a predicted class use the label's
        ``balanced`` point. A multi-class task without one uses the most probable class.
    ranges
        How precisely validation determines thresholds, by label and name of the point.
    seed, n_bootstrap
        Seed of the bootstrap, and number of resamples.

    Returns
    -------
    Summary
        Whatever is undefined is NaN, with a ``reason``.

    Raises
    ------
    MetricError
        If shapes or values are wrong.
    """
    y_true = as_labels(labels, dimensions=2)
    y_score = as_scores(probabilities, y_true.shape, name="probabilities", low=0, high=1)
    _check(y_true, task, points)
    keys = [str(patient) for patient in patients]
    clusters = Clusters.of(keys, len(y_true))
    views = [_prepare(i, y_true, y_score, clusters, task, points) for i in range(len(task.labels))]
    pairs = pool_labels(y_true, y_score, clusters)
    several = [] if task.kind == "binary" else [pairs.ranking_statistic()]
    if task.kind == "multiclass":
        several.append(_accuracy_statistic(y_true, y_score, clusters))
    drawn = iter(
        clusters.replicate(
            [*(one for view in views for one in view.statistics), *several], n_bootstrap, seed
        )
    )
    estimates = {
        view.name: _estimate(view, [next(drawn) for _ in view.statistics], keys, task, ranges or {})
        for view in views
    }
    results = {name: estimate.results for name, estimate in estimates.items()}
    metrics, micro, matrix = dict(results[task.labels[0]].metrics), {}, None
    if task.kind != "binary":
        metrics = {name: macro_average(name, estimates) for name in metrics}
        micro = micro_average(pairs, next(drawn))
    if task.kind == "multiclass":
        metrics["accuracy"] = _accuracy(y_true, y_score, clusters, next(drawn))
        matrix = _confusion_matrix(y_true, y_score)
    return Summary(
        n=len(y_true),
        patients=clusters.patients,
        metrics=metrics,
        labels=results,
        micro=micro,
        confusion_matrix=matrix,
    )


def _check(y_true: Floats, task: Task, points: Sequence[OperatingPoint]) -> None:
    if y_true.shape[1] != len(task.labels):
        raise MetricError(
            "labels must have one column per label of the task",
            received=f"{y_true.shape[1]} columns, labels {', '.join(task.labels)}",
        )
    if not len(y_true):
        raise MetricError("there is no image to evaluate")
    unknown = sorted({point.label for point in points} - set(task.labels))
    if unknown:
        raise MetricError(
            "an operating point is about a label that the task does not have",
            received=", ".join(unknown),
            remedy="use one of the labels " + ", ".join(task.labels),
        )
    if task.kind == "multiclass":
        known = y_true[~np.isnan(y_true.sum(axis=1))]
        if np.any(known.sum(axis=1) != 1):
            raise MetricError("a multi-class label must have exactly one 1 per image")


@dataclass(frozen=True, slots=True, eq=False)
class _Label:
    """One label with the statistics to draw for it."""

    name: str
    view: LabelView
    known: Bools  # (all images,)
    points: tuple[OperatingPoint, ...]
    predicted: Bools | None  # (known images,) at the default operating point
    statistics: tuple[Statistic, ...]


def _prepare(
    column: int,
    y_true: Floats,
    y_score: Floats,
    clusters: Clusters,
    task: Task,
    points: Sequence[OperatingPoint],
) -> _Label:
    name = task.labels[column]
    known = ~np.isnan(y_true[:, column])
    view = LabelView.of(y_true[:, column], y_score[:, column], clusters)
    own = tuple(point for point in points if point.label == name)
    balanced = next((point for point in own if point.purpose == "balanced"), None)
    predicted: Bools | None = None
    if balanced is not None:
        predicted = view.probabilities >= balanced.threshold
    elif task.kind == "multiclass":
        predicted = (y_score.argmax(axis=1) == column)[known]
    rates = [view.probabilities >= point.threshold for point in own]
    rates += [] if predicted is None else [predicted]
    statistics = (*view.score_statistics(), *(view.rate_statistic(one) for one in rates))
    return _Label(name, view, known, own, predicted, statistics)


def _estimate(
    label: _Label,
    drawn: Sequence[Floats],
    keys: Sequence[str],
    task: Task,
    ranges: Mapping[tuple[str, str], ThresholdRange],
) -> Estimate:
    view = label.view
    metrics, error, replicates = score_intervals(view, drawn[:2])
    if label.predicted is None:
        metrics.update(dict.fromkeys(RATES, NO_POINT))
    else:
        metrics.update(rate_intervals(view, label.predicted, drawn[-1]))
        replicates.update(zip(RATES, drawn[-1], strict=True))
    own_keys = list(compress(keys, label.known)) if view.clusters.clustered else None
    names = (task.classes[0], task.classes[1]) if task.kind == "binary" else ("other", label.name)
    n, positives = len(view.positive), int(view.positive.sum())
    results = LabelResults(
        n=n,
        unknown=len(label.known) - n,
        patients=view.clusters.patients,
        positives=positives,
        prevalence=positives / n if n else np.nan,
        metrics=metrics,
        operating_points={
            point.name: describe_point(view, point, own, ranges.get((point.label, point.name)))
            for point, own in zip(label.points, drawn[3:], strict=False)
        },
        curves=curves(view, own_keys, names, error, drawn[2]),
        sample_sizes=describe_sample_sizes(view, metrics),
    )
    return Estimate(results, replicates)


def _top_classes(
    y_true: Floats, y_score: Floats
) -> tuple[Bools, NDArray[np.intp], NDArray[np.intp]]:
    """Return which images have a known class, their true and their most probable class."""
    known = ~np.isnan(y_true.sum(axis=1))
    return known, y_true[known].argmax(axis=1), y_score[known].argmax(axis=1)


def _accuracy_statistic(y_true: Floats, y_score: Floats, clusters: Clusters) -> Statistic:
    """Return the statistic (images, correct images) of a multi-class task."""
    known, true, predicted = _top_classes(y_true, y_score)
    columns = np.column_stack([np.ones(len(true)), true == predicted])
    return totals_statistic(columns, clusters.drawn[known], clusters.units)


def _accuracy(y_true: Floats, y_score: Floats, clusters: Clusters, drawn: Floats) -> Interval:
    """Return the accuracy of the most probable class, from the replicates of its statistic."""
    known, true, predicted = _top_classes(y_true, y_score)
    correct = true == predicted
    if not correct.size:
        return undefined("none", "there is no image of known label")
    if not clusters.clustered:
        return wilson(int(correct.sum()), correct.size)
    with np.errstate(invalid="ignore"):
        shares = drawn[1] / drawn[0]
    view = LabelView(np.ones_like(correct), y_score[known].max(axis=1), clusters[known])
    return view.interval("accuracy", float(correct.mean()), shares, correct, unit="patients")


def _confusion_matrix(y_true: Floats, y_score: Floats) -> tuple[tuple[int, ...], ...]:
    _, true, predicted = _top_classes(y_true, y_score)
    classes = y_true.shape[1]
    counts = np.bincount(true * classes + predicted, minlength=classes**2)
    return tuple(map(tuple, counts.reshape(classes, classes).tolist()))

"""Computes every metric with its interval, for one label or for several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike

from plainfilm import metrics
from plainfilm.errors import MetricError
from plainfilm.evaluation.curves import curves
from plainfilm.evaluation.document import LabelResults, Summary
from plainfilm.evaluation.label import (
    TRIVIAL,
    describe_point,
    describe_sample_sizes,
    rate_intervals,
    score_intervals,
    without_other_class,
)
from plainfilm.evaluation.view import NO_POINT, Bools, Clusters, Floats, LabelView, default_points
from plainfilm.records import OperatingPoint, Task, ThresholdEvidence


def summarise(
    labels: ArrayLike,
    probabilities: ArrayLike,
    task: Task,
    patients: Sequence[str],
    points: Sequence[OperatingPoint],
    *,
    validation: Mapping[tuple[str, str], ThresholdEvidence] | None = None,
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
        Operating points. Metrics that need a predicted class use the label's ``balanced`` point,
        or else its first one. A multi-class task without one uses the most probable class.
    validation
        What validation shows about thresholds, by label and name of the point.
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
    y_true = metrics.as_labels(labels, dimensions=2)
    y_score = metrics.as_scores(probabilities, y_true.shape, name="probabilities", low=0, high=1)
    _check(y_true, task, points)
    keys = [str(patient) for patient in patients]
    clusters = Clusters.of(keys, len(y_true))
    views = [_prepare(i, y_true, y_score, clusters, task, points) for i in range(len(task.labels))]
    pairs = _pool_labels(y_true, y_score, clusters)
    several = [] if task.kind == "binary" else [pairs.ranking_statistic()]
    if task.kind == "multiclass":
        top, correct, matrix = _top_class(y_true, y_score, clusters)
        several.append(top.rate_statistic(correct))
    drawn = iter(
        clusters.replicate(
            [*(one for view in views for one in view.statistics), *several], n_bootstrap, seed
        )
    )
    estimates = {
        view.name: _estimate(
            view, [next(drawn) for _ in view.statistics], keys, task, validation or {}
        )
        for view in views
    }
    results = {name: estimate.results for name, estimate in estimates.items()}
    overall, micro = dict(results[task.labels[0]].metrics), {}
    if task.kind != "binary":
        overall = {name: _macro_average(name, estimates) for name in overall}
        micro = _micro_average(pairs, next(drawn))
    if task.kind == "multiclass":
        overall["accuracy"] = rate_intervals(top, correct, next(drawn))["accuracy"]
    return Summary(
        n=len(y_true),
        patients=clusters.patients,
        metrics=overall,
        labels=results,
        micro=micro,
        confusion_matrix=matrix if task.kind == "multiclass" else None,
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
    statistics: tuple[metrics.Statistic, ...]


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
    default = default_points(own).get(name)
    predicted: Bools | None = None
    if default is not None:
        predicted = view.probabilities >= default.threshold
    elif task.kind == "multiclass":
        predicted = (y_score.argmax(axis=1) == column)[known]
    rates = [view.probabilities >= point.threshold for point in own]
    rates += [] if predicted is None else [predicted]
    statistics = (*view.score_statistics(), *(view.rate_statistic(one) for one in rates))
    return _Label(name, view, known, own, predicted, statistics)


@dataclass(frozen=True, slots=True, eq=False)
class _Estimate:
    """The results of one label, and the replicates (R,) of its metrics."""

    results: LabelResults
    replicates: Mapping[str, Floats]


def _estimate(
    label: _Label,
    drawn: Sequence[Floats],
    keys: Sequence[str],
    task: Task,
    validation: Mapping[tuple[str, str], ThresholdEvidence],
) -> _Estimate:
    view = label.view
    intervals, error, replicates = score_intervals(view, drawn[:2])
    if label.predicted is None:
        intervals.update(dict.fromkeys(metrics.RATES, NO_POINT))
    else:
        intervals.update(rate_intervals(view, label.predicted, drawn[-1]))
        replicates.update(zip(metrics.RATES, drawn[-1], strict=True))
    losses = ("brier", "log_loss") if task.kind == "binary" else ()
    intervals = without_other_class(view, intervals, (*TRIVIAL, *losses))
    own_keys = list(compress(keys, label.known)) if view.clusters.clustered else None
    names = (task.classes[0], task.classes[1]) if task.kind == "binary" else ("other", label.name)
    n, positives = len(view.positive), int(view.positive.sum())
    results = LabelResults(
        n=n,
        unknown=len(label.known) - n,
        patients=view.clusters.patients,
        positives=positives,
        prevalence=positives / n if n else np.nan,
        metrics=intervals,
        operating_points={
            point.name: describe_point(view, point, own, validation.get((point.label, point.name)))
            for point, own in zip(label.points, drawn[3:], strict=False)
        },
        curves=curves(view, own_keys, names, error, drawn[2]),
        sample_sizes=describe_sample_sizes(view, intervals),
    )
    return _Estimate(results, replicates)


def _top_class(
    y_true: Floats, y_score: Floats, clusters: Clusters
) -> tuple[LabelView, Bools, tuple[tuple[int, ...], ...]]:
    """Return the images of known class, which are correct, and the confusion matrix.

    In the view every image is positive, so that its accuracy is the share of correct images.
    """
    known = ~np.isnan(y_true.sum(axis=1))
    true, predicted = y_true[known].argmax(axis=1), y_score[known].argmax(axis=1)
    correct, classes = true == predicted, y_true.shape[1]
    counts = np.bincount(true * classes + predicted, minlength=classes**2)
    matrix = tuple(map(tuple, counts.reshape(classes, classes).tolist()))
    view = LabelView(np.ones_like(correct), y_score[known].max(axis=1), clusters[known])
    return view, correct, matrix


def _macro_average(name: str, estimates: Mapping[str, _Estimate]) -> metrics.Interval:
    """Return the mean of a metric over the labels for which it is defined."""
    intervals = {label: one.results.metrics[name] for label, one in estimates.items()}
    defined = {label: one for label, one in intervals.items() if not math.isnan(one.value)}
    if not defined:
        reasons = sorted({one.reason or "" for one in intervals.values()})
        return metrics.undefined("none", f"undefined for every label: {'; '.join(reasons)}")
    missing = [label for label in intervals if label not in defined]
    left_out = f"without {', '.join(missing)} (undefined)" if missing else None
    value = float(np.mean([one.value for one in defined.values()]))
    drawn = np.mean([estimates[label].replicates[name] for label in defined], axis=0)
    finite = drawn[np.isfinite(drawn)]
    if not finite.size or np.ptp(finite) < 1e-12:
        # Every replicate is the same, but the limits of the labels still have a width.
        low = float(np.mean([one.low for one in defined.values()]))
        high = float(np.mean([one.high for one in defined.values()]))
        why = "not every label has limits" if math.isnan(low) else None
        method = "mean of the labels' limits, 95 %"
    else:
        found = metrics.percentile(value, drawn, unit="patients")
        low, high, method, why = found.low, found.high, found.method, found.reason
    reason = "; ".join(part for part in (left_out, why) if part) or None
    return metrics.Interval(value, low, high, method, reason)


def _pool_labels(labels: Floats, probabilities: Floats, clusters: Clusters) -> LabelView:
    """Return every pair of an image and a label known for it, from (n, labels) each."""
    rows, columns = np.nonzero(~np.isnan(labels))
    return LabelView(labels[rows, columns] == 1, probabilities[rows, columns], clusters[rows])


def _micro_average(pairs: LabelView, drawn: Floats) -> dict[str, metrics.Interval]:
    """Return the ranking metrics of all pairs, from the replicates of their ranking statistic.

    All pairs of an image are drawn together, and so are all images of a patient.
    """
    values = pairs.at_once(pairs.ranking_statistic())
    return {
        name: pairs.ranking_interval(name, float(values[row]), drawn[row])
        for row, name in enumerate(("auroc", "average_precision"))
    }

"""Computes every metric with its interval, for one label or for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm import metrics
from plainfilm.errors import MetricError
from plainfilm.evaluation.averages import macro_average, micro_average, pool_labels
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
from plainfilm.evaluation.overall import ExactMatch, MostProbable, exact_match
from plainfilm.evaluation.view import (
    NO_POINT,
    Bools,
    Clusters,
    Floats,
    LabelView,
    default_points,
    for_each,
)
from plainfilm.records import OperatingPoint, Task, ThresholdEvidence


def summarise(
    labels: ArrayLike,
    probabilities: ArrayLike,
    task: Task,
    patients: Sequence[str],
    points: Sequence[OperatingPoint],
    *,
    validation: Mapping[tuple[str, str], ThresholdEvidence] | None = None,
    thresholds: Mapping[tuple[str, str], Floats] | None = None,
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
        or else its first one. In a multi-class task they use the most probable class.
    validation
        What validation shows about thresholds, by label and name of the point.
    thresholds
        Threshold of each image, (n,), by label and name of the points where it differs between
        images.
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
    clusters, own = Clusters.of(patients, len(y_true)), thresholds or {}

    def estimate(columns: Sequence[int]) -> dict[str, _Estimate]:
        views = [_prepare(i, y_true, y_score, clusters, task, points, own) for i in columns]
        statistics = [one for view in views for one in view.statistics]
        drawn = iter(clusters.replicate(statistics, n_bootstrap, seed))
        return {
            view.name: _estimate(
                view, [next(drawn) for _ in view.statistics], task, validation or {}
            )
            for view in views
        }

    # The statistics of very many images take much memory, so each label is computed alone. The seed
    # draws the same patients for all.
    every = range(len(task.labels))
    batches = [[column] for column in every] if len(y_true) > metrics.MANY else [[*every]]
    parts = for_each(estimate, batches, len(y_true))
    estimates = {name: one for part in parts for name, one in part.items()}
    several = _Several.of(estimates, y_true, y_score, clusters, task)
    statistics = several.statistics
    drawn = clusters.replicate(statistics, n_bootstrap, seed)
    return several.summarise(estimates, statistics, drawn, clusters.patients)


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
    calls: Mapping[str, Bools]  # (known images,) at each point
    predicted: Bools | None  # (known images,) at the default operating point
    statistics: tuple[metrics.Statistic, ...]


def _prepare(
    column: int,
    y_true: Floats,
    y_score: Floats,
    clusters: Clusters,
    task: Task,
    points: Sequence[OperatingPoint],
    thresholds: Mapping[tuple[str, str], Floats],
) -> _Label:
    name = task.labels[column]
    known = ~np.isnan(y_true[:, column])
    view = LabelView.of(y_true[:, column], y_score[:, column], clusters)
    own = tuple(point for point in points if point.label == name)
    calls = {}
    for point in own:
        cuts = thresholds.get((name, point.name))
        calls[point.name] = view.probabilities >= (point.threshold if cuts is None else cuts[known])
    default = default_points(own).get(name)
    predicted = None if default is None else calls[default.name]
    if task.kind == "multiclass":
        predicted = (y_score.argmax(axis=1) == column)[known]
    rates = [*calls.values(), *([] if predicted is None else [predicted])]
    statistics = (*view.score_statistics(), *(view.rate_statistic(one) for one in rates))
    return _Label(name, view, known, own, calls, predicted, statistics)


@dataclass(frozen=True, slots=True, eq=False)
class _Estimate:
    """The results of one label, the replicates (R,) of its metrics, and its predictions."""

    results: LabelResults
    replicates: Mapping[str, Floats]
    predicted: Bools | None  # (known images,)


def _estimate(
    label: _Label,
    drawn: Sequence[Floats],
    task: Task,
    validation: Mapping[tuple[str, str], ThresholdEvidence],
) -> _Estimate:
    view = label.view
    at_once = [view.at_once(one) for one in label.statistics[:3]]
    intervals, error, replicates = score_intervals(view, at_once[:2], drawn[:2])
    if label.predicted is None:
        intervals.update(dict.fromkeys(metrics.RATES, NO_POINT))
    else:
        intervals.update(rate_intervals(view, label.predicted, drawn[-1]))
        replicates.update(zip(metrics.RATES, drawn[-1], strict=True))
    losses = ("brier", "log_loss") if task.kind == "binary" else ()
    intervals = without_other_class(view, intervals, (*TRIVIAL, *losses))
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
            point.name: describe_point(
                view, point, label.calls[point.name], own, validation.get((point.label, point.name))
            )
            for point, own in zip(label.points, drawn[3:], strict=False)
        },
        curves=curves(view, names, error, at_once[2], drawn[2]),
        sample_sizes=describe_sample_sizes(view, intervals),
    )
    return _Estimate(results, replicates, label.predicted)


@dataclass(frozen=True, slots=True, eq=False)
class _Several:
    """What is computed of several labels at once; empty for a binary task."""

    n: int
    pairs: LabelView | None = None
    top: MostProbable | None = None
    match: ExactMatch | None = None

    @classmethod
    def of(
        cls,
        estimates: Mapping[str, _Estimate],
        y_true: Floats,
        y_score: Floats,
        clusters: Clusters,
        task: Task,
    ) -> _Several:
        n = len(y_true)
        if task.kind == "binary":
            return cls(n)
        pairs = pool_labels(y_true, y_score, clusters)
        if task.kind == "multiclass":
            return cls(n, pairs, MostProbable.of(y_true, y_score, clusters))
        called = [one.predicted for one in estimates.values()]
        return cls(n, pairs, match=ExactMatch.of(y_true, called, clusters))

    @property
    def statistics(self) -> list[metrics.Statistic]:
        """Return the statistics to draw."""
        found = [] if self.pairs is None else [self.pairs.ranking_statistic()]
        found += [] if self.top is None else self.top.statistics
        return found + ([] if self.match is None else [self.match.statistic])

    def summarise(
        self,
        estimates: Mapping[str, _Estimate],
        statistics: Sequence[metrics.Statistic],
        drawn: Sequence[Floats],
        patients: int,
    ) -> Summary:
        """Return the summary, from the estimates of each label, and statistics with replicates."""
        results = {name: one.results for name, one in estimates.items()}
        if self.pairs is None:
            [only] = results.values()
            return Summary(n=self.n, patients=patients, metrics=only.metrics, labels=results)
        names = next(iter(results.values())).metrics
        macro = {
            name: macro_average(
                {label: one.metrics[name] for label, one in results.items()},
                {k: one.replicates[name] for k, one in estimates.items() if name in one.replicates},
            )
            for name in names
        }
        overall = exact_match(self.match, drawn[1:])
        if self.top is not None:
            overall = self.top.intervals(drawn[1:], macro["sensitivity"])
        return Summary(
            n=self.n,
            patients=patients,
            metrics=overall,
            labels=results,
            macro={name: one for name, one in macro.items() if name not in overall},
            micro=micro_average(self.pairs, statistics[0], drawn[0]),
            confusion_matrix=None
            if self.top is None
            else tuple(map(tuple, self.top.matrix.tolist())),
        )

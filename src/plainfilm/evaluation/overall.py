"""Metrics of a whole task: of the most probable class, of all labels at once, and of all pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm import metrics
from plainfilm.evaluation.label import rate_intervals
from plainfilm.evaluation.view import NO_POINT, Bools, Clusters, Floats, LabelView

EXACT_MATCH = "exact_match"


@dataclass(frozen=True, slots=True, eq=False)
class MostProbable:
    """The most probable class of the images of known class, for a multi-class task.

    In the view every image is positive, so that its accuracy is the share of correct images.
    """

    view: LabelView
    correct: Bools
    matrix: NDArray[np.intp]  # (classes, classes), true classes in rows
    statistics: tuple[metrics.Statistic, ...]

    @classmethod
    def of(cls, y_true: Floats, y_score: Floats, clusters: Clusters) -> MostProbable:
        """Return the view of labels and probabilities (n, classes)."""
        known = ~np.isnan(y_true.sum(axis=1))
        y_true, y_score, clusters = y_true[known], y_score[known], clusters[known]
        true, predicted, classes = y_true.argmax(axis=1), y_score.argmax(axis=1), y_true.shape[1]
        counts = np.bincount(true * classes + predicted, minlength=classes**2)
        correct = true == predicted
        view = LabelView(np.ones_like(correct), y_score.max(axis=1, initial=0.0), clusters)
        units = clusters.drawn, clusters.units
        chosen = np.take_along_axis(y_score, true[:, None], axis=1)[:, 0]
        losses = metrics.log_losses(view.positive, chosen)
        errors = ((y_score - y_true) ** 2).sum(axis=1)
        sums = np.column_stack([np.ones_like(losses), errors / 2, losses])
        statistics = (
            view.rate_statistic(correct),
            metrics.overall_statistic(true, predicted, classes, *units),
            metrics.totals_statistic(sums, *units),
        )
        return cls(view, correct, counts.reshape(classes, classes), statistics)

    def intervals(
        self, drawn: Sequence[Floats], balanced: metrics.Interval
    ) -> dict[str, metrics.Interval]:
        """Return the metrics of the most probable class, from the replicates of the statistics.

        ``balanced`` is the mean sensitivity with its interval.
        """
        accuracy = rate_intervals(self.view, self.correct, drawn[0])["accuracy"]
        found = {"accuracy": accuracy, "balanced_accuracy": balanced}
        if not self.correct.size:
            names = ("balanced_accuracy", "mcc", "kappa", "brier", "log_loss")
            return {**found, **dict.fromkeys(names, accuracy)}
        for name in ("mcc", "kappa"):
            found[name] = self._agreement(name, drawn[1], accuracy)
        total = self.view.at_once(self.statistics[2])
        for row, name, scale in ((1, "brier", 2.0), (2, "log_loss", 1.0)):
            with np.errstate(invalid="ignore"):
                replicates = drawn[2][row] / drawn[2][0]
            one = self.view.interval(name, float(total[row] / total[0]), replicates)
            # Of several classes the Brier score is between 0 and 2.
            ends = (scale * one.value, scale * one.low, scale * one.high)
            found[name] = metrics.Interval(*ends, one.method, one.reason)
        return found

    def _agreement(self, name: str, drawn: Floats, accuracy: metrics.Interval) -> metrics.Interval:
        """Return MCC or kappa with its interval."""
        row = metrics.OVERALL.index(name)
        value = float(metrics.overall_rates(self.matrix)[row])
        if math.isnan(value):
            return metrics.undefined("none", "all images are of one class")
        clusters = self.view.clusters
        sides = [clusters[side].patients for side in (self.correct, ~self.correct)]
        if min(sides) >= metrics.FEW_PATIENTS:
            found = metrics.correlation_interval(
                value, drawn[row], clusters.patients - 1, unit=clusters.unit
            )
            if found is not None:
                return found
        # With few errors a bootstrap is too narrow. Kappa is a linear function of the accuracy for
        # given frequencies of the classes, and MCC nearly the same function.
        true, predicted = (self.matrix.sum(axis=axis) / self.matrix.sum() for axis in (1, 0))
        rest = 1 - float(true @ predicted)
        low, high = (
            float(np.clip(value + (limit - accuracy.value) / rest, -1, 1))
            for limit in (accuracy.low, accuracy.high)
        )
        return metrics.Interval(
            value, low, high, f"from the limits of the accuracy; {accuracy.method}", accuracy.reason
        )


@dataclass(frozen=True, slots=True, eq=False)
class ExactMatch:
    """Whether all labels of an image are predicted correctly, for a multi-label task.

    Only images whose labels are all known count.
    """

    view: LabelView
    correct: Bools

    @classmethod
    def of(
        cls, y_true: Floats, predicted: Sequence[Bools | None], clusters: Clusters
    ) -> ExactMatch | None:
        """Return the view of labels (n, labels), or None if a label has no predictions.

        The predictions of a label are those of its images of known label.
        """
        correct = np.ones(len(y_true), bool)
        for column, called in enumerate(predicted):
            if called is None:
                return None
            known = ~np.isnan(y_true[:, column])
            correct[~known] = False
            correct[known] &= called == (y_true[known, column] == 1)
        rows = np.flatnonzero(~np.isnan(y_true.sum(axis=1)))
        correct = correct[rows]
        scores = np.ones(len(correct))
        return cls(LabelView(np.ones_like(correct), scores, clusters[rows]), correct)

    @property
    def statistic(self) -> metrics.Statistic:
        """Return the statistic to draw."""
        return self.view.rate_statistic(self.correct)

    def interval(self, drawn: Floats) -> metrics.Interval:
        """Return the share of images without any error, from its replicates."""
        found = rate_intervals(self.view, self.correct, drawn)["accuracy"]
        if math.isnan(found.value):
            return metrics.undefined("none", "there is no image whose labels are all known")
        return found


def exact_match(match: ExactMatch | None, drawn: Sequence[Floats]) -> dict[str, metrics.Interval]:
    """Return the metrics of all labels of an image at once, by name."""
    return {EXACT_MATCH: NO_POINT if match is None else match.interval(drawn[0])}

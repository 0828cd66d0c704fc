"""Compares two models in the metrics of one label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.document.several import ComparisonRow, FoldComparison
from plainfilm.evaluation.result import Stored, default_cuts
from plainfilm.evaluation.view import NO_POINT, ONE_CLASS, Floats, repeated
from plainfilm.metrics import (
    Interval,
    PairedTest,
    clustered_bootstrap,
    clustered_difference,
    confusion,
    corrected_difference,
    delong_test,
    detectable_difference,
    judge_margin,
    mcnemar_test,
    why_undefined,
)
from plainfilm.metrics.statistics import metric_statistic

_WITHOUT_THRESHOLD = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
_LOWER_IS_BETTER = frozenset({"brier", "log_loss", "lr_negative"})
# Largest possible difference of a metric; 1 for the others.
_LARGEST = {"mcc": 2.0, "log_loss": math.inf, "lr_positive": math.inf, "lr_negative": math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class ComparedLabel:
    """The labels of the same images, and the predictions of the models.

    ``above`` is how far their probabilities are above their thresholds; None without one. ``folds``
    are those of the images, the same for all models that are cross-validations; None for others.
    """

    y_true: Floats
    scores: tuple[Floats, ...]
    above: tuple[Floats | None, ...]
    patients: NDArray[np.str_] | None  # None where each patient has one image
    folds: tuple[NDArray[np.intp] | None, ...]
    n_bootstrap: int
    seed: int
    known: dict[tuple[int, str], Interval] = field(default_factory=dict)  # of single models

    @classmethod
    def of(
        cls, sides: Sequence[Stored], column: int, label: str, n_bootstrap: int, seed: int
    ) -> ComparedLabel:
        """Take the column of a label from matched evaluations."""
        return cls(
            sides[0].predictions.labels[:, column].astype(np.float64),
            tuple(side.predictions.probabilities[:, column].astype(float) for side in sides),
            tuple(_above(side, column, label) for side in sides),
            repeated(np.asarray(sides[0].predictions.patients)),
            tuple(side.predictions.folds for side in sides),
            n_bootstrap,
            seed,
        )

    def compare(self, couple: tuple[int, int], name: str, margin: float | None) -> ComparisonRow:
        """Compare two models, given by their numbers, in one metric."""
        higher = name not in _LOWER_IS_BETTER
        own, other = (self._scores(number, name) for number in couple)
        if own is None or other is None:
            return ComparisonRow(name, higher, NO_POINT, NO_POINT, NO_POINT)
        if len(np.unique(self.y_true[~np.isnan(self.y_true)])) < 2:
            return ComparisonRow(name, higher, ONE_CLASS, ONE_CLASS, ONE_CLASS)
        test = self._test(name, own, other)
        if test is not None and name == "auroc":
            difference = test.difference  # the formula is more stable than the bootstrap
        else:
            difference = clustered_difference(
                name, self.y_true, own, other, self.patients, thresholds=(0.0, 0.0),
                n_bootstrap=self.n_bootstrap, seed=self.seed,
            )  # fmt: skip
        first, second = (
            self._value(number, name, scores)
            for number, scores in zip(couple, (own, other), strict=True)
        )
        return ComparisonRow(
            metric=name,
            higher_is_better=higher,
            first=first,
            second=second,
            difference=difference,
            p=test.p if test is not None and math.isfinite(test.p) else None,
            test=None if test is None else test.method,
            detectable=_detectable(name, test, difference),
            margin=margin,
            verdict=None
            if margin is None
            else judge_margin(difference, margin, higher_is_better=higher),
            folds=self._compare_folds(couple, name, own, other),
        )

    def _scores(self, number: int, name: str) -> Floats | None:
        """Return scores of a model with the threshold 0, or its probabilities."""
        return (self.scores if name in _WITHOUT_THRESHOLD else self.above)[number]

    def _value(self, number: int, name: str, scores: Floats) -> Interval:
        """Return a metric of one model, computed once."""
        if (number, name) not in self.known:
            self.known[number, name] = clustered_bootstrap(
                name, self.y_true, scores, self.patients, threshold=0.0,
                n_bootstrap=self.n_bootstrap, seed=self.seed,
            )  # fmt: skip
        return self.known[number, name]

    def _compare_folds(
        self, couple: tuple[int, int], name: str, one: Floats, other: Floats
    ) -> FoldComparison | None:
        """Return the comparison over folds, None without them or if a fold lacks a class."""
        folds = self.folds[couple[0]]
        if folds is None or self.folds[couple[1]] is None:
            return None
        known = ~np.isnan(self.y_true)
        numbers = np.unique(folds[known])
        gaps = []
        for number in numbers:
            rows = known & (folds == number)
            gaps.append(_value(name, self.y_true[rows], other[rows]))
            gaps[-1] -= _value(name, self.y_true[rows], one[rows])
        if len(gaps) < 2 or not np.isfinite(gaps).all():
            return None
        size = known.sum() / len(numbers)
        test = corrected_difference(gaps, n_train=known.sum() - size, n_test=size)
        p = test.p if math.isfinite(test.p) else None
        return FoldComparison(test.difference, p, test.method)

    def _test(self, name: str, one: Floats, other: Floats) -> PairedTest | None:
        """Return the paired test of a metric that has one."""
        if name == "auroc":
            return delong_test(self.y_true, one, other, self.patients)
        rows = {
            "accuracy": ~np.isnan(self.y_true),
            "sensitivity": self.y_true == 1,
            "specificity": self.y_true == 0,
        }.get(name)
        if rows is None:
            return None
        first, second = ((scores[rows] >= 0) == (self.y_true[rows] == 1) for scores in (one, other))
        keys = None if self.patients is None else repeated(self.patients[rows])
        return mcnemar_test(first, second, keys)


def _value(name: str, y_true: Floats, scores: Floats) -> float:
    """Return a metric of a fold; scores above 0 are predicted positive, if it needs a threshold."""
    positive, images = y_true == 1, np.arange(len(y_true))
    called = scores >= 0
    if why_undefined(name, confusion(positive, called)) is not None:
        return math.nan
    statistic, row = metric_statistic(name, positive, scores, called, images, len(images))
    return float(statistic(np.ones((1, len(images))))[row, 0])


def _above(side: Stored, column: int, label: str) -> Floats | None:
    """Return how far the probabilities of a label are above the default threshold."""
    cuts = default_cuts(side.document, side.predictions).get(label)
    return None if cuts is None else side.predictions.probabilities[:, column].astype(float) - cuts


def _detectable(name: str, test: PairedTest | None, difference: Interval) -> float | None:
    """Return the difference that this many images would have shown with a power of 80 %.

    None where the standard error is unknown, or where the metric cannot differ by so much.
    """
    error = math.nan if test is None else test.standard_error
    width = difference.high - difference.low
    if not error > 0 and math.isfinite(width):
        error = width / (2 * 1.959964)
    found = detectable_difference(error) if error > 0 else math.inf
    return found if found < _LARGEST.get(name, 1.0) else None

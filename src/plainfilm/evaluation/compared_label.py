"""Compares two models in the metrics of one label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.document.several import ComparisonRow
from plainfilm.evaluation.result import Stored
from plainfilm.evaluation.view import NO_POINT, ONE_CLASS, Floats, repeated
from plainfilm.metrics import (
    Interval,
    PairedTest,
    clustered_bootstrap,
    clustered_difference,
    delong_test,
    detectable_difference,
    judge_margin,
    mcnemar_test,
)

_WITHOUT_THRESHOLD = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
_LOWER_IS_BETTER = frozenset({"brier", "log_loss", "lr_negative"})
# Largest possible difference of a metric; 1 for the others.
_LARGEST = {"mcc": 2.0, "log_loss": math.inf, "lr_positive": math.inf, "lr_negative": math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class ComparedLabel:
    """The labels of the same images, and the probabilities and thresholds of the models."""

    y_true: Floats
    scores: tuple[Floats, ...]
    patients: NDArray[np.str_] | None  # None where each patient has one image
    thresholds: tuple[float | None, ...]
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
            repeated(np.asarray(sides[0].predictions.patients)),
            tuple(side.document.thresholds.get(label) for side in sides),
            n_bootstrap,
            seed,
        )

    def compare(self, couple: tuple[int, int], name: str, margin: float | None) -> ComparisonRow:
        """Compare two models, given by their numbers, in one metric."""
        higher = name not in _LOWER_IS_BETTER
        cuts = [self.thresholds[number] for number in couple]
        if name in _WITHOUT_THRESHOLD:
            cuts = [0.0, 0.0]
        if cuts[0] is None or cuts[1] is None:
            return ComparisonRow(name, higher, NO_POINT, NO_POINT, NO_POINT)
        if len(np.unique(self.y_true[~np.isnan(self.y_true)])) < 2:
            return ComparisonRow(name, higher, ONE_CLASS, ONE_CLASS, ONE_CLASS)
        thresholds = cuts[0], cuts[1]
        scores = self.scores[couple[0]], self.scores[couple[1]]
        test = self._test(name, scores, thresholds)
        if test is not None and name == "auroc":
            difference = test.difference  # the formula is more stable than the bootstrap
        else:
            difference = clustered_difference(
                name, self.y_true, *scores, self.patients, thresholds=thresholds,
                n_bootstrap=self.n_bootstrap, seed=self.seed,
            )  # fmt: skip
        first, second = (
            self._value(number, name, cut) for number, cut in zip(couple, thresholds, strict=True)
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
        )

    def _value(self, number: int, name: str, threshold: float) -> Interval:
        """Return a metric of one model, computed once."""
        if (number, name) not in self.known:
            self.known[number, name] = clustered_bootstrap(
                name, self.y_true, self.scores[number], self.patients, threshold=threshold,
                n_bootstrap=self.n_bootstrap, seed=self.seed,
            )  # fmt: skip
        return self.known[number, name]

    def _test(
        self, name: str, scores: tuple[Floats, Floats], thresholds: tuple[float, float]
    ) -> PairedTest | None:
        """Return the paired test of a metric that has one."""
        if name == "auroc":
            return delong_test(self.y_true, *scores, self.patients)
        rows = {
            "accuracy": ~np.isnan(self.y_true),
            "sensitivity": self.y_true == 1,
            "specificity": self.y_true == 0,
        }.get(name)
        if rows is None:
            return None
        first, second = (
            (values[rows] >= threshold) == (self.y_true[rows] == 1)
            for values, threshold in zip(scores, thresholds, strict=True)
        )
        keys = None if self.patients is None else repeated(self.patients[rows])
        return mcnemar_test(first, second, keys)


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

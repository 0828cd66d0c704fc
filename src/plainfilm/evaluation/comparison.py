"""Compares two models by their evaluations of the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm import __version__, _files
from plainfilm.errors import RunError, UsageError
from plainfilm.evaluation.document import ComparisonDocument
from plainfilm.evaluation.document.several import ComparedModel, ComparisonRow, write_with_table
from plainfilm.evaluation.result import Stored
from plainfilm.evaluation.scoring import Predictions
from plainfilm.evaluation.view import NO_POINT, ONE_CLASS, Floats, repeated
from plainfilm.metrics import (
    BOOTSTRAP_METRICS,
    Interval,
    PairedTest,
    clustered_bootstrap,
    clustered_difference,
    delong_test,
    detectable_difference,
    holm,
    judge_margin,
    mcnemar_test,
)

METRICS = ("auroc", "average_precision", "brier", "accuracy", "sensitivity", "specificity")
"""The metrics that are compared by default."""

_WITHOUT_THRESHOLD = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
_LOWER_IS_BETTER = frozenset({"brier", "log_loss", "lr_negative"})
# Largest possible difference of a metric; 1 for the others.
_LARGEST = {"mcc": 2.0, "log_loss": math.inf, "lr_positive": math.inf, "lr_negative": math.inf}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `compare`.

    Attributes
    ----------
    document
        The content of ``comparison.json``.
    folder
        Folder of ``comparison.json`` and ``comparison.csv``; None where nothing was written.
    """

    document: ComparisonDocument
    folder: Path | None


def compare(
    first: str | Path,
    second: str | Path,
    *,
    metrics: Sequence[str] = METRICS,
    margins: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two models by their evaluations of the same images.

    Parameters
    ----------
    first, second
        Folders of evaluations, or of runs that were evaluated. A difference is the second model
        minus the first.
    metrics
        Names of `plainfilm.metrics.BOOTSTRAP_METRICS`. Those that need a threshold use each model's
        own ``balanced`` operating point, which was locked on its validation set.
    margins
        Metric to the non-inferiority margin, chosen before the results are known.
    out
        Folder for ``comparison.json`` and ``comparison.csv``; None writes nothing.
    n_bootstrap, seed
        Number of resamples and seed of the bootstrap.

    Raises
    ------
    UsageError
        If a folder holds no evaluation, or the two are not of the same images, patients and
        labels, or a metric or margin cannot be used.
    """
    margins = margins or {}
    if out is not None:
        _files.check_output_folder(Path(out), "comparison.json")
    if isinstance(metrics, str):
        raise UsageError("metrics= needs a list of names", received=repr(metrics))
    metrics = tuple(dict.fromkeys(metrics))  # a repeated metric would be tested twice
    _check(metrics, margins)
    one, other = sides = _read_pair(Path(first), Path(second))
    labels: dict[str, list[ComparisonRow]] = {}
    for column, label in enumerate(one.document.task.labels):
        pair = _Pair.of(sides, column, label, n_bootstrap, seed)
        labels[label] = [pair.compare(name, margins.get(name)) for name in metrics]
    tests = [row.p for rows in labels.values() for row in rows if row.p is not None]
    adjusted = iter(holm(tests))
    document = ComparisonDocument(
        version=__version__,
        first=_model(one),
        second=_model(other),
        dataset=one.document.dataset,
        n=len(one.predictions.ids),
        patients=len(set(one.predictions.patients)),
        tests=len(tests),
        labels={
            label: tuple(
                row if row.p is None else replace(row, p_adjusted=next(adjusted)) for row in rows
            )
            for label, rows in labels.items()
        },
    )
    if out is None:
        return Comparison(document, None)
    folder = _files.make_folder(Path(out))
    table = [
        {"label": key, "metrics": row} for key, rows in document.labels.items() for row in rows
    ]
    write_with_table(document, folder / "comparison", table)
    return Comparison(document, folder)


def _check(metrics: Sequence[str], margins: Mapping[str, float]) -> None:
    for name in (*metrics, *margins):
        if name not in BOOTSTRAP_METRICS:
            raise UsageError(
                "there is no such metric",
                received=name,
                remedy=f"choose one of {', '.join(BOOTSTRAP_METRICS)}",
            )
    for name, margin in margins.items():
        if name not in metrics:
            raise UsageError(f"a margin is given for {name}, which is not compared")
        if not (margin > 0 and math.isfinite(margin)):
            raise UsageError(f"the margin of {name} must be above 0", received=margin)


def _read_pair(first: Path, second: Path) -> tuple[Stored, Stored]:
    """Read two evaluations of the same images, the second in the order of the first."""
    try:
        place = first
        one = Stored.read(first)
        place = second
        other = Stored.read(second)
    except RunError as error:
        raise UsageError(
            f"{place} holds no evaluation that can be compared",
            received=error.problem,
            remedy="give the folder that plainfilm evaluate wrote, or a run that was evaluated",
        ) from error
    task = one.document.task
    if task != other.document.task:
        raise UsageError(
            "the two models have different tasks",
            received=f"{task.classes} and {other.document.task.classes}",
        )
    aligned = _align(one.predictions, other.predictions, task.labels)
    if np.array_equal(one.predictions.probabilities, aligned.probabilities):
        raise UsageError(
            "both evaluations have the same probabilities, so there is nothing to compare",
            received=f"bundles {one.document.bundle.id[:12]} and {other.document.bundle.id[:12]}",
            remedy="give evaluations of two models on the same images",
        )
    return one, other._replace(predictions=aligned)


def _align(one: Predictions, other: Predictions, names: Sequence[str]) -> Predictions:
    """Return the second predictions in the order of the first, after checking them."""
    mine, theirs = set(one.ids), set(other.ids)
    if mine != theirs or len(mine) != len(one.ids) or len(theirs) != len(other.ids):
        lone = sorted(mine ^ theirs)
        raise UsageError(
            "the two evaluations are not of the same images",
            received=f"{len(mine & theirs)} in both, {len(mine - theirs)} in the first only, "
            f"{len(theirs - mine)} in the second only, such as {', '.join(lone[:3]) or 'none'}",
            remedy="evaluate both on the same data: plainfilm evaluate BUNDLE DATA --out FOLDER",
        )
    rows = {id_: row for row, id_ in enumerate(other.ids)}
    order = [rows[id_] for id_ in one.ids]
    patients = tuple(other.patients[row] for row in order)
    # Keys may have different salts: only the grouping counts.
    pairs = set(zip(one.patients, patients, strict=True))
    if not len(pairs) == len(set(patients)) == len(set(one.patients)):
        raise UsageError("the two evaluations group the images into different patients")
    labels = other.labels[order]
    wrong = np.argwhere(~((one.labels == labels) | (np.isnan(one.labels) & np.isnan(labels))))
    if len(wrong):
        row, column = wrong[0]
        values = f"{one.labels[row, column]:g} and {labels[row, column]:g}"
        raise UsageError(
            f"the two evaluations disagree about the ground truth of {names[column]}",
            received=f"{one.ids[row]}: {values}",
        )
    return Predictions(
        other.bundle,
        one.ids,
        patients,
        labels,
        other.probabilities[order],
        other.rejected[order],
    )


def _model(side: Stored) -> ComparedModel:
    folder, bundle = side.folder, side.document.bundle
    name = folder.parent.name if folder.name == "evaluation" else folder.name
    return ComparedModel(name, bundle.id, bundle.recipe, bundle.seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """The labels of the same images, and the probabilities and thresholds of two models."""

    y_true: Floats
    scores: tuple[Floats, Floats]
    patients: NDArray[np.str_] | None  # None where each patient has one image
    thresholds: tuple[float, float] | None
    n_bootstrap: int
    seed: int

    @classmethod
    def of(
        cls, sides: tuple[Stored, Stored], column: int, label: str, n_bootstrap: int, seed: int
    ) -> _Pair:
        y_true = sides[0].predictions.labels[:, column].astype(np.float64)
        one, other = (side.predictions.probabilities[:, column].astype(float) for side in sides)
        patients = repeated(np.asarray(sides[0].predictions.patients))
        first, second = (side.document.thresholds.get(label) for side in sides)
        thresholds = None if first is None or second is None else (first, second)
        return cls(y_true, (one, other), patients, thresholds, n_bootstrap, seed)

    def compare(self, name: str, margin: float | None) -> ComparisonRow:
        """Compare the models in one metric."""
        higher = name not in _LOWER_IS_BETTER
        if name not in _WITHOUT_THRESHOLD and self.thresholds is None:
            return ComparisonRow(name, higher, NO_POINT, NO_POINT, NO_POINT)
        if len(np.unique(self.y_true[~np.isnan(self.y_true)])) < 2:
            return ComparisonRow(name, higher, ONE_CLASS, ONE_CLASS, ONE_CLASS)
        thresholds = self.thresholds or (0.0, 0.0)
        settings = {"n_bootstrap": self.n_bootstrap, "seed": self.seed}
        first, second = (
            clustered_bootstrap(
                name, self.y_true, scores, self.patients, threshold=threshold, **settings
            )
            for scores, threshold in zip(self.scores, thresholds, strict=True)
        )
        test = self._test(name, thresholds)
        if test is not None and name == "auroc":
            difference = test.difference  # the formula is more stable than the bootstrap
        else:
            difference = clustered_difference(
                name, self.y_true, *self.scores, self.patients, thresholds=thresholds, **settings
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

    def _test(self, name: str, thresholds: tuple[float, float]) -> PairedTest | None:
        """Return the paired test of a metric that has one."""
        if name == "auroc":
            return delong_test(self.y_true, *self.scores, self.patients)
        rows = {
            "accuracy": ~np.isnan(self.y_true),
            "sensitivity": self.y_true == 1,
            "specificity": self.y_true == 0,
        }.get(name)
        if rows is None:
            return None
        first, second = (
            (scores[rows] >= threshold) == (self.y_true[rows] == 1)
            for scores, threshold in zip(self.scores, thresholds, strict=True)
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

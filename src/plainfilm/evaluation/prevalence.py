"""Results at another prevalence, with probabilities corrected for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import UsageError
from plainfilm.evaluation.document.analyses import (
    AtPrevalence,
    LabelAtPrevalence,
    PredictiveValuePair,
)
from plainfilm.evaluation.label import predict_values, rate_intervals, too_few
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.view import Bools, Clusters, Floats, LabelView
from plainfilm.metrics import Interval, shift_prevalence, totals_statistic, undefined

_NOTE = (
    "The test images are weighted so that this share of them is positive, and the odds of each "
    "probability are multiplied by the ratio of the prior odds. This is valid where positive and "
    "negative images look like those here and only their proportion differs."
)
_METHOD = "weighted logistic regression with slope 1, sandwich variance over patients, 95 %"
_CLOSEST = 1e-7


def assumed_prevalence(model: JudgedModel, label: str) -> float:
    """Return the prevalence of a label that the probabilities of a model assume."""
    if model.summary.assumed_prevalence == "balanced":
        return 1 / len(model.task.labels) if model.task.kind == "multiclass" else 0.5
    share = model.training_prevalence.get(label)
    if share is None or not 0 < share < 1:
        remedy = "train again with this version, or leave the prevalence out"
        if model.summary.imported_from is not None:
            remedy = (
                "leave the prevalence out: that of the training of an imported network is unknown"
            )
        if model.summary.kind == "predictions":
            remedy = "calibrate them with validation=, or leave the prevalence out"
        raise UsageError(
            f"it is not known which prevalence of {label} the probabilities assume",
            received=model.summary.name,
            remedy=remedy,
        )
    return float(share)


def check_prevalence(model: JudgedModel, prevalence: float) -> None:
    """Raise a `UsageError` unless a model can be corrected for a prevalence."""
    if not 0 < prevalence < 1:
        raise UsageError("a prevalence must be between 0 and 1", received=prevalence)
    if model.task.kind == "multiclass":
        raise UsageError("a task of several classes cannot be corrected for one prevalence")
    for label in model.task.labels:
        assumed_prevalence(model, label)


def describe_prevalence(
    model: JudgedModel,
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: Sequence[str],
    prevalence: float,
    *,
    n_bootstrap: int = 2000,
) -> AtPrevalence:
    """Return calibration in the large, Brier score, PPV and NPV at another prevalence.

    Labels (1, 0 or NaN) and probabilities are (n, labels), patient keys (n,). ``prevalence`` is the
    share of positives to correct for, see `check_prevalence`.
    """
    check_prevalence(model, prevalence)
    y_true, y_score = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    clusters = Clusters.of(patients, len(y_true))
    found = {}
    for column, label in enumerate(model.task.labels):
        view = LabelView.of(y_true[:, column], y_score[:, column], clusters)
        points = {
            point.name: _predictive_values(view, point.threshold, prevalence, n_bootstrap)
            for point in model.operating_points
            if point.label == label
        }
        assumed = assumed_prevalence(model, label)
        found[label] = _correct(view, assumed, prevalence, points, n_bootstrap)
    return AtPrevalence(prevalence, _NOTE, found)


def _correct(
    view: LabelView,
    assumed: float,
    prevalence: float,
    points: dict[str, PredictiveValuePair],
    n_bootstrap: int,
) -> LabelAtPrevalence:
    positive, given = view.positive, view.probabilities
    why = too_few(view)
    if why is not None:
        missing = undefined("none", why)
        return LabelAtPrevalence(assumed, missing, missing, missing, missing, points)
    share = float(positive.mean())
    weights = np.where(positive, prevalence / share, (1 - prevalence) / (1 - share))
    corrected = shift_prevalence(given, from_=assumed, to=prevalence)
    groups = view.clusters.groups
    return LabelAtPrevalence(
        assumed_prevalence=assumed,
        in_the_large_uncorrected=_intercept(positive, given, weights, groups),
        in_the_large_corrected=_intercept(positive, corrected, weights, groups),
        brier_uncorrected=_brier(view, given, prevalence, n_bootstrap),
        brier_corrected=_brier(view, corrected, prevalence, n_bootstrap),
        operating_points=points,
    )


def _brier(view: LabelView, given: Floats, prevalence: float, n_bootstrap: int) -> Interval:
    """Return the Brier score of probabilities at a prevalence: a mean of those of both classes."""
    squares, sides = (given - view.positive) ** 2, np.stack([view.positive, ~view.positive])
    columns = np.concatenate([sides, sides * squares]).T.astype(np.float64)
    statistic = totals_statistic(columns, view.clusters.drawn, view.clusters.units)

    def mean(sums: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            up, down = sums[2:] / sums[:2]
        weighted: Floats = prevalence * up + (1 - prevalence) * down
        return weighted

    [drawn] = view.clusters.replicate([statistic], n_bootstrap)
    return view.interval("brier", float(mean(view.at_once(statistic))), mean(drawn))


def _intercept(
    positive: Bools, probabilities: Floats, weights: Floats, groups: NDArray[np.intp]
) -> Interval:
    """Return by how much the log odds are too low on average, 0 if they are right."""
    clipped = np.clip(probabilities, _CLOSEST, 1 - _CLOSEST)
    logits = np.log(clipped / (1 - clipped))
    shift = 0.0
    for _ in range(100):
        expected = 0.5 * (1 + np.tanh((logits + shift) / 2))
        spread = float(weights @ (expected * (1 - expected)))
        step = float(weights @ (positive - expected)) / max(spread, 1e-12)
        shift += float(np.clip(step, -2, 2))
        if abs(step) < 1e-10:
            break
    expected = 0.5 * (1 + np.tanh((logits + shift) / 2))
    spread = float(weights @ (expected * (1 - expected)))
    # The weights fix the share of positives, as drawing each class separately would. Only the
    # variation of each class about its own mean remains.
    scores = weights * (positive - expected)
    for own in (positive, ~positive):
        scores[own] -= scores[own].mean()
    summed = np.bincount(groups, weights=scores)
    error = math.sqrt(float(summed @ summed)) / max(spread, 1e-12)
    return Interval(shift, shift - 1.959964 * error, shift + 1.959964 * error, _METHOD)


def _predictive_values(
    view: LabelView, threshold: float, prevalence: float, n_bootstrap: int
) -> PredictiveValuePair:
    predicted = view.probabilities >= threshold
    [drawn] = view.clusters.replicate([view.rate_statistic(predicted)], n_bootstrap)
    rates = rate_intervals(view, predicted, drawn)
    found = predict_values(view, predicted, rates, drawn, [prevalence])
    if found is None:
        missing = undefined("none", too_few(view) or "")
        return PredictiveValuePair(missing, missing)
    return PredictiveValuePair(
        Interval(found.ppv[0], found.ppv_low[0], found.ppv_high[0], found.method),
        Interval(found.npv[0], found.npv_low[0], found.npv_high[0], found.method),
    )

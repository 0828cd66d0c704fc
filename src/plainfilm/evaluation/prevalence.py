"""The same bundle where another share of the images is positive, as a correction one asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.bundle import Bundle
from plainfilm.errors import UsageError
from plainfilm.evaluation.label import rate_intervals
from plainfilm.evaluation.predictive import predict_values
from plainfilm.evaluation.view import LabelView
from plainfilm.metrics import (
    Interval,
    group_index,
    pool,
    replicate,
    shift_prevalence,
    undefined,
)

__all__ = ["assumed_prevalence", "check_prevalence", "describe_prevalence"]

_NOTE = (
    "The test images are weighed so that this share of them is positive, and the probabilities are "
    "moved by the ratio of the odds. That holds where positives look like those here, and "
    "negatives too, and only their numbers differ."
)
_METHOD = "weighted logistic regression with slope 1, sandwich variance over patients, 95 %"
_CLOSEST = 1e-7


def assumed_prevalence(bundle: Bundle, label: str) -> float:
    """Return which share of positives a bundle's probabilities of a label take for granted.

    Raises
    ------
    UsageError
        If the bundle does not tell.
    """
    origin = bundle.provenance
    if origin.get("assumed_prevalence") == "balanced":
        return 1 / len(bundle.task.labels) if bundle.task.kind == "multiclass" else 0.5
    share = (origin.get("training_prevalence") or {}).get(label)
    if share is None or not 0 < share < 1:
        raise UsageError(
            f"the bundle does not tell which prevalence of {label} its probabilities assume",
            remedy="train again with this version, or leave the prevalence out",
        )
    return float(share)


def check_prevalence(bundle: Bundle, prevalence: float) -> None:
    """Refuse a prevalence that a bundle cannot be corrected for, before any work is done.

    Raises
    ------
    UsageError
        As `describe_prevalence` does.
    """
    if not 0 < prevalence < 1:
        raise UsageError("a prevalence must lie between 0 and 1", received=prevalence)
    if bundle.task.kind == "multiclass":
        raise UsageError("one prevalence says nothing about a task of several classes")
    for label in bundle.task.labels:
        assumed_prevalence(bundle, label)


def describe_prevalence(
    bundle: Bundle,
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: Sequence[str],
    prevalence: float,
    *,
    replicates: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return calibration in the large, Brier score, PPV and NPV at another prevalence.

    Parameters
    ----------
    bundle
        Whose probabilities and operating points these are.
    labels, probabilities
        (n, labels); labels are 1, 0 or NaN.
    patients
        (n,) keys.
    prevalence
        The share of positives to correct for, between 0 and 1.
    replicates, seed
        Of the bootstrap of PPV and NPV.

    Returns
    -------
    The entry ``at_prevalence`` of ``evaluation.json``.

    Raises
    ------
    UsageError
        If the prevalence is out of range, or the task is multi-class, of which one share says
        nothing, or the bundle does not tell what it assumes.
    """
    check_prevalence(bundle, prevalence)
    truth, chances = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    groups, count = group_index(patients, len(truth))
    drawn, units = pool(groups, count)
    found = {}
    for column, label in enumerate(bundle.task.labels):
        known = ~np.isnan(truth[:, column])
        positive, given = truth[known, column] == 1, chances[known, column]
        assumed = assumed_prevalence(bundle, label)
        view = LabelView(positive, given, groups[known], drawn[known], units, count < len(truth))
        found[label] = {
            "assumed": assumed,
            **_calibration(positive, given, groups[known], assumed, prevalence),
            "operating_points": {
                point.name: _values(view, given >= point.threshold, prevalence, replicates, seed)
                for point in bundle.operating_points
                if point.label == label
            },
        }
    return {"prevalence": prevalence, "note": _NOTE, "labels": found}


def _calibration(
    positive: NDArray[np.bool_],
    given: NDArray[np.float64],
    groups: NDArray[np.intp],
    assumed: float,
    prevalence: float,
) -> dict[str, Any]:
    share = float(positive.mean()) if positive.size else math.nan
    if not 0 < share < 1:
        nothing = undefined("none", "one class is missing").to_json()
        return {"in_the_large": {"before": nothing, "after": nothing}, "brier": None}
    weights = np.where(positive, prevalence / share, (1 - prevalence) / (1 - share))
    moved = shift_prevalence(given, from_=assumed, to=prevalence)
    both = {"before": given, "after": moved}
    return {
        "in_the_large": {
            name: _intercept(positive, values, weights, groups).to_json()
            for name, values in both.items()
        },
        "brier": {
            name: float(np.average((values - positive) ** 2, weights=weights))
            for name, values in both.items()
        },
    }


def _intercept(
    positive: NDArray[np.bool_],
    chances: NDArray[np.float64],
    weights: NDArray[np.float64],
    groups: NDArray[np.intp],
) -> Interval:
    """Return by how much the log odds are too low, 0 if they are right on the whole."""
    clipped = np.clip(chances, _CLOSEST, 1 - _CLOSEST)
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
    # Weighing fixes the share of positives, as drawing each class by itself would: what varies is
    # each class about its own mean.
    scores = weights * (positive - expected)
    for own in (positive, ~positive):
        scores[own] -= scores[own].mean()
    summed = np.bincount(groups, weights=scores)
    error = math.sqrt(float(summed @ summed)) / max(spread, 1e-12)
    return Interval(shift, shift - 1.959964 * error, shift + 1.959964 * error, _METHOD)


def _values(
    view: LabelView,
    called: NDArray[np.bool_],
    prevalence: float,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    [drawn] = replicate(
        [view.rate_statistic(called)],
        patients=view.units,
        images=len(called),
        replicates=replicates,
        rng=np.random.default_rng(seed),
    )
    found = predict_values(view, called, rate_intervals(view, called, drawn), drawn, [prevalence])
    if found is None:
        nothing = undefined("none", "one class is missing").to_json()
        return {"ppv": nothing, "npv": nothing}
    return {
        name: Interval(float(value[0]), float(low[0]), float(high[0]), found.method).to_json()
        for name, (value, low, high) in (("ppv", found.ppv), ("npv", found.npv))
    }

"""What is said about one label in numbers: metrics with intervals, and operating points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.predictive import predict_values
from plainfilm.evaluation.view import LabelView
from plainfilm.metrics import (
    PREVALENCES,
    RATES,
    Confusion,
    Interval,
    confusion,
    delong,
    undefined,
    why_undefined,
    wilson,
)
from plainfilm.records import OperatingPoint

__all__ = ["describe_point", "rate_intervals", "score_intervals"]

_TRIALS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("tp tn", "fp fn"),
    "sensitivity": ("tp", "fn"),
    "specificity": ("tn", "fp"),
    "ppv": ("tp", "fp"),
    "npv": ("tn", "fn"),
}


def _losses(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn sums (3 + bins, R) into Brier score, log loss and calibration error (3, R)."""
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = sums[1:] / sums[0]
    return np.stack([means[0], means[1], np.abs(means[2:]).sum(axis=0)])


def score_intervals(
    view: LabelView, drawn: Sequence[NDArray[np.float64]]
) -> tuple[dict[str, Interval], dict[str, NDArray[np.float64]]]:
    """Return the metrics that need no threshold, and the replicates (R,) of each.

    ``drawn`` are the replicates of the first two of `LabelView.score_statistics`.
    """
    statistics = view.score_statistics()
    sums = view.at_once(statistics[1])
    values = [*view.at_once(statistics[0]), *_losses(sums[:, None])[:, 0]]
    names = (
        *("auroc", "average_precision", "partial_auroc"),
        *("brier", "log_loss", "calibration_error"),
    )
    replicates = dict(zip(names, [*drawn[0], *_losses(drawn[1])], strict=True))
    nothing = np.zeros_like(view.positive)
    counts = confusion(view.positive, nothing)
    found = {}
    for name, value in zip(names, values, strict=True):
        why = why_undefined(name, counts)
        if why is not None:
            found[name] = undefined("none", why)
        elif name == "auroc" and not view.clustered:
            found[name] = delong(view.positive, view.probabilities)
        elif name == "calibration_error":
            found[name] = _error_interval(view, sums, drawn[1])
        else:
            found[name] = view.interval(name, float(value), replicates[name], nothing)
    return found, replicates


def _error_interval(
    view: LabelView, sums: NDArray[np.float64], drawn: NDArray[np.float64]
) -> Interval:
    """Return the calibration error with a conservative interval.

    Takes the sums (3 + bins,) of the images and of the replicates (3 + bins, R). The error is a
    sum of absolute gaps, biased upwards, and a replicate's twice: for a calibrated model its
    percentiles never reach 0, and reflecting them does so in half of all samples only. But it
    differs from the true error by no more than the summed distance of the gaps from the true
    gaps, and how large that is the replicates do show.
    """
    gaps = sums[3:] / sums[0]
    there = drawn[:, drawn[0] > 0]
    distance = np.abs(there[3:] / there[0] - gaps[:, None]).sum(axis=0)
    value, reach = float(np.abs(gaps).sum()), float(np.quantile(distance, 0.95))
    if reach < 1e-12:
        nobody = np.zeros_like(view.positive)
        return view.interval("calibration_error", value, np.full(drawn.shape[1], value), nobody)
    method = (
        f"bootstrapped distance of the bins over {view.unit}, {drawn.shape[1]} replicates, 95 %"
    )
    why = "the value itself is biased upwards, and the interval errs to the wide side"
    return Interval(value, max(0.0, value - reach), min(1.0, value + reach), method, why)


def rate_intervals(
    view: LabelView, called: NDArray[np.bool_], drawn: NDArray[np.float64]
) -> dict[str, Interval]:
    """Return every rate of `RATES` at the calls (n,), from its replicates (len(RATES), R)."""
    counts = confusion(view.positive, called)
    values = view.at_once(view.rate_statistic(called))
    found = {}
    for name, value, replicates in zip(RATES, values, drawn, strict=True):
        why = why_undefined(name, counts)
        if why is not None:
            found[name] = undefined("none", why)
        elif name in _TRIALS and not view.clustered:
            found[name] = _wilson_of(name, counts)
        else:
            found[name] = view.interval(name, float(value), replicates, called)
    return found


def _wilson_of(name: str, counts: Confusion) -> Interval:
    hits, misses = (sum(counts.to_json()[key] for key in keys.split()) for keys in _TRIALS[name])
    return wilson(hits, hits + misses)


def describe_point(
    view: LabelView, point: OperatingPoint, drawn: NDArray[np.float64]
) -> dict[str, Any]:
    """Return an operating point's entry in ``evaluation.json``."""
    called = view.probabilities >= point.threshold
    metrics = rate_intervals(view, called, drawn)
    return {
        "threshold": point.threshold,
        "purpose": point.purpose,
        "label": point.label,
        "rule": point.rule,
        "confusion": confusion(view.positive, called).to_json(),
        "metrics": {name: interval.to_json() for name, interval in metrics.items()},
        "predictive_values": _by_prevalence(view, called, metrics, drawn),
    }


def _by_prevalence(
    view: LabelView,
    called: NDArray[np.bool_],
    metrics: Mapping[str, Interval],
    drawn: NDArray[np.float64],
) -> dict[str, Any] | None:
    """Return PPV and NPV over prevalence, or None where a class is missing."""
    found = predict_values(view, called, metrics, drawn, PREVALENCES)
    if found is None:
        return None
    columns: dict[str, Any] = {"prevalence": [*PREVALENCES]}
    for name, (value, low, high) in (("ppv", found.ppv), ("npv", found.npv)):
        columns |= {name: _plain_list(value)}
        columns |= {f"{name}_low": _plain_list(low), f"{name}_high": _plain_list(high)}
    return {**columns, "method": f"Bayes' theorem on sensitivity and specificity; {found.method}"}


def _plain_list(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]

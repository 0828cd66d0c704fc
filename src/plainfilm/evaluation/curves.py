"""The curves of one label: ROC, precision-recall, calibration, decision, distribution of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.view import BINS, LabelView
from plainfilm.metrics import (
    THRESHOLDS,
    Interval,
    brier_parts,
    calibration_error_bias,
    calibration_line,
    precision_recall_curve,
    read_decision,
    reliability_curve,
    roc_curve,
)

__all__ = ["curves"]

_POINTS = 500
_SCORE_BINS = 40


def curves(
    view: LabelView,
    patients: Sequence[str] | None,
    classes: tuple[str, str],
    error: Interval,
    benefits: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the curves' entry of a label's section.

    Parameters
    ----------
    patients
        (n,) keys of the view's images, or None where each has one.
    classes
        Names of the negative and the positive class.
    error
        The calibration error.
    benefits
        Replicates of the net benefits, the last of `LabelView.score_statistics`.
    """
    fpr, tpr, threshold = roc_curve(view.positive, view.probabilities)
    precision, recall, _ = precision_recall_curve(view.positive, view.probabilities)
    edges = np.linspace(0, 1, 1 + _SCORE_BINS)
    counts = {
        name: np.histogram(view.probabilities[which], edges)[0].tolist()
        for name, which in zip(classes, (~view.positive, view.positive), strict=True)
    }
    return {
        "roc": _thin({"fpr": fpr, "tpr": tpr, "threshold": threshold}),
        "precision_recall": _thin({"recall": recall, "precision": precision}),
        "calibration": _calibration(view, patients, error),
        "decision": _decision(view, benefits),
        "scores": {"edges": edges.tolist(), "counts": counts},
    }


def _calibration(
    view: LabelView, patients: Sequence[str] | None, error: Interval
) -> dict[str, Any]:
    line = calibration_line(view.positive, view.probabilities, patients=patients)
    rows = [
        {
            "from": part.low,
            "to": part.high,
            "count": part.count,
            "mean": _plain(part.predicted),
            "observed": _plain(part.observed.value),
            "low": _plain(part.observed.low),
            "high": _plain(part.observed.high),
            "method": f"{part.observed.method}, by image",
        }
        for part in reliability_curve(view.positive, view.probabilities, bins=BINS)
    ]
    bias = calibration_error_bias(view.probabilities, bins=BINS)
    return {
        "bins": rows,
        "error": error.to_json(),
        "error_bias": _plain(bias),
        "error_corrected": _plain(max(0.0, error.value - bias)),
        "brier_parts": {
            **brier_parts(view.positive, view.probabilities, bins=BINS).to_json(),
            "method": f"{BINS} bins of equal width, within-bin terms counted with the resolution",
        },
        "slope": line.slope.to_json(),
        "intercept": line.intercept.to_json(),
        "in_the_large": line.in_the_large.to_json(),
    }


def _decision(view: LabelView, benefits: NDArray[np.float64]) -> dict[str, Any] | None:
    if not view.positive.size:
        return None
    statistic = view.score_statistics()[2]
    value = statistic(np.ones((1, view.units)))
    curve = read_decision(value, benefits, np.array(THRESHOLDS))
    columns = {
        "threshold": curve.threshold,
        "model": curve.model,
        "low": curve.low,
        "high": curve.high,
        "all": curve.treat_all,
        "all_low": curve.treat_all_low,
        "all_high": curve.treat_all_high,
    }
    return {
        **{name: [_plain(number) for number in column] for name, column in columns.items()},
        "useful": [[low, high] for low, high in curve.useful],
        "method": f"percentile bootstrap over {view.unit}, {benefits.shape[1]} replicates, 95 %",
    }


def _plain(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _thin(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, list[float | None]]:
    """Keep at most 500 points of a curve, its ends among them, as plain numbers or None."""
    length = len(next(iter(columns.values())))
    keep = np.unique(np.linspace(0, max(length - 1, 0), min(length, _POINTS)).round().astype(int))
    return {name: [_plain(value) for value in column[keep]] for name, column in columns.items()}

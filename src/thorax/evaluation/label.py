"""Everything that is said about one label: metrics with intervals, operating points, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thorax.metrics import (
    RATES,
    Confusion,
    Interval,
    Statistic,
    bin_edges,
    bin_index,
    bootstrap_interval,
    calibration_line,
    confusion,
    delong,
    log_losses,
    precision_recall_curve,
    ranking_statistic,
    rates_statistic,
    reliability_curve,
    roc_curve,
    totals_statistic,
    undefined,
    why_undefined,
    wilson,
)
from thorax.records import OperatingPoint

__all__ = ["LabelView", "curves", "describe_point", "rate_intervals", "score_intervals"]

_BINS = 10
_POINTS = 500
_SCORE_BINS = 40
_TRIALS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("tp tn", "fp fn"),
    "sensitivity": ("tp", "fn"),
    "specificity": ("tn", "fp"),
    "ppv": ("tp", "fp"),
    "npv": ("tn", "fn"),
}


@dataclass(frozen=True, slots=True, eq=False)
class LabelView:
    """The images of known label, and the statistics to draw for them.

    Attributes
    ----------
    positive, probabilities, groups
        (n,): truth, probability and patient number.
    patients
        Number of patients of the whole partition, which are what is drawn.
    clustered
        Whether some patient has several images.
    """

    positive: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.intp]
    patients: int
    clustered: bool

    @property
    def unit(self) -> str:
        """Return what is drawn, in words."""
        return "patients" if self.clustered else "images"

    def score_statistics(self) -> tuple[Statistic, Statistic]:
        """Return the ranking statistic, and (images, Brier sum, log-loss sum, gap per bin)."""
        index = bin_index(self.probabilities, bin_edges(self.probabilities, _BINS, "uniform"))
        gaps = np.zeros((len(index), _BINS))
        gaps[np.arange(len(index)), index] = self.probabilities - self.positive
        columns = [
            np.ones(len(index)),
            (self.probabilities - self.positive) ** 2,
            log_losses(self.positive, self.probabilities),
        ]
        sums = totals_statistic(np.column_stack([*columns, gaps]), self.groups, self.patients)
        return ranking_statistic(self.positive, self.probabilities, self.groups), sums

    def rate_statistic(self, called: NDArray[np.bool_]) -> Statistic:
        """Return the statistic of all rates of the calls (n,)."""
        return rates_statistic(self.positive, called, self.groups, self.patients)

    def interval(
        self, name: str, value: float, drawn: NDArray[np.float64], called: NDArray[np.bool_]
    ) -> Interval:
        """Return the interval of a value from its replicates (R,), at the calls (n,)."""
        return bootstrap_interval(
            name,
            value,
            drawn,
            positive=self.positive,
            called=called,
            groups=self.groups,
            unit=self.unit,
        )

    def at_once(self, statistic: Statistic) -> NDArray[np.float64]:
        """Return a statistic (k,) of the images as they are."""
        return statistic(np.ones((1, self.patients)))[:, 0]


def _losses(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn sums (3 + bins, R) into Brier score, log loss and calibration error (3, R)."""
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = sums[1:] / sums[0]
    return np.stack([means[0], means[1], np.abs(means[2:]).sum(axis=0)])


def score_intervals(
    view: LabelView, drawn: Sequence[NDArray[np.float64]]
) -> tuple[dict[str, Interval], dict[str, NDArray[np.float64]]]:
    """Return the metrics that need no threshold, and the replicates (R,) of each.

    ``drawn`` are the replicates of `LabelView.score_statistics`.
    """
    statistics = view.score_statistics()
    sums = view.at_once(statistics[1])
    values = [*view.at_once(statistics[0]), *_losses(sums[:, None])[:, 0]]
    names = ("auroc", "average_precision", "brier", "log_loss", "calibration_error")
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
    return {
        "threshold": point.threshold,
        "purpose": point.purpose,
        "label": point.label,
        "rule": point.rule,
        "confusion": confusion(view.positive, called).to_json(),
        "metrics": {
            name: interval.to_json()
            for name, interval in rate_intervals(view, called, drawn).items()
        },
    }


def curves(
    view: LabelView, patients: Sequence[str] | None, classes: tuple[str, str], error: Interval
) -> dict[str, Any]:
    """Return the curves' entry: ROC, precision-recall, calibration and distribution of scores.

    Parameters
    ----------
    patients
        (n,) keys of the view's images, or None where each has one.
    classes
        Names of the negative and the positive class.
    error
        The calibration error.
    """
    fpr, tpr, threshold = roc_curve(view.positive, view.probabilities)
    precision, recall, _ = precision_recall_curve(view.positive, view.probabilities)
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
        for part in reliability_curve(view.positive, view.probabilities, bins=_BINS)
    ]
    edges = np.linspace(0, 1, 1 + _SCORE_BINS)
    counts = {
        name: np.histogram(view.probabilities[which], edges)[0].tolist()
        for name, which in zip(classes, (~view.positive, view.positive), strict=True)
    }
    return {
        "roc": _thin({"fpr": fpr, "tpr": tpr, "threshold": threshold}),
        "precision_recall": _thin({"recall": recall, "precision": precision}),
        "calibration": {
            "bins": rows,
            "error": error.to_json(),
            "slope": line.slope.to_json(),
            "intercept": line.intercept.to_json(),
            "in_the_large": line.in_the_large.to_json(),
        },
        "scores": {"edges": edges.tolist(), "counts": counts},
    }


def _plain(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _thin(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, list[float | None]]:
    """Keep at most 500 points of a curve, its ends among them, as plain numbers or None."""
    length = len(next(iter(columns.values())))
    keep = np.unique(np.linspace(0, max(length - 1, 0), min(length, _POINTS)).round().astype(int))
    return {name: [_plain(value) for value in column[keep]] for name, column in columns.items()}

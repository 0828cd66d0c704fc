"""Averages over the labels: macro over labels, micro over pairs of an image and a label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plainfilm.evaluation.document.label import LabelResults
from plainfilm.evaluation.view import Clusters, Floats, LabelView
from plainfilm.metrics import Interval, percentile, undefined


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The results of one label, and the replicates (R,) of its metrics."""

    results: LabelResults
    replicates: Mapping[str, Floats]


def macro_average(name: str, estimates: Mapping[str, Estimate]) -> Interval:
    """Return the mean of a metric over the labels for which it is defined."""
    intervals = {label: one.results.metrics[name] for label, one in estimates.items()}
    defined = {label: one for label, one in intervals.items() if not math.isnan(one.value)}
    if not defined:
        reasons = sorted({one.reason or "" for one in intervals.values()})
        return undefined("none", f"undefined for every label: {'; '.join(reasons)}")
    missing = [label for label in intervals if label not in defined]
    left_out = f"without {', '.join(missing)} (undefined)" if missing else None
    value = float(np.mean([one.value for one in defined.values()]))
    drawn = np.mean([estimates[label].replicates[name] for label in defined], axis=0)
    finite = drawn[np.isfinite(drawn)]
    if not finite.size or np.ptp(finite) < 1e-12:
        # Every replicate is the same, but the limits of the labels still have a width.
        low = float(np.mean([one.low for one in defined.values()]))
        high = float(np.mean([one.high for one in defined.values()]))
        why = "not every label has limits" if math.isnan(low) else None
        method = "mean of the labels' limits, 95 %"
    else:
        found = percentile(value, drawn, unit="patients")
        low, high, method, why = found.low, found.high, found.method, found.reason
    reason = "; ".join(part for part in (left_out, why) if part) or None
    return Interval(value, low, high, method, reason)


def pool_labels(labels: Floats, probabilities: Floats, clusters: Clusters) -> LabelView:
    """Return every pair of an image and a label known for it, from (n, labels) each."""
    rows, columns = np.nonzero(~np.isnan(labels))
    return LabelView(labels[rows, columns] == 1, probabilities[rows, columns], clusters[rows])


def micro_average(pairs: LabelView, drawn: Floats) -> dict[str, Interval]:
    """Return the ranking metrics of all pairs, from the replicates of their ranking statistic.

    All pairs of an image are drawn together, and so are all images of a patient.
    """
    values = pairs.at_once(pairs.ranking_statistic())
    return {
        name: pairs.ranking_interval(name, float(values[row]), drawn[row])
        for row, name in enumerate(("auroc", "average_precision"))
    }

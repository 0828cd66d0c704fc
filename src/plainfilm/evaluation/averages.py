"""Averages over several labels: means of the metrics of each, and metrics of all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from plainfilm import metrics
from plainfilm.evaluation.view import Clusters, Floats, LabelView

_METHOD = "from the intervals of the labels and the correlation of their replicates (MOVER), 95 %"


def macro_average(
    intervals: Mapping[str, metrics.Interval], replicates: Mapping[str, Floats]
) -> metrics.Interval:
    """Return the mean of a metric over the labels for which it is defined.

    Takes the interval of each label, and the replicates (R,) of those that have any. The limits
    combine those of the labels, so that they keep the properties of their methods.

    References
    ----------
    G. Y. Zou & A. Donner, Stat. Med. 27 (2008) 1693-1702, for several correlated estimates.
    """
    defined = {label: one for label, one in intervals.items() if not math.isnan(one.value)}
    if not defined:
        reasons = sorted({one.reason or "" for one in intervals.values()})
        return metrics.undefined("none", f"undefined for every label: {'; '.join(reasons)}")
    missing = [label for label in intervals if label not in defined]
    left_out = f"without {', '.join(missing)} (undefined)" if missing else None
    values, low, high = (
        np.array([getattr(one, end) for one in defined.values()])
        for end in ("value", "low", "high")
    )
    mean = float(values.mean())
    if not np.isfinite(low).all() or np.isnan(high).any():
        why = "not every label has limits"
        reason = "; ".join(part for part in (left_out, why) if part)
        return metrics.Interval(mean, math.nan, math.nan, "none", reason)
    matrix = _correlation(np.stack([replicates[label] for label in defined]))
    below, above = (
        math.sqrt(max(float(side @ matrix @ side), 0.0)) / len(side) if np.isfinite(side).all()
        else math.inf
        for side in (values - low, high - values)
    )  # fmt: skip
    unbounded = None if math.isfinite(above) else "the upper limit is unbounded"
    reason = "; ".join(part for part in (left_out, unbounded) if part)
    return metrics.Interval(mean, mean - below, mean + above, _METHOD, reason or None)


def _correlation(replicates: Floats) -> Floats:
    """Return the correlations of replicates (k, R); 0 for those that do not vary."""
    finite = np.isfinite(replicates).all(axis=0)
    found = np.eye(len(replicates))
    if finite.sum() < 2:
        return found
    vary = np.flatnonzero(np.ptp(replicates[:, finite], axis=1) > 1e-12)
    if len(vary) > 1:
        found[np.ix_(vary, vary)] = np.corrcoef(replicates[np.ix_(vary, np.flatnonzero(finite))])
    return found


def pool_labels(labels: Floats, probabilities: Floats, clusters: Clusters) -> LabelView:
    """Return every pair of an image and a label known for it, from (n, labels) each."""
    known = ~np.isnan(labels)
    groups, drawn = (
        np.broadcast_to(one[:, None], known.shape)[known]
        for one in (clusters.groups, clusters.drawn)
    )
    pairs = Clusters(groups, drawn, clusters.units, clusters.clustered)
    return LabelView(labels[known] == 1, probabilities[known], pairs)


def micro_average(
    pairs: LabelView, statistic: metrics.Statistic, drawn: Floats
) -> dict[str, metrics.Interval]:
    """Return the ranking metrics of all pairs, from their ranking statistic and its replicates.

    All pairs of an image are drawn together, and so are all images of a patient.
    """
    values = pairs.at_once(statistic)
    return {
        name: pairs.ranking_interval(name, float(values[row]), drawn[row])
        for row, name in enumerate(("auroc", "average_precision"))
    }

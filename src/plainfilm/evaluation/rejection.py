"""Results with and without the images that a bundle rejects or leaves undecided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.bundle import Bundle
from plainfilm.evaluation.document.analyses import Rejection, RejectionResults
from plainfilm.evaluation.document.label import Histogram
from plainfilm.evaluation.view import Bools, Floats, balanced_thresholds
from plainfilm.metrics import Interval, clustered_bootstrap, undefined

_LISTED = 200
_BINS = 40
_METRICS = ("auroc", "accuracy", "sensitivity", "specificity")


def describe_rejection(
    bundle: Bundle,
    labels: ArrayLike,
    probabilities: ArrayLike,
    novelty: NDArray[np.floating[Any]] | None,
    patients: Sequence[str],
    ids: Sequence[str],
    *,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Rejection:
    """Count rejected and indeterminate images, and return the results with and without them.

    Labels (1, 0 or NaN) and probabilities are (n, labels); novelty, patient keys and record ids are
    (n,). Without novelty no image is rejected.
    """
    y_true, y_score = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    keys = np.asarray(patients)
    rule = bundle.rejection
    rejected = np.zeros(len(y_true), bool)
    if rule is not None and novelty is not None:
        rejected = novelty >= rule.threshold
    thresholds = balanced_thresholds(bundle.operating_points)

    def results(column: int, label: str, rows: Bools) -> RejectionResults:
        own = (y_true[rows, column], y_score[rows, column], keys[rows])
        metrics = {
            name: _interval(name, *own, thresholds.get(label), n_bootstrap, seed)
            for name in _METRICS
        }
        return RejectionResults(int(rows.sum()), metrics)

    indeterminate, everything, accepted, decided = {}, {}, {}, {}
    for column, label in enumerate(bundle.task.labels):
        known = ~np.isnan(y_true[:, column])
        between = np.zeros(len(y_true), bool)
        limits = bundle.indeterminate.get(label)
        if limits is not None:
            between = (y_score[:, column] >= limits.low) & (y_score[:, column] < limits.high)
        indeterminate[label] = int((between & known).sum())
        everything[label] = results(column, label, known)
        accepted[label] = results(column, label, known & ~rejected)
        decided[label] = results(column, label, known & ~rejected & ~between)
    return Rejection(
        threshold=None if rule is None else rule.threshold,
        rule=None if rule is None else rule.rule,
        rejected=int(rejected.sum()),
        rejected_ids=tuple(ids[row] for row in np.flatnonzero(rejected)[:_LISTED]),
        indeterminate=indeterminate,
        indeterminate_ranges=bundle.indeterminate,
        all=everything,
        accepted=accepted,
        decided=decided,
        novelty=None if novelty is None else _histogram(novelty),
    )


def _interval(
    name: str,
    y_true: Floats,
    y_score: Floats,
    patients: NDArray[np.str_],
    threshold: float | None,
    n_bootstrap: int,
    seed: int,
) -> Interval:
    if not len(y_true):
        return undefined("none", "no image is left")
    if name != "auroc" and threshold is None:
        return undefined("none", "no balanced operating point is locked for this label")
    # Without patient keys where each patient has one image: then the method says "images".
    keys = patients if len(np.unique(patients)) < len(patients) else None
    return clustered_bootstrap(
        name, y_true, y_score, keys, threshold=threshold, n_bootstrap=n_bootstrap, seed=seed
    )


def _histogram(novelty: NDArray[np.floating[Any]]) -> Histogram:
    edges = np.linspace(0.0, max(float(novelty.max(initial=0.0)), 1.0) * 1.0001, _BINS + 1)
    counts, _ = np.histogram(novelty, edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))

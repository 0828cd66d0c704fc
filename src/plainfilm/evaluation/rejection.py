"""Results with and without the images that a bundle rejects or leaves undecided."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.document.analyses import Rejection, RejectionResults
from plainfilm.evaluation.document.label import Histogram
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.view import NO_POINT, Bools, Floats, default_thresholds, repeated
from plainfilm.metrics import clustered_bootstrap, undefined

_LISTED = 200
_BINS = 40
_METRICS = ("auroc", "accuracy", "sensitivity", "specificity")


def describe_rejection(
    model: JudgedModel, predictions: Predictions, *, n_bootstrap: int = 2000
) -> Rejection:
    """Count rejected and indeterminate images, and return the results with and without them."""
    y_true, y_score = (
        array.astype(np.float64) for array in (predictions.labels, predictions.probabilities)
    )
    keys, ids, reasons = np.asarray(predictions.patients), predictions.ids, predictions.reasons
    rule, novelty = model.rejection, predictions.novelty
    rejected = np.array([reason is not None for reason in reasons], bool)
    thresholds = default_thresholds(model.operating_points)
    indeterminate, everything, accepted, decided = {}, {}, {}, {}
    for column, label in enumerate(model.task.labels):
        known = ~np.isnan(y_true[:, column])
        between = np.zeros(len(y_true), bool)
        limits = model.indeterminate.get(label)
        if limits is not None:
            between = (y_score[:, column] >= limits.low) & (y_score[:, column] < limits.high)
        indeterminate[label] = int((between & known).sum())
        own = y_true[:, column], y_score[:, column], keys, thresholds.get(label)
        results = partial(_results, *own, n_bootstrap)
        everything[label] = results(known)
        accepted[label] = results(known & ~rejected)
        decided[label] = results(known & ~rejected & ~between)
    return Rejection(
        threshold=None if rule is None else rule.threshold,
        rule=None if rule is None else rule.rule,
        rejected=int(rejected.sum()),
        reasons=dict(Counter(reason for reason in reasons if reason is not None).most_common()),
        rejected_ids=tuple(ids[row] for row in np.flatnonzero(rejected)[:_LISTED]),
        indeterminate=indeterminate,
        indeterminate_ranges=model.indeterminate,
        all=everything,
        accepted=accepted,
        decided=decided,
        novelty=None if novelty is None else _histogram(novelty),
    )


def _results(
    y_true: Floats,
    y_score: Floats,
    patients: NDArray[np.str_],
    threshold: float | None,
    n_bootstrap: int,
    rows: Bools,
) -> RejectionResults:
    """Return the metrics of some images."""
    own = y_true[rows], y_score[rows], repeated(patients[rows])
    metrics = {}
    for name in _METRICS:
        if not rows.any():
            metrics[name] = undefined("none", "no image is left")
        elif name != "auroc" and threshold is None:
            metrics[name] = NO_POINT
        else:
            metrics[name] = clustered_bootstrap(
                name, *own, threshold=threshold, n_bootstrap=n_bootstrap
            )
    return RejectionResults(int(rows.sum()), metrics)


def _histogram(novelty: NDArray[np.floating[Any]]) -> Histogram:
    edges = np.linspace(0.0, max(float(novelty.max(initial=0.0)), 1.0) * 1.0001, _BINS + 1)
    counts, _ = np.histogram(novelty, edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))

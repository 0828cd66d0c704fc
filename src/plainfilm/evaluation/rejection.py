"""What an evaluation looks like if the bundle may decline to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.bundle import Bundle
from plainfilm.metrics import Interval, clustered_bootstrap, undefined
from plainfilm.records import OperatingPoint

__all__ = ["describe_rejection"]

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
    replicates: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Count rejected and indeterminate images, and give the results with and without them.

    Parameters
    ----------
    bundle
        Whose rejection and bands these are.
    labels, probabilities
        (n, labels); labels are 1, 0 or NaN.
    novelty
        (n,), or None where the bundle cannot tell: then nothing is rejected.
    patients, ids
        (n,).
    replicates, seed
        Of the bootstrap intervals.

    Returns
    -------
    The entry ``rejection`` of ``evaluation.json``.
    """
    truth = np.asarray(labels, np.float64)
    chances = np.asarray(probabilities, np.float64)
    keys = np.asarray(patients)
    everybody = np.ones(len(truth), bool)
    rejected = np.zeros(len(truth), bool)
    rejection = bundle.rejection
    if rejection is not None and novelty is not None:
        rejected = novelty >= rejection.threshold
    parts: dict[str, dict[str, Any]] = {"all": {}, "kept": {}, "answered": {}}
    indeterminate = {}
    for column, label in enumerate(bundle.task.labels):
        known = ~np.isnan(truth[:, column])
        between = np.zeros(len(truth), bool)
        band = bundle.indeterminate.get(label)
        if band is not None:
            between = (chances[:, column] >= band.low) & (chances[:, column] < band.high)
        indeterminate[label] = int((between & known).sum())
        point = _balanced(bundle.operating_points, label)
        for name, kept in (
            ("all", everybody),
            ("kept", ~rejected),
            ("answered", ~rejected & ~between),
        ):
            rows = known & kept
            parts[name][label] = _results(
                truth[rows, column], chances[rows, column], keys[rows], point, replicates, seed
            )
    return {
        "threshold": None if rejection is None else rejection.threshold,
        "rule": None if rejection is None else rejection.rule,
        "rejected": int(rejected.sum()),
        "rejected_ids": [id_ for id_, out in zip(ids, rejected, strict=True) if out][:_LISTED],
        "indeterminate": indeterminate,
        "bands": {
            label: {"low": band.low, "high": band.high, "rule": band.rule}
            for label, band in bundle.indeterminate.items()
        },
        **parts,
        "novelty": None if novelty is None else _histogram(novelty),
    }


def _balanced(points: Sequence[OperatingPoint], label: str) -> OperatingPoint | None:
    own = (point for point in points if point.label == label and point.purpose == "balanced")
    return next(own, None)


def _results(
    labels: NDArray[np.float64],
    chances: NDArray[np.float64],
    patients: NDArray[np.str_],
    point: OperatingPoint | None,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    # Without names where each patient has one image: then the intervals say "images".
    keys = patients if len(np.unique(patients)) < len(patients) else None
    found: dict[str, Any] = {"n": len(labels)}
    for name in _METRICS:
        found[name] = _interval(name, labels, chances, keys, point, replicates, seed).to_json()
    return found


def _interval(
    name: str,
    labels: NDArray[np.float64],
    chances: NDArray[np.float64],
    keys: NDArray[np.str_] | None,
    point: OperatingPoint | None,
    replicates: int,
    seed: int,
) -> Interval:
    if not len(labels):
        return undefined("none", "no image is left")
    if name != "auroc" and point is None:
        return undefined("none", "no balanced operating point is locked for this label")
    return clustered_bootstrap(
        name,
        labels,
        chances,
        keys,
        threshold=None if point is None else point.threshold,
        replicates=replicates,
        seed=seed,
    )


def _histogram(novelty: NDArray[np.floating[Any]]) -> dict[str, Any]:
    edges = np.linspace(0.0, max(float(novelty.max(initial=0.0)), 1.0) * 1.0001, _BINS + 1)
    counts, _ = np.histogram(novelty, edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}

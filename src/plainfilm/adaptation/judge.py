"""Compares the probabilities before and after an adaptation on the held-out patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.adaptation.document import (
    CalibrationChange,
    Change,
    LabelAdaptation,
    PointChange,
    SampleSummary,
)
from plainfilm.adaptation.fit import Adapted
from plainfilm.adaptation.plan import plan_sizes
from plainfilm.adaptation.sample import Floats, Sample
from plainfilm.bundle import Bundle
from plainfilm.evaluation.label import describe_sample_sizes, rate_intervals
from plainfilm.evaluation.view import ONE_CLASS, Clusters, LabelView, repeated
from plainfilm.metrics import (
    Interval,
    apply_recalibration,
    apply_temperature,
    calibration_line,
    clustered_bootstrap,
    clustered_difference,
)
from plainfilm.records import LockedPoint


def new_probabilities(sample: Sample, adapted: Adapted) -> Floats:
    """Return the probabilities (n, labels) after the adaptation."""
    odds = apply_recalibration(sample.log_odds, adapted.recalibration)
    return apply_temperature(odds, 1.0, kind=sample.task.kind)


def compare_loss(
    metric: str,
    y_true: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    patients: Sequence[str],
    n_bootstrap: int,
) -> Change:
    """Return a loss before and after, with the difference on the same resampled patients."""
    truth = np.asarray(y_true)
    if len(np.unique(truth[np.isfinite(truth)])) < 2:
        return Change(ONE_CLASS, ONE_CLASS, ONE_CLASS)
    keys = repeated(np.asarray(patients))
    one, other = (
        clustered_bootstrap(metric, truth, scores, keys, n_bootstrap=n_bootstrap)
        for scores in (before, after)
    )
    gap = clustered_difference(metric, truth, before, after, keys, n_bootstrap=n_bootstrap)
    return Change(one, other, gap)


def compare_all(sample: Sample, adapted: Adapted, n_bootstrap: int) -> Change:
    """Return the Brier score over all pairs of an image and a known label."""
    labels = len(sample.task.labels)
    return compare_loss(
        "brier",
        sample.labels.ravel(),
        sample.probabilities.ravel(),
        new_probabilities(sample, adapted).ravel(),
        np.repeat(sample.patients, labels).tolist(),
        n_bootstrap,
    )


def judge_labels(
    bundle: Bundle, used: Sample, held_out: Sample, adapted: Adapted, n_bootstrap: int
) -> dict[str, LabelAdaptation]:
    """Return the results of each label."""
    before, after = held_out.probabilities, new_probabilities(held_out, adapted)
    truth, patients = held_out.labels.astype(np.float64), held_out.patients
    keys = repeated(np.asarray(patients))
    clusters = Clusters.of(patients, len(truth))
    found = {}
    for column, label in enumerate(held_out.task.labels):
        own = truth[:, column], before[:, column], after[:, column]
        views = [LabelView.of(own[0], scores, clusters) for scores in own[1:]]
        old, new = (calibration_line(own[0], scores, patients=keys) for scores in own[1:])
        fit = adapted.fits.get(label)
        points = _points(label, bundle, adapted, views, n_bootstrap)
        known = np.isfinite(used.labels[:, column])
        persons = len(set(np.asarray(used.patients)[known].tolist()))
        sizes = None
        balanced = next((one for one in points if one.purpose == "balanced"), None)
        if fit is not None and balanced is not None:
            rates = {
                "auroc": ONE_CLASS,
                "sensitivity": balanced.sensitivity,
                "specificity": balanced.specificity,
            }
            sizes = describe_sample_sizes(views[1], rates)
        found[label] = LabelAdaptation(
            changed=fit is not None,
            reason=adapted.reasons.get(label) or (fit.note if fit is not None else None),
            auroc=adapted.auroc[label],
            slope=None if fit is None else fit.slope,
            intercept=None if fit is None else fit.intercept,
            calibration=CalibrationChange(old.slope, new.slope, old.in_the_large, new.in_the_large),
            brier=compare_loss("brier", *own, patients, n_bootstrap),
            log_loss=compare_loss("log_loss", *own, patients, n_bootstrap),
            points=points,
            plan=() if fit is None else plan_sizes(fit, int(known.sum()), persons),
            sample_sizes=sizes,
        )
    return found


def _points(
    label: str, bundle: Bundle, adapted: Adapted, views: Sequence[LabelView], n_bootstrap: int
) -> tuple[PointChange, ...]:
    """Return the operating points of a label, from the views before and after."""
    parents = {one.point.name: one for one in bundle.points if one.point.label == label}
    return tuple(
        _point(locked, parents.get(locked.point.name), views, n_bootstrap)
        for locked in adapted.points
        if locked.point.label == label
    )


def _point(
    locked: LockedPoint, parent: LockedPoint | None, views: Sequence[LabelView], n_bootstrap: int
) -> PointChange:
    rates = _rates(views[1], locked.point.threshold, n_bootstrap)
    old: Mapping[str, Interval] = {}
    if parent is not None:
        old = _rates(views[0], parent.point.threshold, n_bootstrap)
    evidence = locked.validation
    return PointChange(
        name=locked.point.name,
        purpose=locked.point.purpose,
        threshold_before=None if parent is None else parent.point.threshold,
        sensitivity_before=old.get("sensitivity"),
        specificity_before=old.get("specificity"),
        threshold=locked.point.threshold,
        low=evidence.low,
        high=evidence.high,
        status=evidence.status,
        note=evidence.note,
        sensitivity=rates["sensitivity"],
        specificity=rates["specificity"],
    )


def _rates(view: LabelView, threshold: float, n_bootstrap: int) -> dict[str, Interval]:
    predicted = view.probabilities >= threshold
    if not len(predicted):
        return {"sensitivity": ONE_CLASS, "specificity": ONE_CLASS}
    [drawn] = view.clusters.replicate([view.rate_statistic(predicted)], n_bootstrap)
    return rate_intervals(view, predicted, drawn)


def conclude(brier: Change, held_out: SampleSummary) -> str:
    """Return whether the adaptation helps on the held-out patients, in one sentence."""
    where = (
        f"on {plural(held_out.images, 'held-out image')} of {plural(held_out.patients, 'patient')}"
    )
    gap = brier.difference
    if not (math.isfinite(gap.low) and math.isfinite(gap.high)):
        return (
            f"It is not known whether the adaptation helps: {where}, the difference of the Brier "
            "score has no interval."
        )
    limits = f"95 % interval {gap.low:+.4f} to {gap.high:+.4f}"
    change = f"the Brier score changes by {gap.value:+.4f} ({limits})"
    if gap.high < 0:
        return f"The adaptation improves the probabilities: {where}, {change}."
    if gap.low > 0:
        return f"The adaptation makes the probabilities worse: {where}, {change}."
    return f"The adaptation is not shown to help: {where}, {change}, which includes 0."

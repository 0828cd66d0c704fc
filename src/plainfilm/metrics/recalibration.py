"""Recalibrates predictions on new images: a slope and an intercept on the log odds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import (
    Bools,
    Floats,
    Ints,
    Patients,
    as_labels,
    as_scores,
    group_index,
)
from plainfilm.metrics.intervals import Interval, normal_quantile
from plainfilm.records import Recalibration, TaskKind

_LARGEST_STACK = 1 << 24  # numbers
_LARGEST_SLOPE = 100.0  # a fit that goes beyond has no finite maximum


@dataclass(frozen=True, slots=True)
class LabelFit:
    """The fit of one label.

    Attributes
    ----------
    slope
        The new log odds per old log odds; below 1 the predictions were too extreme. 1 without
        limits if the data do not determine it.
    intercept
        Change of the log odds in addition to the slope. For a multi-class task the intercepts of
        all classes have a sum of 0. 0 without limits if the data do not determine it.
    note
        Reason why the data do not determine one of them, or None.
    """

    slope: Interval
    intercept: Interval
    note: str | None = None


def fit_recalibration(
    logits: ArrayLike,
    y_true: ArrayLike,
    *,
    kind: TaskKind,
    patients: Patients = None,
    level: float = 0.95,
) -> tuple[LabelFit, ...]:
    """Fit slope and intercept of each label by logistic regression, with intervals by patient.

    The labels of a binary or multi-label task are fitted one by one. A multi-class task has one
    slope, which is the inverse of a temperature, and an intercept for each class.

    Parameters
    ----------
    logits
        Log odds (n, labels) of the present predictions, finite; for ``multiclass`` the logits of
        the softmax. Logits are divided by their temperature first.
    y_true
        Labels (n, labels), 1, 0 or NaN.
    kind
        Kind of the task.
    patients, level
        See `plainfilm.metrics`.

    Returns
    -------
    tuple of LabelFit
        One for each label. If the predictions separate the classes perfectly, the slope stays at 1
        and only the intercept is fitted; without images of a class, both are unchanged.

    References
    ----------
    D. R. Cox, Biometrika 45 (1958) 562-565; E. W. Steyerberg, Clinical Prediction Models, 2019,
    chapter 20. Variance: the sandwich over patients with the correction for small samples that is
    close to leaving out each patient in turn (R. M. Bell & D. F. McCaffrey, Surv. Methodol. 28
    (2002) 169-181, there named jackknife).
    """
    truth = as_labels(y_true, dimensions=2)
    scores = as_scores(logits, truth.shape, name="logits")
    groups, _ = group_index(patients, len(truth))
    normal_quantile(level)  # checks the level
    unit = "images" if patients is None else "patients"
    method = f"logistic regression, jackknife variance over {unit}, t, {100 * level:g} %"
    if kind == "multiclass":
        return _fit_classes(scores, truth, groups, method, level)
    fits = []
    for column in range(truth.shape[1]):
        known = ~np.isnan(truth[:, column])
        own = scores[known, column], truth[known, column] == 1
        fits.append(_fit_label(*own, groups[known], method, level))
    return tuple(fits)


def apply_recalibration(logits: ArrayLike, recalibration: Recalibration) -> Floats:
    """Return the recalibrated log odds of log odds (n, labels)."""
    values = np.asarray(logits, np.float64)
    slopes, intercepts = np.array(recalibration.slopes), np.array(recalibration.intercepts)
    changed: Floats = values * slopes + intercepts
    return changed


def recalibration_of(fits: Sequence[LabelFit]) -> Recalibration:
    """Return the recalibration with the values of some fits."""
    return Recalibration(
        tuple(fit.slope.value for fit in fits), tuple(fit.intercept.value for fit in fits)
    )


def _fit_label(
    scores: Floats, positive: Bools, groups: Ints, method: str, level: float
) -> LabelFit:
    if not positive.any() or positive.all():
        return _unchanged(method, "there is only one class")
    truth = positive.astype(np.intp)
    design = np.zeros((len(scores), 2, 2))  # (images, classes, slope and intercept)
    design[:, 1] = np.column_stack([scores, np.ones(len(scores))])
    up, down = scores[positive], scores[~positive]
    note = None
    if np.ptp(scores) == 0:
        note = "all predictions are equal"
    elif down.max() <= up.min() or up.max() <= down.min():
        note = "the predictions separate the classes perfectly"
    found = None
    if note is None:
        found = _maximise(design, np.zeros((len(scores), 2)), truth, groups, level)
        note = None if found is not None else "the likelihood has no finite maximum"
    if found is not None:
        slope, intercept = (Interval(*one, method) for one in found)
        return LabelFit(slope, intercept)
    found = _maximise(design[:, :, 1:], design[:, :, 0], truth, groups, level)
    if found is None:
        return _unchanged(method, note or "")
    return LabelFit(_fixed(1.0, method, note), Interval(*found[0], method), note)


def _fit_classes(
    scores: Floats, truth: Floats, groups: Ints, method: str, level: float
) -> tuple[LabelFit, ...]:
    known = ~np.isnan(truth.sum(axis=1))
    scores, truth, groups = scores[known], truth[known], groups[known]
    if scores.shape[1] < 2 or np.any(truth.sum(axis=1) != 1):
        raise MetricError("a multi-class label must have exactly one 1 per image")
    count = scores.shape[1]
    if not truth.any(axis=0).all():
        return tuple(_unchanged(method, "a class has no image") for _ in range(count))
    # The sum of the intercepts is 0: those of all classes but the last are free.
    contrasts = np.vstack([np.eye(count - 1), -np.ones(count - 1)])
    shape = (len(scores), count, count - 1)
    design = np.concatenate([scores[:, :, None], np.broadcast_to(contrasts, shape)], axis=2)
    answer = truth.argmax(axis=1)
    own = scores[np.arange(len(scores)), answer]
    others = np.where(truth == 1, -np.inf, scores).max(axis=1)
    rows = np.zeros((count + 1, count))
    rows[0, 0], rows[1:, 1:] = 1, contrasts
    separated = bool((own >= others).all())
    note = "the predictions separate the classes perfectly" if separated else None
    if note is None:
        found = _maximise(design, np.zeros(scores.shape), answer, groups, level, rows)
        if found is not None:
            slope, *intercepts = (Interval(*one, method) for one in found)
            return tuple(LabelFit(slope, intercept) for intercept in intercepts)
        note = "the likelihood has no finite maximum"
    found = _maximise(design[:, :, 1:], scores, answer, groups, level, contrasts)
    if found is None:
        return tuple(_unchanged(method, note) for _ in range(count))
    fixed = _fixed(1.0, method, note)
    return tuple(LabelFit(fixed, Interval(*one, method), note) for one in found)


def _fixed(value: float, method: str, why: str | None) -> Interval:
    return Interval(value, math.nan, math.nan, method, why)


def _unchanged(method: str, note: str) -> LabelFit:
    return LabelFit(_fixed(1.0, method, note), _fixed(0.0, method, note), note)


def _maximise(
    design: Floats,
    offset: Floats,
    answer: Ints,
    groups: Ints,
    level: float,
    rows: Floats | None = None,
) -> list[tuple[float, float, float]] | None:
    """Fit a conditional logit model by Newton's method with step halving.

    The utility of class k of image i is ``design[i, k] @ weights + offset[i, k]``. Returns value
    and limits of the combinations ``rows`` (combinations, parameters) of the weights, by default
    each weight; None without a finite maximum.
    """
    from scipy.special import logsumexp, softmax, stdtrit

    images = np.arange(len(answer))
    weights = np.zeros(design.shape[2])

    def loss(candidate: Floats) -> float:
        utility = design @ candidate + offset
        return float((logsumexp(utility, axis=1) - utility[images, answer]).sum())

    def scores_and_parts() -> tuple[Floats, Floats]:
        """Return the score (n, p) and the factors (n, classes, p) of the information."""
        shares = softmax(design @ weights + offset, axis=1)
        mean = np.einsum("ik,ikp->ip", shares, design)
        return design[images, answer] - mean, np.sqrt(shares)[:, :, None] * (design - mean[:, None])

    current = loss(weights)
    for _ in range(100):
        scores, parts = scores_and_parts()
        information = np.einsum("ikp,ikq->pq", parts, parts)
        step = np.linalg.lstsq(information, scores.sum(axis=0), rcond=None)[0]
        scale = 1.0
        while scale > 1e-10 and loss(weights + scale * step) > current:
            scale /= 2
        weights = weights + scale * step
        current = loss(weights)
        if np.abs(weights).max() > _LARGEST_SLOPE:
            return None
        if np.abs(step).max() < 1e-9:
            break
    scores, parts = scores_and_parts()
    information = np.einsum("ikp,ikq->pq", parts, parts)
    _, numbers = np.unique(groups, return_inverse=True)
    count = int(numbers.max()) + 1
    if count < 2 or np.linalg.cond(information) > 1e14:
        return None
    covariance = _jackknife(scores, parts, information, numbers, count)
    fewest = min(np.unique(numbers[answer == one]).size for one in np.unique(answer))
    rows = np.eye(len(weights)) if rows is None else rows
    half = np.sqrt(np.einsum("rp,pq,rq->r", rows, covariance, rows))
    half = half * float(stdtrit(max(fewest - 1, 1), (1 + level) / 2))
    return [
        (float(value), float(value - wide), float(value + wide))
        for value, wide in zip(rows @ weights, half, strict=True)
    ]


def _jackknife(
    scores: Floats, parts: Floats, information: Floats, numbers: Ints, count: int
) -> Floats:
    """Return the covariance (p, p) of the weights from one step without each patient.

    ``scores`` (n, p) and ``parts`` (n, classes, p) are those of the images, ``numbers`` (n,) their
    patients.
    """
    width = scores.shape[1]
    summed = np.zeros((count, width))
    np.add.at(summed, numbers, scores)
    if count * width**2 > _LARGEST_STACK:  # of so many patients none has an influence
        bread = np.linalg.inv(information)
        plain: Floats = bread @ (summed.T @ summed) @ bread
        return plain
    own = np.zeros((count, width, width))
    np.add.at(own, numbers, np.einsum("ikp,ikq->ipq", parts, parts))
    steps = np.einsum("gpq,gq->gp", np.linalg.pinv(information - own, hermitian=True), summed)
    covariance: Floats = steps.T @ steps * (count - 1) / count
    return covariance

"""Recalibrates a bundle on labelled images of a site and locks its thresholds again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.adaptation.sample import Floats, Sample
from plainfilm.bundle import Bundle, IndeterminateRange
from plainfilm.bundle.locking import LockedThresholds, lock_thresholds
from plainfilm.errors import DataError
from plainfilm.evaluation import summarise
from plainfilm.evaluation.view import repeated
from plainfilm.metrics import (
    Interval,
    LabelFit,
    apply_recalibration,
    clustered_bootstrap,
    delong,
    fit_recalibration,
    recalibration_of,
)
from plainfilm.records import LockedPoint, Recalibration, ScoreCounts, Task

MINIMUM_IMAGES, MINIMUM_PATIENTS = 20, 10
"""Fewest adaptation images of each class, and fewest patients they are of."""

_MORE = "give more labelled images of this site"
_SWAPPED = "check whether labels are swapped"
_TRAIN = "train a model on images of this site; an adaptation does not change the ranking of images"
_TARGET = 0.95  # sensitivity of rule-out and specificity of rule-in, where the parent has none


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """What is new in an adapted bundle.

    ``fits`` are those of the labels that are changed, and ``reasons`` say why other labels are not.
    ``recalibration`` applies to the log odds of the parent, slope 1 and intercept 0 where nothing
    changes.
    """

    fits: Mapping[str, LabelFit]
    reasons: Mapping[str, str]
    auroc: Mapping[str, Interval]
    recalibration: Recalibration
    points: tuple[LockedPoint, ...]
    indeterminate: Mapping[str, IndeterminateRange]
    scores: Mapping[str, ScoreCounts]


def fit_adaptation(bundle: Bundle, sample: Sample, *, n_bootstrap: int) -> Adapted:
    """Fit slope and intercept of each label and lock thresholds on the adaptation images.

    Raises
    ------
    DataError
        If there are too few images, or the model does not distinguish the classes at this site:
        an adaptation cannot repair that.
    """
    auroc = _areas(sample, n_bootstrap)
    obstacles = {
        label: found
        for label in sample.task.labels
        if (found := _find_obstacle(sample, label, auroc)) is not None
    }
    reasons = {label: reason for label, (reason, _) in obstacles.items()}
    if reasons and (sample.task.kind != "multilabel" or len(reasons) == len(sample.task.labels)):
        first, remedy = next(iter(obstacles.values()))
        others = f", and {plural(len(reasons) - 1, 'further label')}" if len(reasons) > 1 else ""
        raise DataError(
            "the model cannot be adapted to these images",
            received=first + others,
            remedy=remedy,
        )
    if sample.task.kind == "multiclass":
        return _fit_classes(bundle, sample, auroc)
    return _fit_labels(bundle, sample, auroc, reasons)


def _areas(sample: Sample, n_bootstrap: int) -> dict[str, Interval]:
    """Return the AUROC of each label; for a multi-class task the mean over the classes."""
    truth, scores, task = sample.labels, sample.probabilities, sample.task
    if task.kind == "multiclass":
        found = summarise(truth, scores, task, sample.patients, (), n_bootstrap=n_bootstrap)
        return dict.fromkeys(task.labels, found.macro["auroc"])
    keys = repeated(np.array(sample.patients))
    areas = {}
    for column, label in enumerate(task.labels):
        y_true, y_score = truth[:, column], sample.log_odds[:, column]
        if keys is None and {0.0, 1.0} <= set(y_true.tolist()):
            areas[label] = delong(y_true, y_score)
        else:
            areas[label] = clustered_bootstrap(
                "auroc", y_true, y_score, keys, n_bootstrap=n_bootstrap
            )
    return areas


def _find_obstacle(
    sample: Sample, label: str, auroc: Mapping[str, Interval]
) -> tuple[str, str] | None:
    """Return why a label cannot be adapted, and a remedy, or None."""
    task = sample.task
    values = sample.labels[:, task.labels.index(label)]
    patients = np.array(sample.patients)
    names = (f"without {label}", f"of {label}")
    if task.kind == "binary":
        names = (f"of {task.classes[0]}", f"of {task.classes[1]}")
    for value, name in enumerate(names):
        own = values == value
        images, persons = int(own.sum()), len(np.unique(patients[own]))
        if images < MINIMUM_IMAGES or persons < MINIMUM_PATIENTS:
            return (
                f"{plural(images, 'adaptation image')} {name}, of {plural(persons, 'patient')}; "
                f"at least {MINIMUM_IMAGES} of {MINIMUM_PATIENTS} are required"
            ), _MORE
    area = auroc[label]
    if area.low > 0.5:
        return None
    what = "the classes" if task.kind == "multiclass" else label
    limits = f"AUROC {area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
    if area.high < 0.5:
        return f"the model ranks {what} worse than chance here: {limits}", _SWAPPED
    if math.isnan(area.low):
        return f"the AUROC of {what} has no interval: {area.reason}", _MORE
    return (
        f"the model is not shown to distinguish {what} here: {limits}, which includes 0.5",
        _TRAIN,
    )


def _fit_classes(bundle: Bundle, sample: Sample, auroc: Mapping[str, Interval]) -> Adapted:
    fits = fit_recalibration(
        sample.log_odds, sample.labels, kind="multiclass", patients=sample.patients
    )
    locked, recalibration = _lock(bundle, sample, sample.task, sample.log_odds, sample.labels, fits)
    return Adapted(
        fits=dict(zip(sample.task.labels, fits, strict=True)),
        reasons={},
        auroc=auroc,
        recalibration=recalibration,
        points=locked.points,
        indeterminate=locked.indeterminate,
        scores=locked.scores,
    )


def _fit_labels(
    bundle: Bundle, sample: Sample, auroc: Mapping[str, Interval], reasons: Mapping[str, str]
) -> Adapted:
    """Fit the labels one by one; what is not changed is that of the parent."""
    fits: dict[str, LabelFit] = {}
    slopes, intercepts = [], []
    points: list[LockedPoint] = []
    indeterminate: dict[str, IndeterminateRange] = {}
    scores: dict[str, ScoreCounts] = {}
    for column, label in enumerate(sample.task.labels):
        if label in reasons:
            slopes.append(1.0)
            intercepts.append(0.0)
            points += [locked for locked in bundle.points if locked.point.label == label]
            if label in bundle.indeterminate:
                indeterminate[label] = bundle.indeterminate[label]
            if label in bundle.validation_scores:
                scores[label] = bundle.validation_scores[label]
            continue
        odds, truth = sample.log_odds[:, [column]], sample.labels[:, [column]]
        fitted = fit_recalibration(odds, truth, kind="binary", patients=sample.patients)
        task = Task("binary", (label,), ("negative", "positive"))
        locked, change = _lock(bundle, sample, task, odds, truth, fitted)
        fits[label] = fitted[0]
        slopes.append(change.slopes[0])
        intercepts.append(change.intercepts[0])
        points += locked.points
        indeterminate |= locked.indeterminate
        scores |= locked.scores
    return Adapted(
        fits=fits,
        reasons=reasons,
        auroc=auroc,
        recalibration=Recalibration(tuple(slopes), tuple(intercepts)),
        points=tuple(points),
        indeterminate=indeterminate,
        scores=scores,
    )


def _lock(
    bundle: Bundle,
    sample: Sample,
    task: Task,
    odds: Floats,
    truth: NDArray[np.float32],
    fits: tuple[LabelFit, ...],
) -> tuple[LockedThresholds, Recalibration]:
    """Lock thresholds on recalibrated log odds; return them and the whole recalibration."""
    if any(not fit.slope.value > 0 for fit in fits):
        raise DataError(
            "the model cannot be adapted to these images",
            received=f"a calibration slope of {fits[0].slope.value:.3g}, which is not above 0",
            remedy=_SWAPPED,
        )
    recalibration = recalibration_of(fits)
    own = [locked for locked in bundle.points if locked.point.label in task.labels]
    targets = {
        locked.point.purpose: locked.validation.target
        for locked in own
        if locked.validation.target is not None
    }
    locked = lock_thresholds(
        apply_recalibration(odds, recalibration),
        truth,
        sample.patients,
        task,
        sensitivity=targets.get("rule-out") or _TARGET,
        specificity=targets.get("rule-in") or _TARGET,
        own={one.point.name: one.point.threshold for one in own if one.point.purpose == "custom"},
    )
    # After a recalibration the best temperature is 1, unless the slope was not determined.
    cooler = (1 / locked.temperature.value,) * len(fits)
    return locked, Recalibration(cooler, (0.0,) * len(fits)).after(recalibration)

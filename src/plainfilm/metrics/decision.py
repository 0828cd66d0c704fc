"""Locks thresholds on the validation set and estimates how well it determines them.

A good classifier often separates the validation set perfectly, or nearly so. A wide range of
thresholds then gives the same predictions there, and with the usual rules a single image decides
the threshold for future images. The rules here work on the log odds and allow for such gaps:

balanced
    The log odds of each class are smoothed by a Gaussian kernel with Silverman's bandwidth (B. W.
    Silverman, Density Estimation, 1986, eq. 3.31). The threshold maximises the smoothed balanced
    accuracy. In a gap it is about equally many bandwidths away from both classes. It varies
    smoothly with the data and scales with the temperature.
rule-out
    The highest threshold with the target sensitivity, but not above the balanced one: if the
    balanced threshold already has that sensitivity, a higher one would only lose some of it.
rule-in
    The lowest threshold with the target specificity, but not below the balanced one.

The last two are halfway, in log odds, between the image that determines them and the next image.
They give the same predictions on the validation set as the literal rule, with some distance to the
images on either side.

The 5th to 95th percentile of the thresholds on resampled validation patients shows how well each is
determined. Only the validation set may be used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Patients, known, known_groups
from plainfilm.metrics.ranking import roc_auc_score
from plainfilm.metrics.regression import CLOSEST, logits_of
from plainfilm.metrics.scores import sensitivity_score, specificity_score
from plainfilm.metrics.thresholds import balanced_thresholds, draw_patients, reaching_thresholds
from plainfilm.records import LockedPoint, OperatingPoint, Purpose

_FEW_IMAGES = 20
_SATURATED = 0.99
_WIDE = 0.3  # in probability
_WIDE_LOGIT = 2.0  # in log odds: a factor of more than seven in the odds


def lock_operating_points(
    y_prob: ArrayLike,
    y_true: ArrayLike,
    label: str,
    *,
    patients: Patients = None,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    own: Mapping[str, float] | None = None,
    n_bootstrap: int = 500,
    seed: int | np.random.Generator = 0,
) -> tuple[LockedPoint, ...]:
    """Lock the balanced, the rule-out and the rule-in threshold of one label.

    Parameters
    ----------
    y_prob
        Probabilities (n,) of the validation images after temperature scaling, 0 to 1.
    y_true, patients, n_bootstrap, seed
        See `plainfilm.metrics`; the bootstrap is for ``low`` and ``high``.
    label
        Name of the label.
    sensitivity, specificity
        Targets of rule-out and rule-in on the validation set, above 0 and at most 1.
    own
        Thresholds given by the user by name, 0 to 1; they are not changed.

    Returns
    -------
    tuple of LockedPoint
        ``balanced``, ``rule-out`` and ``rule-in``, followed by the user's own. Without images of a
        class in the validation set there is only ``balanced`` at 0.5, not determined, with the
        reason.
    """
    for name, target in (("sensitivity", sensitivity), ("specificity", specificity)):
        if not 0 < target <= 1:
            raise MetricError(f"the target {name} must be above 0 and at most 1", received=target)
    positive, values, _ = known(y_true, y_prob, probabilities=True)
    groups, count = known_groups(y_true, patients)
    given = tuple(
        _given(label, name, threshold, values, positive) for name, threshold in (own or {}).items()
    )
    if not positive.any() or positive.all():
        return (_without_choice(label, positive), *given)
    logits = logits_of(values)
    order = np.argsort(logits, kind="stable")
    up, logits, groups = positive[order], logits[order], groups[order]
    drawn = draw_patients(groups, up, count, n_bootstrap, np.random.default_rng(seed))
    balanced = balanced_thresholds(logits, up, groups, drawn)
    out = np.minimum(reaching_thresholds(logits, up, groups, drawn, sensitivity), balanced)
    # Rule-in is rule-out with the classes and the order reversed.
    mirrored = reaching_thresholds(-logits[::-1], ~up[::-1], groups[::-1], drawn, specificity)
    into = np.maximum(-mirrored, balanced)
    sizes = f"on validation ({int(up.sum())} positives, {int((~up).sum())} negatives)"
    rules: tuple[tuple[Purpose, str, Floats, float | None], ...] = (
        ("balanced", f"highest balanced accuracy {sizes}, kernel-smoothed in log odds",
         balanced, None),
        ("rule-out", f"highest threshold with a sensitivity of at least {sensitivity:g} {sizes}, "
         "not above the balanced one", out, sensitivity),
        ("rule-in", f"lowest threshold with a specificity of at least {specificity:g} {sizes}, "
         "not below the balanced one", into, specificity),
    )  # fmt: skip
    chosen = (
        _point(label, purpose, rule, thresholds, target, values, positive)
        for purpose, rule, thresholds, target in rules
    )
    return (*chosen, *given)


def _probability(logit: float) -> float:
    # Beyond the clipped logits, 0 and 1 predict all images positive, or (nearly) none.
    from scipy.special import expit

    if logit <= math.log(CLOSEST):
        return 0.0
    if logit >= -math.log(CLOSEST):
        return 1.0
    return float(expit(logit))


def _point(
    label: str,
    purpose: Purpose,
    rule: str,
    logits: Floats,
    target: float | None,
    values: Floats,
    positive: Bools,
) -> LockedPoint:
    threshold = _probability(float(logits[0]))
    spread = logits[1:] if len(logits) > 1 else logits
    low, high = (_probability(float(end)) for end in np.quantile(spread, [0.05, 0.95]))
    reached = _reached(values, positive, threshold)
    notes = _notes(threshold, low, high, values, positive, resampled=len(logits) > 1)
    if sum(reached) <= 1:
        notes.append("on the validation set it is no better than chance")
    if target is not None and reached[0 if purpose == "rule-out" else 1] < target:
        notes.append(f"no threshold reaches the target of {target:g}")
    return LockedPoint(
        OperatingPoint(purpose, purpose, label, threshold, rule),
        low, high, *reached, not notes, "; ".join(notes),
    )  # fmt: skip


def _reached(values: Floats, positive: Bools, threshold: float) -> tuple[float, float]:
    """Return the sensitivity and specificity of a threshold; NaN if the class is missing."""
    called = values >= threshold
    return sensitivity_score(positive, called), specificity_score(positive, called)


def _wide(low: float, high: float) -> bool:
    low_logit, high_logit = logits_of([low, high])
    return bool(high - low > _WIDE or high_logit - low_logit > _WIDE_LOGIT)


def _notes(
    threshold: float, low: float, high: float, values: Floats, positive: Bools, *, resampled: bool
) -> list[str]:
    """Return the reasons why the validation set does not determine a threshold."""
    notes = []
    if not resampled:
        notes.append("without bootstrap replicates its uncertainty is unknown")
    elif _wide(low, high):
        notes.append(
            "the validation set hardly determines this threshold: on resampled patients it ranges "
            f"from {low:.3g} to {high:.3g}"
        )
    below = float(values[values < threshold].max(initial=0.0))
    above = float(values[values >= threshold].min(initial=1.0))
    if _wide(below, above):
        separated = values[~positive].max() < values[positive].min()
        perfect = " (the classes are perfectly separated)" if separated else ""
        notes.append(
            "the validation set hardly determines this threshold: every value above "
            f"{below:.3g} and up to {above:.3g} gives the same predictions there{perfect}"
        )
    area = roc_auc_score(positive, values)
    if area > _SATURATED:
        notes.append(
            f"the validation set is nearly perfectly separated (AUROC {area:.3f}), so it hardly "
            "shows the right threshold for harder images or images from other sites"
        )
    smaller = int(min(positive.sum(), (~positive).sum()))
    if smaller < _FEW_IMAGES:
        notes.append(f"one class has only {plural(smaller, 'validation image')}")
    return notes


def _given(label: str, name: str, threshold: float, values: Floats, positive: Bools) -> LockedPoint:
    """Return a point with a threshold from the user, and its rates on the validation set."""
    if not 0 <= threshold <= 1:
        raise MetricError(f"the threshold of {name} must be between 0 and 1", received=threshold)
    threshold, reached = float(threshold), _reached(values, positive, threshold)
    point = OperatingPoint(name, "custom", label, threshold, "given by the user")
    return LockedPoint(point, threshold, threshold, *reached, True, "")


def _without_choice(label: str, positive: Bools) -> LockedPoint:
    if not positive.size:
        why = "the validation set has no known label"
    else:
        why = f"the validation set has no {'negative' if positive.all() else 'positive'} image"
    point = OperatingPoint("balanced", "balanced", label, 0.5, f"0.5, not chosen: {why}")
    return LockedPoint(point, 0.0, 1.0, math.nan, math.nan, False, why)

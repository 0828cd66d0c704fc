"""Thresholds locked on validation, and how far validation settles them.

A good classifier is often perfect, or nearly so, on validation. Then a wide range of thresholds
makes the same calls there, and whichever image the usual rules stop at decides what happens on
the images to come. The rules here are therefore made on the log odds, with the gaps in mind:

balanced
    Each class's log odds are smoothed by a Gaussian kernel of Silverman's bandwidth (B. W.
    Silverman, Density Estimation, 1986, eq. 3.31), and the threshold is where the smoothed
    balanced accuracy is highest. Inside a gap it lies so that both classes are equally many
    bandwidths away, in effect; it moves smoothly with the data, and scales with the temperature.
rule-out
    The highest threshold with the wanted sensitivity, but not above the balanced one: where the
    balanced threshold already has that sensitivity, going higher would only give it away.
rule-in
    The lowest threshold with the wanted specificity, but not below the balanced one.

The last two lie halfway, in log odds, between the image that sets them and the next image, so
that they make the calls on validation that the literal rule makes, and not on a knife's edge.

How far each is determined is seen by drawing the patients of validation again: the 5th to 95th
percentile of the thresholds so locked. Nothing but validation may go in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, group_index, known
from plainfilm.metrics.ranking import roc_auc_score
from plainfilm.metrics.regression import CLOSEST, logits_of
from plainfilm.metrics.thresholds import (
    balanced_thresholds,
    draw_patients,
    reaching_thresholds,
)
from plainfilm.records import LockedPoint, OperatingPoint, Purpose

__all__ = ["lock_operating_points"]

_FEW_IMAGES = 20
_SATURATED = 0.99
_WIDE = 0.3  # in probability
_WIDE_LOGIT = 2.0  # in log odds: the odds at the threshold vary more than sevenfold


def lock_operating_points(
    probabilities: ArrayLike,
    labels: ArrayLike,
    label: str,
    *,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    own: Mapping[str, float] | None = None,
    replicates: int = 500,
    seed: int | np.random.Generator = 0,
) -> tuple[LockedPoint, ...]:
    """Lock the balanced, the rule-out and the rule-in threshold of one label on validation.

    Parameters
    ----------
    probabilities
        (n,) of the validation images, 0 to 1, after the temperature.
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    label
        Name of the label.
    patients
        (n,) keys, or None for one patient per image.
    sensitivity, specificity
        What rule-out and rule-in must reach on validation, above 0 and up to 1.
    own
        The user's own thresholds by name, 0 to 1; they are taken as they are.
    replicates, seed
        Number of resamples, and a seed or generator, for ``low`` and ``high``.

    Returns
    -------
    Three points, named ``balanced``, ``rule-out`` and ``rule-in``, and then the user's own. If
    validation lacks a class there is nothing to choose by: one point ``balanced`` at 0.5 in place
    of the three, undetermined, that says so.

    Raises
    ------
    MetricError
        If an input is out of range.
    """
    for name, target in (("sensitivity", sensitivity), ("specificity", specificity)):
        if not 0 < target <= 1:
            raise MetricError(f"the wanted {name} must lie above 0 and up to 1", received=target)
    positive, values, _ = known(labels, probabilities, probabilities=True)
    everyone, count = group_index(patients, np.shape(labels)[0])
    groups = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    given = tuple(
        _given(label, name, threshold, values, positive) for name, threshold in (own or {}).items()
    )
    if not positive.any() or positive.all():
        return (_without_choice(label, positive), *given)
    logits = logits_of(values)
    order = np.argsort(logits, kind="stable")
    up, logits, groups = positive[order], logits[order], groups[order]
    drawn = draw_patients(groups, up, count, replicates, np.random.default_rng(seed))
    balanced = balanced_thresholds(logits, up, groups, drawn)
    out = np.minimum(reaching_thresholds(logits, up, groups, drawn, sensitivity), balanced)
    # Seen from the other end, the negatives are what the positives were.
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
    # Beyond the clipping of the logits there is only 0 or 1, which calls all or (nearly) none.
    if logit <= math.log(CLOSEST):
        return 0.0
    if logit >= -math.log(CLOSEST):
        return 1.0
    return 0.5 * (1 + math.tanh(logit / 2))


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
    low_logit, high_logit = (float(end) for end in np.quantile(spread, [0.05, 0.95]))
    low, high = _probability(low_logit), _probability(high_logit)
    called = values >= threshold
    reached = float(called[positive].mean()), float((~called[~positive]).mean())
    notes = _doubts(threshold, (low, high), values, positive, resampled=len(logits) > 1)
    if sum(reached) <= 1:
        notes.append("on validation it is no better than chance")
    if target is not None and reached[0 if purpose == "rule-out" else 1] < target:
        notes.append(f"no threshold reaches the target of {target:g}")
    return LockedPoint(
        OperatingPoint(purpose, purpose, label, threshold, rule),
        low, high, *reached, not notes, "; ".join(notes),
    )  # fmt: skip


def _wide(low: float, high: float) -> bool:
    low_logit, high_logit = logits_of([low, high])
    return bool(high - low > _WIDE or high_logit - low_logit > _WIDE_LOGIT)


def _doubts(
    threshold: float,
    ends: tuple[float, float],
    values: Floats,
    positive: Bools,
    *,
    resampled: bool,
) -> list[str]:
    """Return why validation does not settle a threshold, in words; empty if it does."""
    notes = []
    low, high = ends
    if not resampled:
        notes.append("without resamples nobody knows how far validation settles it")
    elif _wide(low, high):
        notes.append(
            f"validation hardly determines this threshold: on resamples of its patients it "
            f"ranges from {low:.3g} to {high:.3g}"
        )
    below = float(values[values < threshold].max(initial=0.0))
    above = float(values[values >= threshold].min(initial=1.0))
    if _wide(below, above):
        separated = values[~positive].max() < values[positive].min()
        perfect = " (the classes are perfectly separated)" if separated else ""
        notes.append(
            f"validation hardly determines this threshold: anything above {below:.3g} and up to "
            f"{above:.3g} makes the same calls there{perfect}"
        )
    area = roc_auc_score(positive, values)
    if area > _SATURATED:
        notes.append(
            f"validation is nearly perfectly separated (AUROC {area:.3f}), so it hardly shows "
            "where the threshold belongs on images that are harder or come from elsewhere"
        )
    smaller = int(min(positive.sum(), (~positive).sum()))
    if smaller < _FEW_IMAGES:
        notes.append(f"one class has only {smaller} validation image(s)")
    return notes


def _given(label: str, name: str, threshold: float, values: Floats, positive: Bools) -> LockedPoint:
    """Return a point that validation has no part in, with what it does there."""
    if not 0 <= threshold <= 1:
        raise MetricError(f"the threshold of {name} must lie between 0 and 1", received=threshold)
    called = values >= threshold
    hit = float(called[positive].mean()) if positive.any() else math.nan
    clear = float((~called[~positive]).mean()) if not positive.all() else math.nan
    point = OperatingPoint(name, "custom", label, float(threshold), "given by the user")
    return LockedPoint(point, float(threshold), float(threshold), hit, clear, True, "")


def _without_choice(label: str, positive: Bools) -> LockedPoint:
    if not positive.size:
        why = "validation holds no known label"
    else:
        why = f"validation holds no {'negative' if positive.all() else 'positive'} image"
    rule = f"0.5, not chosen: {why}"
    point = OperatingPoint("balanced", "balanced", label, 0.5, rule)
    return LockedPoint(point, 0.0, 1.0, math.nan, math.nan, False, why)

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
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, Patients
from plainfilm.metrics.evidence import Validation
from plainfilm.metrics.regression import CLOSEST, logits_of
from plainfilm.metrics.thresholds import balanced_thresholds, draw_patients, reaching_thresholds
from plainfilm.records import LockedPoint, OperatingPoint, Purpose, ValidationRates


def lock_operating_points(
    y_prob: ArrayLike,
    y_true: ArrayLike,
    label: str,
    *,
    patients: Patients = None,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    own: Mapping[str, float] | None = None,
    copies: int = 1,
    n_bootstrap: int = 500,
    seed: int | np.random.Generator = 0,
) -> tuple[LockedPoint, ...]:
    """Lock the balanced, the rule-out and the rule-in threshold of one label.

    Parameters
    ----------
    y_prob
        Probabilities (copies * n,) after temperature scaling, 0 to 1: those of the n validation
        images, then those of ``copies - 1`` disturbed copies of all images in the same order.
    y_true, patients, n_bootstrap, seed
        See `plainfilm.metrics`, of the n images; the bootstrap is for ``low`` and ``high``.
    label
        Name of the label.
    sensitivity, specificity
        Targets of rule-out and rule-in on the validation set, above 0 and at most 1.
    own
        Thresholds given by the user by name, 0 to 1; they are not changed.
    copies
        Number of versions of each image, the unchanged one included. Copies take part in the
        selection, but they are no further evidence: only images and patients are counted.

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
    data = Validation.of(y_prob, y_true, patients, copies)
    given = tuple(_given(label, name, threshold, data) for name, threshold in (own or {}).items())
    if not data.positive.any() or data.positive.all():
        return (_without_choice(label, data), *given)
    logits = logits_of(data.values)
    order = np.argsort(logits, kind="stable")
    up, logits, groups = data.positive[order], logits[order], data.groups[order]
    drawn = draw_patients(groups, up, data.patients, n_bootstrap, np.random.default_rng(seed))
    balanced = balanced_thresholds(logits, up, groups, drawn)
    out = np.minimum(reaching_thresholds(logits, up, groups, drawn, sensitivity), balanced)
    # Rule-in is rule-out with the classes and the order reversed.
    mirrored = reaching_thresholds(-logits[::-1], ~up[::-1], groups[::-1], drawn, specificity)
    into = np.maximum(-mirrored, balanced)
    chosen = (
        _point(label, "balanced", balanced, None, False, data),
        _point(label, "rule-out", out, sensitivity, bool(out[0] == balanced[0]), data),
        _point(label, "rule-in", into, specificity, bool(into[0] == balanced[0]), data),
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
    label: str, purpose: Purpose, logits: Floats, target: float | None, same: bool, data: Validation
) -> LockedPoint:
    threshold = _probability(float(logits[0]))
    spread = logits[1:] if len(logits) > 1 else logits
    low, high = (_probability(float(end)) for end in np.quantile(spread, [0.05, 0.95]))
    evidence = data.evidence(
        purpose, threshold, (low, high), target=target, same=same, resampled=len(logits) > 1
    )
    rule = data.rule(purpose, evidence)
    return LockedPoint(OperatingPoint(purpose, purpose, label, threshold, rule), evidence)


def _given(label: str, name: str, threshold: float, data: Validation) -> LockedPoint:
    """Return a point with a threshold from the user, and its rates on the validation set."""
    if not 0 <= threshold <= 1:
        raise MetricError(f"the threshold of {name} must be between 0 and 1", received=threshold)
    threshold = float(threshold)
    point = OperatingPoint(name, "custom", label, threshold, "given by the user")
    return LockedPoint(point, data.facts(threshold, (threshold, threshold)))


def _without_choice(label: str, data: Validation) -> LockedPoint:
    if not data.positive.size:
        why = "the validation set has no known label"
    else:
        side = "negative" if data.positive.all() else "positive"
        why = f"the validation set has no {side} image"
    point = OperatingPoint("balanced", "balanced", label, 0.5, f"0.5, not chosen: {why}")
    nothing = ValidationRates(math.nan, math.nan)
    evidence = replace(
        data.facts(0.5, (0.0, 1.0)),
        status="not determined",
        note=why,
        unchanged=nothing,
        all_copies=nothing,
    )
    return LockedPoint(point, evidence)

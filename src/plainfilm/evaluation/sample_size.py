"""The precision of a test set, and the size that a higher precision would take."""

from __future__ import annotations

import math
from collections.abc import Mapping

from plainfilm.evaluation.document.label import SampleSize, SampleSizes, SampleSizeTarget
from plainfilm.evaluation.view import LabelView
from plainfilm.metrics import Interval, images_for_auroc, images_for_proportion, newcombe, wilson

_TARGETS = (0.1, 0.05, 0.03, 0.02, 0.01)
_NOTE = (
    "For an equally good model, the same share of positives and as many images per patient. The "
    "design effect, the variance of this interval over that of independent images, is included."
)


def describe_sample_sizes(view: LabelView, intervals: Mapping[str, Interval]) -> SampleSizes:
    """Return half widths of the 95 % intervals, and the test sets that narrower ones require."""
    auroc, sensitivity, specificity = (
        _plan(name, intervals[name], view) for name in ("auroc", "sensitivity", "specificity")
    )
    return SampleSizes(_NOTE, auroc, sensitivity, specificity)


def _plan(name: str, interval: Interval, view: LabelView) -> SampleSize | None:
    if not math.isfinite(interval.high - interval.low):
        return None
    n, positives = len(view.positive), int(view.positive.sum())
    share = positives / n
    half = (interval.high - interval.low) / 2
    independent = _independent(name, interval.value, positives, n - positives)
    effect = (2 * half / (independent.high - independent.low)) ** 2
    targets = []
    for width in _TARGETS:
        if width >= half:
            continue
        if name == "auroc":
            images = images_for_auroc(interval.value, width, prevalence=share, design_effect=effect)
        else:
            cases = images_for_proportion(interval.value, width, design_effect=effect)
            images = math.ceil(cases / (share if name == "sensitivity" else 1 - share))
        patients = math.ceil(images * view.clusters.patients / n)
        targets.append(SampleSizeTarget(width, images, patients, math.ceil(images * share)))
    return SampleSize(half, effect, tuple(targets))


def _independent(name: str, value: float, positives: int, negatives: int) -> Interval:
    """Return the interval that as many independent images would give."""
    if name == "auroc":
        return newcombe(value, positives, negatives)
    trials = positives if name == "sensitivity" else negatives
    return wilson(value * trials, trials)

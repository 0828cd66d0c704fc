"""What this test set can tell, and how large one would have to be to tell more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from plainfilm.evaluation.view import LabelView
from plainfilm.metrics import (
    Interval,
    images_for_auroc,
    images_for_proportion,
    newcombe,
    wilson,
)

__all__ = ["describe_precision"]

_WANTED = (0.1, 0.05, 0.03, 0.02, 0.01)
_NOTE = (
    "For an equally good model, the same share of positives and as many images a patient. The "
    "variance of this test's own interval over that of independent images is taken along."
)


def describe_precision(view: LabelView, intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """Return half widths of the 95 % intervals, and what narrower ones would take.

    Parameters
    ----------
    view
        The images of one label.
    intervals
        Those of ``auroc``, ``sensitivity`` and ``specificity``; what is missing or undefined gives
        None.
    """
    found: dict[str, Any] = {"note": _NOTE}
    for name in ("auroc", "sensitivity", "specificity"):
        interval = intervals.get(name)
        known = interval is not None and math.isfinite(interval.high - interval.low)
        found[name] = _plan(name, interval, view) if interval is not None and known else None
    return found


def _plan(name: str, interval: Interval, view: LabelView) -> dict[str, Any]:
    n, positives = len(view.positive), int(view.positive.sum())
    people = np.count_nonzero(np.bincount(view.groups))
    share = positives / n
    half = (interval.high - interval.low) / 2
    independent = _independent(name, interval.value, positives, n - positives)
    effect = (2 * half / (independent.high - independent.low)) ** 2
    rows = []
    for wanted in _WANTED:
        if wanted >= half:
            continue
        if name == "auroc":
            images = images_for_auroc(
                interval.value, wanted, prevalence=share, design_effect=effect
            )
        else:
            part = share if name == "sensitivity" else 1 - share
            cases = images_for_proportion(interval.value, wanted, design_effect=effect)
            images = math.ceil(cases / part)
        rows.append(
            {
                "half_width": wanted,
                "images": images,
                "patients": math.ceil(images * people / n),
                "positives": math.ceil(images * share),
            }
        )
    return {"half_width": half, "design_effect": effect, "wanted": rows}


def _independent(name: str, value: float, positives: int, negatives: int) -> Interval:
    """Return the interval that as many independent images would give."""
    if name == "auroc":
        return newcombe(value, positives, negatives)
    trials = positives if name == "sensitivity" else negatives
    return wilson(value * trials, trials)

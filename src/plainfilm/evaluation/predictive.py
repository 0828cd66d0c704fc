"""PPV and NPV where another share of the images is positive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.view import LabelView
from plainfilm.metrics import FEW_PATIENTS, RATES, Interval, predictive_values

__all__ = ["Predicted", "predict_values"]

Column: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Value, low and high, each (k,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """PPV and NPV at each prevalence, with 95 % limits and how they were made."""

    ppv: Column
    npv: Column
    method: str


def predict_values(
    view: LabelView,
    called: NDArray[np.bool_],
    rates: Mapping[str, Interval],
    drawn: NDArray[np.float64],
    prevalences: Sequence[float],
) -> Predicted | None:
    """Return PPV and NPV at each prevalence, or None where a class is missing.

    Parameters
    ----------
    view
        The images of one label.
    called
        (n,): which of them are called positive.
    rates
        With the intervals of ``sensitivity`` and ``specificity``.
    drawn
        (len(RATES), R): the replicates of all rates.
    prevalences
        (k,), between 0 and 1.
    """
    hit, clear = rates["sensitivity"], rates["specificity"]
    if not (math.isfinite(hit.value) and math.isfinite(clear.value)):
        return None
    value = predictive_values(hit.value, clear.value, prevalences)
    if _few_errors(view, called):
        # Both rise with sensitivity and with specificity: at their lower limits they are lowest.
        low = predictive_values(hit.low, clear.low, prevalences)
        high = predictive_values(hit.high, clear.high, prevalences)
        method = "at the limits of sensitivity and specificity, which errs to the wide side"
        return Predicted((value.ppv, low.ppv, high.ppv), (value.npv, low.npv, high.npv), method)
    rows = [drawn[RATES.index(name)] for name in ("sensitivity", "specificity")]
    both = np.stack(rows)[:, ~np.isnan(np.sum(rows, axis=0))]
    again = predictive_values(both[0], both[1], prevalences)
    ends = [
        np.nanquantile(one, [0.025, 0.975], axis=0, method="nearest")
        for one in (again.ppv, again.npv)
    ]
    method = f"percentile bootstrap over {view.unit}, {drawn.shape[1]} replicates, 95 %"
    return Predicted((value.ppv, *ends[0]), (value.npv, *ends[1]), method)


def _few_errors(view: LabelView, called: NDArray[np.bool_]) -> bool:
    """Tell whether some outcome is of too few patients for a bootstrap."""
    outcomes = (called, ~called)
    sides = (view.positive, ~view.positive)
    fewest = min(
        np.count_nonzero(np.bincount(view.groups[side & outcome]))
        for side in sides
        for outcome in outcomes
    )
    return bool(fewest < FEW_PATIENTS)

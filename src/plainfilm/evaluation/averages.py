"""Averages over the labels: macro, each label alike, and micro, each pair of image and label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.metrics import (
    Interval,
    Statistic,
    bootstrap_interval,
    percentile,
    ranking_statistic,
    undefined,
    why_undefined,
)
from plainfilm.metrics import confusion as count_calls

__all__ = ["Answer", "PooledPairs", "macro_average", "micro_average"]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One label's section, and what macro averages need of it."""

    section: dict[str, Any]
    intervals: Mapping[str, Interval]
    replicates: Mapping[str, NDArray[np.float64]]


def macro_average(name: str, labels: Sequence[str], answers: Sequence[Answer]) -> Interval:
    """Return the mean of a metric over the labels for which it is defined."""
    pairs = list(zip(labels, answers, strict=True))
    there = [answer for _, answer in pairs if not math.isnan(answer.intervals[name].value)]
    missing = [label for label, answer in pairs if math.isnan(answer.intervals[name].value)]
    if not there:
        reasons = sorted({answer.intervals[name].reason or "" for answer in answers})
        return undefined("none", f"undefined for every label: {'; '.join(reasons)}")
    left_out = f"without {', '.join(missing)} (undefined)" if missing else None
    value = float(np.mean([answer.intervals[name].value for answer in there]))
    drawn = np.mean([answer.replicates[name] for answer in there], axis=0)
    finite = drawn[np.isfinite(drawn)]
    if not finite.size or np.ptp(finite) < 1e-12:
        # Every replicate is the same; the labels' own limits still have a width.
        low, high = (
            float(np.mean([getattr(answer.intervals[name], end) for answer in there]))
            for end in ("low", "high")
        )
        reason = left_out
        if math.isnan(low):
            reason = "; ".join(filter(None, (left_out, "not every label has limits")))
        return Interval(value, low, high, "mean of the labels' limits, 95 %", reason)
    found = percentile(value, drawn, unit="patients")
    reason = "; ".join(part for part in (left_out, found.reason) if part) or None
    return Interval(value, found.low, found.high, found.method, reason)


@dataclass(frozen=True, slots=True, eq=False)
class PooledPairs:
    """Every pair of an image and a label that is known for it; arrays are (pairs,)."""

    positive: NDArray[np.bool_]
    scores: NDArray[np.float64]
    groups: NDArray[np.intp]
    drawn: NDArray[np.intp]
    units: int
    unit: str

    @classmethod
    def of(
        cls,
        truth: NDArray[np.float64],
        chances: NDArray[np.float64],
        groups: NDArray[np.intp],
        drawn: NDArray[np.intp],
        units: int,
        unit: str,
    ) -> PooledPairs:
        """Pool labels (n, labels) and probabilities (n, labels) of images."""
        rows, columns = np.nonzero(~np.isnan(truth))
        return cls(
            truth[rows, columns] == 1,
            chances[rows, columns],
            groups[rows],
            drawn[rows],
            units,
            unit,
        )

    def statistic(self) -> Statistic:
        """Return AUROC, average precision and partial AUROC of the pairs."""
        return ranking_statistic(self.positive, self.scores, self.drawn, self.units)


def micro_average(pairs: PooledPairs, drawn: NDArray[np.float64]) -> dict[str, Interval]:
    """Return the ranking metrics of all pairs, from the replicates of their statistic.

    An image's pairs are drawn together, and so are a patient's images.
    """
    values = pairs.statistic()(np.ones((1, pairs.units)))[:, 0]
    nothing = np.zeros_like(pairs.positive)
    found = {}
    for row, name in enumerate(("auroc", "average_precision")):
        why = why_undefined(name, count_calls(pairs.positive, nothing))
        found[name] = (
            undefined("none", why)
            if why is not None
            else bootstrap_interval(
                name,
                float(values[row]),
                drawn[row],
                positive=pairs.positive,
                called=nothing,
                groups=pairs.groups,
                unit=pairs.unit,
            )
        )
    return found

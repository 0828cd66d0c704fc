"""Converts the scores of a table of predictions to probabilities and log odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import LabelError
from plainfilm.metrics import apply_temperature
from plainfilm.metrics.regression import CLOSEST, logits_of
from plainfilm.records import Task

_SUM = 0.01  # rounding of the probabilities of a row


@dataclass(frozen=True, slots=True)
class Scale:
    """What the scores of a model are; see `recognise_scale`.

    Attributes
    ----------
    logits
        Whether they are logits, and not probabilities.
    normalise
        Whether the probabilities of the classes are divided by their sum.
    calls
        Whether they are 0 and 1 only: predicted classes.
    """

    logits: bool
    normalise: bool
    calls: bool

    @property
    def words(self) -> str:
        """Describe how scores become probabilities."""
        if self.logits:
            return "scores outside 0 to 1, read as logits"
        if self.calls:
            return "predicted classes (0 and 1), no probabilities"
        if self.normalise:
            return "scores of the classes, divided by their sum"
        return "probabilities"

    def probabilities(self, scores: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
        """Return probabilities (n, labels) of scores (n, labels), which are finite."""
        if self.logits:
            return apply_temperature(scores, 1.0, kind=task.kind)
        if self.normalise:
            shares: NDArray[np.float64] = scores / scores.sum(axis=1, keepdims=True)
            return shares
        return scores

    def as_logits(self, scores: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
        """Return logits (n, labels), whose temperature can be fitted."""
        if self.logits:
            return scores
        if task.kind == "multiclass":
            return np.log(np.clip(self.probabilities(scores, task), CLOSEST, 1))
        return logits_of(scores)


def recognise_scale(scores: NDArray[np.float64], task: Task) -> Scale:
    """Return what scores (n, labels) are; NaN is ignored.

    Raises
    ------
    LabelError
        If scores are percentages.
    """
    known = scores[np.isfinite(scores).all(axis=1)]
    low, high = float(known.min(initial=0.0)), float(known.max(initial=0.0))
    if low >= 0 and 2 < high <= 100 and np.all(known == np.rint(known)):
        raise LabelError(
            "the scores look like percentages or ratings",
            received=f"whole numbers from {low:g} to {high:g}",
            remedy="divide percentages by 100; give the ratings of readers with readers=",
        )
    logits = low < 0 or high > 1
    calls = not logits and bool(np.isin(known, (0.0, 1.0)).all())
    sums = known.sum(axis=1)
    far = task.kind == "multiclass" and not logits and bool(np.any(np.abs(sums - 1) > _SUM))
    return Scale(logits, far, calls)

"""Converts the scores of a table of predictions to probabilities and log odds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import LabelError
from plainfilm.metrics import apply_temperature
from plainfilm.metrics.regression import CLOSEST, logits_of
from plainfilm.records import Task

CALLS = "predicted classes (0 and 1), no probabilities"
"""What the scores of `Scale.calls` are, in words."""

_SUM = 0.01  # rounding of the probabilities of a row
_ROUNDING = 1e-3  # of a probability


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
            return "scores below 0, read as logits"
        if self.calls:
            return CALLS
        if self.normalise:
            return "scores of the classes, divided by their sum"
        return "probabilities"

    def probabilities(self, scores: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
        """Return probabilities (n, labels) of scores (n, labels), which are finite."""
        if self.logits:
            return apply_temperature(scores, 1.0, kind=task.kind)
        if self.normalise:
            clipped = np.clip(scores, 0.0, None)
            sums = clipped.sum(axis=1, keepdims=True)
            equal = np.full(scores.shape, 1 / scores.shape[1])  # where all scores are 0
            shares: NDArray[np.float64] = np.divide(clipped, sums, out=equal, where=sums > 0)
            return shares
        return np.clip(scores, 0.0, 1.0)

    def as_logits(self, scores: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
        """Return logits (n, labels), whose temperature can be fitted."""
        if self.logits:
            return scores
        if task.kind == "multiclass":
            return np.log(np.clip(self.probabilities(scores, task), CLOSEST, 1))
        return logits_of(scores)


def recognise_scale(scores: NDArray[np.float64], task: Task, path: Path) -> Scale:
    """Return what the scores (n, labels) of a table are; NaN is ignored.

    Negative scores are logits. Probabilities may leave 0 to 1 by rounding.

    Raises
    ------
    LabelError
        If scores are neither, such as percentages or ratings.
    """
    known = scores[np.isfinite(scores).all(axis=1)]
    low, high = float(known.min(initial=0.0)), float(known.max(initial=0.0))
    if low >= -_ROUNDING and high > 1 + _ROUNDING:
        raise LabelError(
            "scores above 1 and none below 0 are neither probabilities nor logits",
            received=f"{low:g} to {high:g} in {path}",
            remedy="divide percentages by 100; give the ratings of readers with readers=",
        )
    logits = low < -_ROUNDING
    calls = not logits and bool(np.isin(known, (0.0, 1.0)).all())
    sums = known.sum(axis=1)
    far = task.kind == "multiclass" and not logits and bool(np.any(np.abs(sums - 1) > _SUM))
    return Scale(logits, far, calls)


def common_scale(first: Scale, second: Scale, paths: tuple[Path, Path]) -> Scale:
    """Return the scale of two tables of one model; probabilities and logits are refused."""
    if first.logits != second.logits:
        kinds = ["logits" if one.logits else "probabilities" for one in (first, second)]
        raise LabelError(
            "the tables of evaluated and of validation scores have different scales",
            received=f"{kinds[0]} in {paths[0]}, {kinds[1]} in {paths[1]}",
            remedy="give the same output of the model in both",
        )
    return Scale(first.logits, first.normalise or second.normalise, first.calls and second.calls)

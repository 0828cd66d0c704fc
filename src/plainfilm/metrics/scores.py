"""How well calls agree with the truth: counts, and what follows from them.

Names and meaning are those of scikit-learn, with two differences. Labels that are NaN (unknown)
are left out. And where a value is undefined, because only one class is there or because nothing
was called positive, it is NaN and not a conventional 0 or 1; `why_undefined` has the reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, as_labels, as_scores

__all__ = [
    "RATES",
    "Confusion",
    "accuracy_score",
    "balanced_accuracy_score",
    "confusion",
    "f1_score",
    "likelihood_ratios",
    "matthews_corrcoef",
    "npv_score",
    "ppv_score",
    "rates",
    "sensitivity_score",
    "specificity_score",
    "why_undefined",
]

RATES = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "mcc",
    "lr_positive",
    "lr_negative",
)
"""Names of what `rates` computes from the four counts, in its order."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of images by truth and call: true and false positives, true and false negatives."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def n(self) -> int:
        """Return the number of images."""
        return self.tp + self.fp + self.tn + self.fn

    def to_json(self) -> dict[str, int]:
        """Return the four counts by name."""
        return {"tp": self.tp, "fp": self.fp, "tn": self.tn, "fn": self.fn}


def confusion(labels: ArrayLike, calls: ArrayLike) -> Confusion:
    """Count the images by truth and call.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    calls
        (n,) of 1 or 0 (or booleans): what each image was called.

    Raises
    ------
    MetricError
        If shapes differ, or a label or call has another value.
    """
    truth = as_labels(labels)
    called = as_scores(calls, truth.shape, name="predicted")
    if not np.all((called == 0) | (called == 1)):
        raise MetricError(
            "calls must be 0 or 1", remedy="compare the probabilities with a threshold first"
        )
    return Confusion(
        tp=int(np.sum((truth == 1) & (called == 1))),
        fp=int(np.sum((truth == 0) & (called == 1))),
        tn=int(np.sum((truth == 0) & (called == 0))),
        fn=int(np.sum((truth == 1) & (called == 0))),
    )


def rates(tp: ArrayLike, fp: ArrayLike, tn: ArrayLike, fn: ArrayLike) -> Floats:
    """Return every rate of `RATES` for counts of any one shape.

    Parameters
    ----------
    tp, fp, tn, fn
        Counts (or sums of weights), scalars or arrays of shape S.

    Returns
    -------
    Array of shape (len(RATES), *S). NaN where undefined; a likelihood ratio whose denominator is
    zero while its numerator is not is infinite.
    """
    tp, fp, tn, fn = (np.asarray(count, dtype=np.float64) for count in (tp, fp, tn, fn))
    positive, negative = tp + fn, tn + fp
    both = (positive > 0) & (negative > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / positive, tn / negative
        product = (tp + fp) * (tn + fn) * positive * negative
        # Where every call is the same, 0 is the limit of the coefficient (Chicco & Jurman 2020);
        # with one class of truth there is none.
        mcc = np.where(product > 0, (tp * tn - fp * fn) / np.sqrt(product), 0.0)
        return np.stack(
            [
                (tp + tn) / (positive + negative),
                (sensitivity + specificity) / 2,
                sensitivity,
                specificity,
                tp / (tp + fp),
                tn / (tn + fn),
                np.where(positive > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
                np.where(both, mcc, np.nan),
                sensitivity / (fp / negative),
                (fn / positive) / specificity,
            ]
        )


_NO_POSITIVE = "there is no positive image"
_NO_NEGATIVE = "there is no negative image"


def why_undefined(name: str, counts: Confusion) -> str | None:
    """Return why a rate of `RATES` (or ``auroc``, ``average_precision``) is undefined, or None."""
    no_positive, no_negative = counts.tp + counts.fn == 0, counts.tn + counts.fp == 0
    if counts.n == 0:
        return "there is no image of known label"
    if name in ("sensitivity", "f1", "average_precision"):
        return _NO_POSITIVE if no_positive else None
    if name == "specificity":
        return _NO_NEGATIVE if no_negative else None
    if name == "ppv":
        return None if counts.tp + counts.fp else "nothing was called positive"
    if name == "npv":
        return None if counts.tn + counts.fn else "nothing was called negative"
    if name in ("balanced_accuracy", "mcc", "lr_positive", "lr_negative", "auroc", "partial_auroc"):
        if no_positive or no_negative:
            return _NO_POSITIVE if no_positive else _NO_NEGATIVE
        if name == "lr_positive" and counts.fp == 0:
            return "there is no false positive: the ratio is unbounded"
        if name == "lr_negative" and counts.tn == 0:
            return "there is no true negative: the ratio is unbounded"
    return None


def _rate(name: str, labels: ArrayLike, calls: ArrayLike) -> float:
    counts = confusion(labels, calls)
    value = rates(counts.tp, counts.fp, counts.tn, counts.fn)[RATES.index(name)]
    return float(value) if np.isfinite(value) else math.nan


def accuracy_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the share of images called rightly, 0 to 1; see `confusion` for the arguments."""
    return _rate("accuracy", labels, calls)


def balanced_accuracy_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the mean of sensitivity and specificity, 0 to 1; NaN if a class is missing."""
    return _rate("balanced_accuracy", labels, calls)


def sensitivity_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the share of positives called positive (recall), 0 to 1; NaN without positives."""
    return _rate("sensitivity", labels, calls)


def specificity_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the share of negatives called negative, 0 to 1; NaN without negatives."""
    return _rate("specificity", labels, calls)


def ppv_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the share of positive calls that are right (precision); NaN without such calls.

    It holds at the prevalence of these images only.
    """
    return _rate("ppv", labels, calls)


def npv_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the share of negative calls that are right; NaN without such calls.

    It holds at the prevalence of these images only.
    """
    return _rate("npv", labels, calls)


def f1_score(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return 2 tp / (2 tp + fp + fn), 0 to 1; NaN without positives."""
    return _rate("f1", labels, calls)


def matthews_corrcoef(labels: ArrayLike, calls: ArrayLike) -> float:
    """Return the correlation of truth and call, -1 to 1; NaN if a class is missing.

    Where every image gets the same call, it is 0, as in scikit-learn.
    """
    return _rate("mcc", labels, calls)


def likelihood_ratios(labels: ArrayLike, calls: ArrayLike) -> tuple[float, float]:
    """Return the positive and the negative likelihood ratio, each NaN where unbounded.

    They are sensitivity / (1 - specificity) and (1 - sensitivity) / specificity.
    """
    return _rate("lr_positive", labels, calls), _rate("lr_negative", labels, calls)

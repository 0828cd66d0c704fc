"""Computes the confusion matrix and the rates that follow from it.

Names and definitions are those of scikit-learn, with two differences. Labels that are NaN (unknown)
are left out. A value that is undefined, because a class is missing or no image is predicted
positive, is NaN instead of 0 or 1 by convention; `why_undefined` returns the reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, as_labels, as_scores

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
"""Names of the values that `rates` computes, in its order."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Numbers of true and false positives and of true and false negatives."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def n(self) -> int:
        """Return the number of images."""
        return self.tp + self.fp + self.tn + self.fn


def confusion(y_true: ArrayLike, y_pred: ArrayLike) -> Confusion:
    """Count the images by label and predicted class.

    Parameters
    ----------
    y_true
        Labels (n,), 1, 0 or NaN; NaN is left out.
    y_pred
        Predicted classes (n,), 1 or 0 (or booleans).
    """
    labels = as_labels(y_true)
    predicted = as_scores(y_pred, labels.shape, name="predicted classes")
    if not np.all((predicted == 0) | (predicted == 1)):
        raise MetricError(
            "predicted classes must be 0 or 1",
            remedy="compare the probabilities with a threshold first",
        )
    return Confusion(
        tp=int(np.sum((labels == 1) & (predicted == 1))),
        fp=int(np.sum((labels == 0) & (predicted == 1))),
        tn=int(np.sum((labels == 0) & (predicted == 0))),
        fn=int(np.sum((labels == 1) & (predicted == 0))),
    )


def rates(tp: ArrayLike, fp: ArrayLike, tn: ArrayLike, fn: ArrayLike) -> Floats:
    """Return all `RATES`, ``(len(RATES), *S)``, of counts or sums of weights of any shape S.

    They are NaN where undefined; a likelihood ratio is infinite if only its denominator is zero.
    """
    tp, fp, tn, fn = (np.asarray(count, dtype=np.float64) for count in (tp, fp, tn, fn))
    positive, negative = tp + fn, tn + fp
    both = (positive > 0) & (negative > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / positive, tn / negative
        product = (tp + fp) * (tn + fn) * positive * negative
        # If all predictions are equal, 0 is the limit of the coefficient (Chicco & Jurman 2020);
        # with one class of labels there is no limit.
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
    """Return why a rate, AUROC or average precision is undefined, or None."""
    no_positive, no_negative = counts.tp + counts.fn == 0, counts.tn + counts.fp == 0
    if counts.n == 0:
        return "there is no image with a known label"
    if name in ("sensitivity", "f1", "average_precision"):
        return _NO_POSITIVE if no_positive else None
    if name == "specificity":
        return _NO_NEGATIVE if no_negative else None
    if name == "ppv":
        return None if counts.tp + counts.fp else "no image is predicted positive"
    if name == "npv":
        return None if counts.tn + counts.fn else "no image is predicted negative"
    if name in ("balanced_accuracy", "mcc", "lr_positive", "lr_negative", "auroc", "partial_auroc"):
        if no_positive or no_negative:
            return _NO_POSITIVE if no_positive else _NO_NEGATIVE
        if name == "lr_positive" and counts.fp == 0:
            return "there is no false positive: the ratio is unbounded"
        if name == "lr_negative" and counts.tn == 0:
            return "there is no true negative: the ratio is unbounded"
    return None


def _rate(name: str, y_true: ArrayLike, y_pred: ArrayLike) -> float:
    counts = confusion(y_true, y_pred)
    value = rates(counts.tp, counts.fp, counts.tn, counts.fn)[RATES.index(name)]
    return float(value) if np.isfinite(value) else math.nan


def accuracy_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of correct predictions, 0 to 1; see `confusion` for the parameters."""
    return _rate("accuracy", y_true, y_pred)


def balanced_accuracy_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean of sensitivity and specificity, 0 to 1; NaN if a class is missing."""
    return _rate("balanced_accuracy", y_true, y_pred)


def sensitivity_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of positives predicted positive (recall), 0 to 1; NaN without positives."""
    return _rate("sensitivity", y_true, y_pred)


def specificity_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of negatives predicted negative, 0 to 1; NaN without negatives."""
    return _rate("specificity", y_true, y_pred)


def ppv_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of positive predictions that are correct (precision), 0 to 1.

    It is valid at the prevalence of these images only; NaN without positive predictions.
    """
    return _rate("ppv", y_true, y_pred)


def npv_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of negative predictions that are correct, 0 to 1.

    It is valid at the prevalence of these images only; NaN without negative predictions.
    """
    return _rate("npv", y_true, y_pred)


def f1_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return 2 tp / (2 tp + fp + fn), 0 to 1; NaN without positives."""
    return _rate("f1", y_true, y_pred)


def matthews_corrcoef(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the correlation of label and prediction, -1 to 1; NaN if a class is missing.

    If all predictions are equal, it is 0, as in scikit-learn.
    """
    return _rate("mcc", y_true, y_pred)


def likelihood_ratios(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[float, float]:
    """Return the positive and the negative likelihood ratio, NaN where unbounded.

    They are sensitivity / (1 - specificity) and (1 - sensitivity) / specificity.
    """
    return _rate("lr_positive", y_true, y_pred), _rate("lr_negative", y_true, y_pred)

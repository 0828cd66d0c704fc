"""Computes the weights by which a loss balances classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Task


def class_weights(
    labels: NDArray[np.float32], task: Task, *, balanced: bool
) -> NDArray[np.float32]:
    """Return the weights of a 0 and a 1 of each label, (2, labels).

    If balanced, both have the same total weight and the mean weight is 1. A label with one class
    has weight 1. For ``multiclass`` the weight of a 1 balances the classes, and that of a 0 is not
    used.
    """
    weights = np.ones((2, labels.shape[1]), np.float32)
    if not balanced:
        return weights
    ones = np.nansum(labels, axis=0)
    known = np.sum(~np.isnan(labels), axis=0)
    if task.kind == "multiclass":
        weights[1] = np.where(ones > 0, known.max() / (len(ones) * np.maximum(ones, 1)), 1)
        return weights
    zeros = known - ones
    both = (ones > 0) & (zeros > 0)
    weights[0] = np.where(both, known / (2 * np.maximum(zeros, 1)), 1)
    weights[1] = np.where(both, known / (2 * np.maximum(ones, 1)), 1)
    return weights

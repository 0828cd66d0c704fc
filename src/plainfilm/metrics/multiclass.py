"""Computes metrics of a task of several classes from its confusion matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Bools, Floats, Ints
from plainfilm.metrics.statistics import Statistic, counts_by_patient

OVERALL = ("accuracy", "balanced_accuracy", "mcc", "kappa")
"""Names of the values that `overall_rates` computes, in its order."""


def overall_rates(counts: ArrayLike, present: Bools | None = None) -> Floats:
    """Return all `OVERALL`, ``(4, *S)``, of confusion matrices ``(C, C, *S)``.

    The true classes are in the rows. Definitions are those of scikit-learn for several classes:
    the balanced accuracy is the mean recall, MCC is Gorodkin's, and kappa is Cohen's.

    Parameters
    ----------
    counts
        Counts, or sums of weights.
    present
        The classes (C,) over which the balanced accuracy is the mean; None for all of them. It is
        NaN where one of them has no image.

    References
    ----------
    J. Gorodkin, Comput. Biol. Chem. 28 (2004) 367-374; J. Cohen, Educ. Psychol. Meas. 20 (1960)
    37-46.
    """
    cells = np.asarray(counts, np.float64)
    true, predicted = cells.sum(axis=1), cells.sum(axis=0)
    total, right = true.sum(axis=0), np.einsum("ii...->i...", cells)
    kept = np.ones(len(cells), bool) if present is None else present
    expected = (true * predicted).sum(axis=0)
    spread = [total**2 - (side**2).sum(axis=0) for side in (true, predicted)]
    excess = right.sum(axis=0) * total - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        # If all predictions are equal, MCC is 0, as for two classes; with one true class it has no
        # value.
        mcc = np.where(spread[1] > 0, excess / np.sqrt(spread[0] * spread[1]), 0.0)
        rows = [
            right.sum(axis=0) / total,
            (right[kept] / true[kept]).mean(axis=0),
            np.where(spread[0] > 0, mcc, np.nan),
            np.where(spread[0] > 0, excess / (total**2 - expected), np.nan),
        ]
    return np.stack(rows)


def overall_statistic(
    true: Ints, predicted: Ints, classes: int, groups: Ints, patients: int
) -> Statistic:
    """Return the statistic of all `OVERALL` of true and predicted classes (n,)."""
    cells = counts_by_patient(groups, true * classes + predicted, patients, classes**2)
    table = cells.astype(np.float64)
    present = np.bincount(true, minlength=classes) > 0

    def statistic(draws: Floats) -> Floats:
        return overall_rates((draws @ table).T.reshape(classes, classes, len(draws)), present)

    return statistic

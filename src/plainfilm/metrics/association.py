"""Tests whether the share of positives differs between groups of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, as_labels, known_groups
from plainfilm.metrics.paired import patients_of


def association_test(y_true: ArrayLike, groups: Patients, *, patients: Patients = None) -> float:
    """Return the p-value of Pearson's chi-squared test that all groups have one share of positives.

    Several images of a patient count less: the counts of a group are divided by its design effect,
    the variance of its share over that of independent images. With one image per patient it is
    the ordinary test without continuity correction.

    Parameters
    ----------
    y_true, patients
        See `plainfilm.metrics`.
    groups
        Groups (n,), text or numbers.

    Returns
    -------
    float
        1 with one group or one class.

    References
    ----------
    J. N. K. Rao & A. J. Scott, Biometrics 48 (1992) 577-585.

    Examples
    --------
    >>> round(association_test([1, 1, 1, 0, 0, 0], ["AP", "AP", "AP", "PA", "PA", "PA"]), 4)
    0.0143
    """
    labels = as_labels(y_true)
    positive = labels[~np.isnan(labels)] == 1
    keys, _ = patients_of(y_true, patients)
    own = np.unique(known_groups(y_true, groups)[0], return_inverse=True)[1]
    sizes = np.bincount(own).astype(np.float64)
    if len(sizes) < 2 or positive.all() or not positive.any():
        return 1.0
    hits = np.bincount(own[positive], minlength=len(sizes)).astype(np.float64)
    effects = _design_effects(positive, own, keys, sizes, hits / sizes)
    sizes, hits = sizes / effects, hits / effects
    share = hits.sum() / sizes.sum()
    statistic = ((hits - sizes * share) ** 2 / (sizes * share * (1 - share))).sum()
    from scipy.special import chdtrc

    return float(chdtrc(len(sizes) - 1, statistic))


def _design_effects(
    positive: Bools, groups: Ints, patients: Ints, sizes: Floats, shares: Floats
) -> Floats:
    """Return the design effect of the share of each group, at least 1.

    Without variance between patients it is the largest possible one: equal labels of each patient.
    """
    width = int(patients.max()) + 1
    cells, inverse = np.unique(groups * width + patients, return_inverse=True)
    group, images = cells // width, np.bincount(inverse)
    apart = np.bincount(inverse, positive - shares[groups])
    count = np.bincount(group, minlength=len(sizes))
    between = np.bincount(group, apart**2, len(sizes)) * count / np.maximum(count - 1, 1)
    largest = np.bincount(group, images**2, len(sizes)) / sizes
    binomial = sizes * shares * (1 - shares)
    found = np.divide(between, binomial, out=largest.copy(), where=(binomial > 0) & (count > 1))
    effects: Floats = np.where(largest > 1, np.maximum(found, 1.0), 1.0)
    return effects

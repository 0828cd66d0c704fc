"""Computes intervals of cross-validated results: the mean AUROC of folds, and differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, Ints, Patients, as_labels, as_scores, group_index
from plainfilm.metrics.auroc import NO_VARIANCE, placements
from plainfilm.metrics.intervals import Interval, logit_limits, newcombe, undefined
from plainfilm.metrics.paired import PairedTest


def mean_fold_auroc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    folds: ArrayLike,
    patients: Patients = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Return the mean over folds of the AUROC within each fold, with its interval.

    An image is ranked only against images of its own fold, which the same model predicted. The
    variance is that of influence values summed by patient, so it allows for several images of a
    patient. The interval is computed on the logit scale with Student's t. It takes the models as
    given: it does not cover the choice of the images that they were trained on.

    Parameters
    ----------
    y_true, y_score
        Labels and scores, (n,), or (n, labels) for the mean over labels as well. A fold in which a
        label lacks a class is left out for that label, and ``reason`` says so.
    folds
        Fold of each image, (n,), values of any type.
    patients, level
        See `plainfilm.metrics`.

    References
    ----------
    E. LeDell, M. Petersen & M. van der Laan, Electron. J. Stat. 9 (2015) 1583-1607. Several images
    of a patient: N. A. Obuchowski, Biometrics 53 (1997) 567-578.
    """
    from scipy.special import stdtrit

    labels = np.asarray(y_true, np.float64)
    labels = as_labels(labels.reshape(len(labels), -1), dimensions=2)
    scores = as_scores(np.asarray(y_score).reshape(len(labels), -1), labels.shape)
    number = np.unique(np.asarray(folds), return_inverse=True)[1].reshape(-1)
    if len(number) != len(labels):
        raise MetricError("every image needs a fold", received=f"{len(number)} of {len(labels)}")
    groups, count = group_index(patients, len(labels))
    k = int(number.max(initial=-1)) + 1
    columns = [
        [*_areas(*pair, number, groups, count)] for pair in zip(labels.T, scores.T, strict=True)
    ]
    used = [areas for areas in columns if areas]
    method = f"mean of {plural(k, 'fold')}, influence values by patient, {100 * level:g} %"
    if not used:
        return undefined(method, "no fold has images of both classes")
    reason = _missing(k, columns)
    value = float(np.mean([np.mean([one.area for one in areas]) for areas in used]))
    influence = np.mean(
        [np.mean([one.influence for one in areas], axis=0) for areas in used], axis=0
    )
    variance = float(influence @ influence)
    if not variance > NO_VARIANCE or not 0 < value < 1:
        sides = np.min([np.sum([one.sides for one in areas], axis=0) for areas in used], axis=0)
        why = f"an AUROC of {value:.3g} in every fold has no variance"
        return replace(newcombe(value, *sides.astype(float), level=level), reason=why)
    freedom = min(sum(min(one.sides) - 1 for one in areas) for areas in used)
    half = float(stdtrit(max(freedom, 1), (1 + level) / 2)) * math.sqrt(variance)
    return Interval(value, *logit_limits(value, half), method, reason)


@dataclass(frozen=True, slots=True, eq=False)
class _Area:
    """The AUROC of a fold, its influence values (patients,), and patients with each class."""

    area: float
    influence: Floats
    sides: tuple[int, int]


def _areas(
    labels: Floats, scores: Floats, folds: Ints, groups: Ints, count: int
) -> Iterator[_Area]:
    """Yield the AUROC of each fold with images of both classes."""
    for fold in range(int(folds.max(initial=-1)) + 1):
        rows = np.flatnonzero((folds == fold) & ~np.isnan(labels))
        positive = labels[rows] == 1
        if not positive.any() or positive.all():
            continue
        parts = placements(positive, scores[rows])
        area, influence, sides = float(parts[0].mean()), np.zeros(count), []
        for part, side in zip(parts, (positive, ~positive), strict=True):
            own = groups[rows[side]]
            size = len(np.unique(own))
            sides.append(size)
            # DeLong's variance divides by one less than the number.
            scale = math.sqrt(size / max(size - 1, 1)) / len(part)
            influence += scale * np.bincount(own, part - area, count)
        yield _Area(area, influence, (sides[0], sides[1]))


def _missing(folds: int, columns: Sequence[Sequence[_Area]]) -> str | None:
    missing = folds * len(columns) - sum(map(len, columns))
    if not missing:
        return None
    where = "folds" if len(columns) == 1 else "pairs of a fold and a label"
    return f"{missing} of {folds * len(columns)} {where} lack a class and are left out"


def corrected_difference(
    differences: ArrayLike, n_train: float, n_test: float, *, level: float = 0.95
) -> PairedTest:
    """Test whether two procedures differ, from their differences in each fold.

    The folds share training images, so their results are correlated and the ordinary t-test is too
    narrow. The variance is multiplied by 1 + k * n_test / n_train. The difference is that of the
    two ways of training on this many images, not of particular models.

    Parameters
    ----------
    differences
        Second minus first in each fold, (k,), finite, k of 2 or more; of a repeated
        cross-validation, all folds of all repetitions.
    n_train, n_test
        Mean numbers of images that a model is trained and tested on, above 0.
    level
        See `plainfilm.metrics`.

    Returns
    -------
    PairedTest
        With Student's t and k - 1 degrees of freedom. If all differences are equal, there is no
        variance: p is 1 for differences of 0 and NaN otherwise, with the reason.

    References
    ----------
    C. Nadeau & Y. Bengio, Machine Learning 52 (2003) 239-281; for cross-validation: R. R. Bouckaert
    & E. Frank, PAKDD 2004, LNCS 3056, 3-12.

    Examples
    --------
    >>> found = corrected_difference([0.02, 0.01, 0.03, 0.02, 0.02], n_train=400, n_test=100)
    >>> f"{found.difference.value:.3f} {found.standard_error:.4f} {found.p:.3f}"
    '0.020 0.0047 0.014'
    """
    from scipy.special import stdtr, stdtrit

    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise MetricError(
            "the comparison of folds needs a difference in each of two or more folds",
            received=values.tolist(),
        )
    if not (n_train > 0 and n_test > 0):
        raise MetricError(
            "the numbers of training and test images must be above 0",
            received=f"{n_train} and {n_test}",
        )
    k, value = len(values), float(values.mean())
    kind = "corrected t-test of Nadeau and Bengio"
    method = f"{kind} over {plural(k, 'fold')}, {100 * level:g} %"
    error = math.sqrt(float(values.var(ddof=1)) * (1 / k + n_test / n_train))
    if error**2 <= NO_VARIANCE:
        same, why = abs(value) < 1e-12, "the difference is the same in every fold"
        empty = Interval(value, math.nan, math.nan, method, why)
        return PairedTest(empty, 1.0 if same else math.nan, 0.0, kind, why)
    half = float(stdtrit(k - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(k - 1, -abs(value) / error))
    return PairedTest(Interval(value, value - half, value + half, method), p, error, kind)

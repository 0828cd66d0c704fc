"""Tests two classifiers on the same images: AUROC (DeLong) and proportions (McNemar)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import (
    Bools,
    Floats,
    Ints,
    Patients,
    as_scores,
    group_index,
    known,
    known_groups,
)
from plainfilm.metrics.auroc import NO_VARIANCE, clustered_covariance
from plainfilm.metrics.intervals import Interval, normal_quantile
from plainfilm.metrics.small_sample import FEW_PATIENTS


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The result of a paired test.

    Attributes
    ----------
    difference
        Second minus first, with its interval.
    p
        Two-sided p-value, 0 to 1.
    standard_error
        Standard error of the difference; NaN where there is none.
    method
        Name of the test, in words for a report.
    reason
        Reason why something is undefined or unusual, or None.
    """

    difference: Interval
    p: float
    standard_error: float
    method: str
    reason: str | None = None


def delong_test(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: Patients = None,
    *,
    level: float = 0.95,
) -> PairedTest:
    """Test whether two scorers of the same images have the same AUROC.

    Parameters
    ----------
    y_true, patients, level
        See `plainfilm.metrics`. A `MetricError` is raised if a class is missing.
    first, second
        Scores (n,), finite, each on any scale.

    Returns
    -------
    PairedTest
        Without variance (both rank the images alike, one patient of a class, or two perfect
        rankings), p is 1 for equal areas and NaN otherwise, with the reason.

    References
    ----------
    E. R. DeLong, D. M. DeLong & D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; several images
    of a patient: N. A. Obuchowski, Biometrics 53 (1997) 567-578.
    """
    positive, one, _ = known(y_true, first)
    _, other, _ = known(y_true, second)
    groups, count = patients_of(y_true, patients)
    if not positive.any() or positive.all():
        raise MetricError("a comparison of AUROCs needs both classes")
    areas, covariance = clustered_covariance(positive, np.stack([one, other]), groups, count)
    difference = float(areas[1] - areas[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    kind = "paired DeLong"
    if count < len(positive):
        kind = f"clustered {kind}, {_patients(count)}"
    method = f"{kind}, {100 * level:g} %"
    if variance <= NO_VARIANCE:
        same = abs(difference) < 1e-12
        why = "both rank the images alike" if same else _without_variance(positive, groups)
        empty = Interval(difference, math.nan, math.nan, method, why)
        return PairedTest(empty, 1.0 if same else math.nan, 0.0 if same else math.nan, method, why)
    error = math.sqrt(variance)
    half = normal_quantile(level) * error
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return PairedTest(
        Interval(difference, low, high, method), _two_sided(difference / error), error, method
    )


def _without_variance(positive: Bools, groups: Ints) -> str:
    """Return why the difference of two unequal AUROCs has no variance."""
    if min(len(np.unique(groups[side])) for side in (positive, ~positive)) < 2:
        return "a class with one patient has no variance"
    return "every patient of a class contributes the same difference, so DeLong's variance is zero"


def mcnemar_test(
    first: ArrayLike, second: ArrayLike, patients: Patients = None, *, level: float = 0.95
) -> PairedTest:
    """Test whether two classifiers are correct equally often on the same images.

    For sensitivity pass the positive images only, for specificity the negative ones.

    Parameters
    ----------
    first, second
        1 or 0 (or booleans), (n,): whether each prediction is correct. There must be an image.
    patients, level
        See `plainfilm.metrics`.

    Returns
    -------
    PairedTest
        With one image per patient, p is McNemar's mid-p; otherwise p is from Obuchowski's test,
        which counts patients. If both are always correct on the same images, p is 1.

    References
    ----------
    Mid-p: M. W. Fagerland, S. Lydersen & P. Laake, BMC Med. Res. Methodol. 13 (2013) 91.
    Patients: N. A. Obuchowski, Stat. Med. 17 (1998) 1495-1507. Interval for few differences:
    D. G. Bonett & R. M. Price, J. Educ. Behav. Stat. 37 (2012) 479-488.
    """
    from scipy.special import bdtr

    one = np.asarray(first, np.float64)
    one = as_scores(one, one.shape, name="results of the first", low=0, high=1)
    other = as_scores(second, one.shape, name="results of the second", low=0, high=1)
    if one.ndim != 1 or not one.size:
        raise MetricError("the comparison needs images", received=f"shape {one.shape}")
    groups, count = group_index(patients, len(one))
    gain = other - one
    by_patient = np.bincount(groups, weights=gain, minlength=count).astype(np.float64)
    difference = float(gain.mean())
    if count == len(one):
        won, lost = int((gain > 0).sum()), int((gain < 0).sum())
        # Twice the tail, in which the outcome itself counts one half. With equal counts both tails
        # contain the outcome, and it counts one half of the whole.
        fewer, total = min(won, lost), won + lost
        beyond = float(bdtr(fewer - 1, total, 0.5)) if fewer else 0.0
        p, method = float(bdtr(fewer, total, 0.5)) + beyond, "McNemar, mid-p"
        if won == lost:
            p = 0.5 + beyond if total else 1.0
    else:
        method = f"Obuchowski's test over {_patients(count)}"
        null = count / (count - 1) * float(by_patient @ by_patient) if count > 1 else 0.0
        p = _two_sided(float(by_patient.sum()) / math.sqrt(null)) if null > 0 else 1.0
    sizes = np.bincount(groups, minlength=count)
    apart = by_patient - sizes * difference
    error = math.sqrt(count / max(count - 1, 1) * float(apart @ apart)) / len(one)
    why = None if np.any(gain) else "both are correct on the same images"
    interval = _share_difference(by_patient, difference, error, count, level)
    return PairedTest(interval, p, error, method, why)


def _share_difference(
    by_patient: Floats, difference: float, error: float, count: int, level: float
) -> Interval:
    """Return the interval of a difference of two proportions from the net gain of each patient."""
    z = normal_quantile(level)
    won, lost = int((by_patient > 0).sum()), int((by_patient < 0).sum())
    if won + lost >= FEW_PATIENTS:
        method = f"normal, variance over {_patients(count)}, {100 * level:g} %"
        low, high = difference - z * error, difference + z * error
        return Interval(difference, max(-1.0, low), min(1.0, high), method)
    # Bonett and Price add one to each discordant count, so the width is never zero.
    up, down, total = (won + 1) / (count + 2), (lost + 1) / (count + 2), count + 2
    middle = up - down
    half = max(z * math.sqrt((up + down - middle**2) / total), z * error)
    method = f"Bonett and Price on {_patients(count)}, {100 * level:g} %"
    why = f"the two differ in only {plural(won + lost, 'patient')}"
    low, high = min(middle - half, difference), max(middle + half, difference)
    return Interval(difference, max(-1.0, low), min(1.0, high), method, why)


def _patients(count: int) -> str:
    return plural(count, "patient", separator="")


def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def patients_of(y_true: ArrayLike, patients: Patients) -> tuple[Ints, int]:
    """Number the patients that have images with known labels, and count them."""
    kept, _ = known_groups(y_true, patients)
    numbers = np.unique(kept, return_inverse=True)[1].reshape(-1)
    return numbers.astype(np.intp), int(numbers.max(initial=-1)) + 1

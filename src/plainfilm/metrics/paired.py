"""Tests of two classifiers on the same images: of their areas, and of how often they are right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, Ints, as_scores, group_index, known
from plainfilm.metrics.clustered import clustered_covariance
from plainfilm.metrics.intervals import Interval, normal_quantile
from plainfilm.metrics.small_sample import FEW_PATIENTS

__all__ = ["PairedTest", "Patients", "delong_test", "mcnemar_test", "patients_of"]

Patients = Sequence[str] | NDArray[np.str_] | None

_NO_VARIANCE = 1e-28


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The outcome of a paired test.

    Attributes
    ----------
    difference
        Second less first, with its interval.
    p
        Two-sided, 0 to 1.
    standard_error
        Of the difference; NaN where the test has none.
    method
        In words fit for a report.
    reason
        What is out of the ordinary, or None.
    """

    difference: Interval
    p: float
    standard_error: float
    method: str
    reason: str | None = None


def delong_test(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: Patients = None,
    *,
    level: float = 0.95,
) -> PairedTest:
    """Test whether two scorers of the same images have the same AUROC.

    Parameters
    ----------
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    first, second
        (n,) scores, finite, each of any scale.
    patients
        (n,) keys, or None for one patient per image.
    level
        Confidence of the interval.

    Returns
    -------
    Where both order the images alike, or a class has one patient, there is no variance: p is 1
    where the areas are equal, NaN otherwise, with the reason.

    Raises
    ------
    MetricError
        If an input is out of range, or a class is missing.

    References
    ----------
    E. R. DeLong, D. M. DeLong & D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; several images
    of a patient: N. A. Obuchowski, Biometrics 53 (1997) 567-578.
    """
    positive, one, _ = known(labels, first)
    _, other, _ = known(labels, second)
    groups, count = patients_of(labels, patients)
    if not positive.any() or positive.all():
        raise MetricError("AUROCs can only be compared where both classes are there")
    areas, covariance = clustered_covariance(positive, np.stack([one, other]), groups, count)
    difference = float(areas[1] - areas[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    kind = (
        "paired DeLong" if count == len(positive) else f"clustered paired DeLong, {count} patients"
    )
    method = f"{kind}, {100 * level:g} %"
    if variance <= _NO_VARIANCE:
        same = abs(difference) < 1e-12
        why = "both order the images alike" if same else "one class is of one patient: no variance"
        empty = Interval(difference, math.nan, math.nan, method, why)
        return PairedTest(empty, 1.0 if same else math.nan, 0.0 if same else math.nan, method, why)
    error = math.sqrt(variance)
    half = normal_quantile(level) * error
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return PairedTest(
        Interval(difference, low, high, method), _two_sided(difference / error), error, method
    )


def mcnemar_test(
    first: ArrayLike, second: ArrayLike, patients: Patients = None, *, level: float = 0.95
) -> PairedTest:
    """Test whether two classifiers are right equally often on the same images.

    For sensitivity give the positive images alone, for specificity the negative ones.

    Parameters
    ----------
    first, second
        (n,) of 1 or 0 (or booleans): whether each is right.
    patients
        (n,) keys, or None for one patient per image.

    Returns
    -------
    With one image a patient p is McNemar's mid-p; with several, that of Obuchowski's test, which
    counts patients. Where the two are never right on different images, p is 1.

    Raises
    ------
    MetricError
        If an input is out of range, or there is no image.

    References
    ----------
    M. W. Fagerland, S. Lydersen & P. Laake, BMC Med. Res. Methodol. 13 (2013) 91 (mid-p);
    N. A. Obuchowski, Stat. Med. 17 (1998) 1495-1507 (patients); the interval with few differences:
    D. G. Bonett & R. M. Price, J. Educ. Behav. Stat. 37 (2012) 479-488.
    """
    one = np.asarray(first, np.float64)
    one = as_scores(one, one.shape, name="what the first is right in", low=0, high=1)
    other = as_scores(second, one.shape, name="what the second is right in", low=0, high=1)
    if one.ndim != 1 or not one.size:
        raise MetricError("there is no image to compare on", received=f"shape {one.shape}")
    groups, count = group_index(patients, len(one))
    gain = other - one
    by_patient = np.bincount(groups, weights=gain, minlength=count).astype(np.float64)
    difference = float(gain.mean())
    clustered = count < len(one)
    if not clustered:
        from scipy.special import bdtr

        won, lost = int((gain > 0).sum()), int((gain < 0).sum())
        # Twice the tail, less what is as likely as the outcome itself.
        fewer, total = min(won, lost), won + lost
        beyond = float(bdtr(fewer - 1, total, 0.5)) if fewer else 0.0
        tail = float(bdtr(fewer, total, 0.5)) + beyond
        p, method = min(1.0, tail), "McNemar, mid-p"
    else:
        method = f"Obuchowski's test over {count} patients"
        null = count / (count - 1) * float(by_patient @ by_patient) if count > 1 else 0.0
        p = _two_sided(float(by_patient.sum()) / math.sqrt(null)) if null > 0 else 1.0
    sizes = np.bincount(groups, minlength=count)
    apart = by_patient - sizes * difference
    error = math.sqrt(count / max(count - 1, 1) * float(apart @ apart)) / len(one)
    why = None if np.any(gain) else "they are never right on different images"
    interval = _share_difference(by_patient, difference, error, count, level)
    return PairedTest(interval, p, error, method, why)


def _share_difference(
    by_patient: Floats, difference: float, error: float, count: int, level: float
) -> Interval:
    """Return the interval of a difference of two shares from each patient's net gain."""
    z = normal_quantile(level)
    won, lost = int((by_patient > 0).sum()), int((by_patient < 0).sum())
    if won + lost >= FEW_PATIENTS:
        method = f"normal, variance over {count} patients, {100 * level:g} %"
        low, high = difference - z * error, difference + z * error
        return Interval(difference, max(-1.0, low), min(1.0, high), method)
    # The two cells of patients that differ, each with one more: it has a width with none of them.
    up, down, total = (won + 1) / (count + 2), (lost + 1) / (count + 2), count + 2
    half = z * math.sqrt((up + down - (up - down) ** 2) / total)
    half = max(half, z * error)
    middle = up - down
    method = f"Bonett and Price on {count} patients, {100 * level:g} %"
    why = f"the two differ in {won + lost} patients only"
    low, high = min(middle - half, difference), max(middle + half, difference)
    return Interval(difference, max(-1.0, low), min(1.0, high), method, why)


def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def patients_of(labels: ArrayLike, patients: Patients) -> tuple[Ints, int]:
    """Number the patients of the images of known label."""
    everyone, _ = group_index(patients, np.shape(labels)[0])
    kept = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    numbers = np.unique(kept, return_inverse=True)[1].reshape(-1)
    return numbers.astype(np.intp), int(numbers.max(initial=-1)) + 1

"""Whether one of two classifiers is better on the same images, and whether it could be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thorax.errors import MetricError
from thorax.metrics._inputs import Bools, Floats, Ints, as_scores, group_index, known
from thorax.metrics.blocks import pool
from thorax.metrics.bootstrap import BOOTSTRAP_METRICS, metric_statistic, percentile, replicate
from thorax.metrics.clustered import clustered_covariance
from thorax.metrics.few import FEW_PATIENTS
from thorax.metrics.intervals import Interval, normal_quantile
from thorax.metrics.scores import RATES

__all__ = [
    "PairedTest",
    "Verdict",
    "clustered_difference",
    "delong_test",
    "holm",
    "judge_margin",
    "mcnemar_test",
]

Patients = Sequence[str] | NDArray[np.str_] | None
Verdict = Literal["superior", "non-inferior", "inferior", "not shown"]

_NO_VARIANCE = 1e-28
_TRIALS = {"accuracy": (True, True), "sensitivity": (True, False), "specificity": (False, True)}


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
    groups, count = _groups(labels, patients)
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


def clustered_difference(
    metric: str,
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: Patients = None,
    *,
    thresholds: tuple[float, float] | None = None,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return the difference of a metric, second less first, over resampled patients.

    Both are computed on the same drawn patients, so that what is hard for both cancels out.

    Parameters
    ----------
    metric
        A name of `BOOTSTRAP_METRICS`.
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    first, second
        (n,) scores; probabilities for ``brier`` and ``log_loss``.
    patients
        (n,) keys, or None for one patient per image.
    thresholds
        Of the first and of the second; needed for the metrics of `RATES`.
    replicates, level, seed
        As for `clustered_bootstrap`.

    Returns
    -------
    Where accuracy, sensitivity or specificity differ in fewer than ten patients, the limits are
    those of `mcnemar_test`, since a bootstrap of so few is too narrow. Where no replicate differs
    there are none, and ``reason`` says so.
    """
    if metric not in BOOTSTRAP_METRICS:
        raise MetricError(
            "there is no such metric",
            received=metric,
            todo="one of " + ", ".join(BOOTSTRAP_METRICS),
        )
    if metric in RATES and thresholds is None:
        raise MetricError(f"{metric} needs a threshold for each of the two")
    chances = metric in ("brier", "log_loss")
    positive, one, _ = known(labels, first, probabilities=chances)
    _, other, _ = known(labels, second, probabilities=chances)
    groups, count = _groups(labels, patients)
    cuts = thresholds or (math.inf, math.inf)
    calls = (one >= cuts[0], other >= cuts[1])
    few = _few(metric, positive, calls, groups, level)
    if few is not None:
        return few
    drawn, units = pool(groups, count)
    parts = [
        metric_statistic(metric, positive, values, called, drawn, units)
        for values, called in zip((one, other), calls, strict=True)
    ]
    ones = np.ones((1, units))
    value = float(parts[1][0](ones)[parts[1][1], 0] - parts[0][0](ones)[parts[0][1], 0])
    found = replicate(
        [statistic for statistic, _ in parts],
        patients=units,
        images=len(one),
        replicates=replicates,
        rng=np.random.default_rng(seed),
    )
    with np.errstate(invalid="ignore"):
        gaps = found[1][parts[1][1]] - found[0][parts[0][1]]
    unit = "images" if patients is None else "patients"
    interval = percentile(value, gaps, level=level, unit=unit)
    return Interval(
        interval.value, interval.low, interval.high, f"paired {interval.method}", interval.reason
    )


def _few(
    metric: str, positive: Bools, calls: tuple[Bools, Bools], groups: Ints, level: float
) -> Interval | None:
    """Return the interval of a share that differs in few patients only."""
    if metric not in _TRIALS:
        return None
    with_positive, with_negative = _TRIALS[metric]
    where = (positive & with_positive) | (~positive & with_negative)
    if not where.any():
        return None
    right = [(called == positive)[where] for called in calls]
    keys = np.unique(groups[where], return_inverse=True)[1]
    gain = right[1].astype(np.float64) - right[0]
    differing = int(np.count_nonzero(np.bincount(keys, weights=np.abs(gain))))
    if differing >= FEW_PATIENTS:
        return None
    return mcnemar_test(right[0], right[1], keys.astype(str), level=level).difference


def judge_margin(difference: Interval, margin: float, *, higher_is_better: bool = True) -> Verdict:
    """Say what an interval of second less first shows about the second.

    Parameters
    ----------
    difference
        With its 95 % interval: each limit is a one-sided test at 2.5 %.
    margin
        How much worse is still no worse, above 0; fixed before looking.
    higher_is_better
        False for losses.

    Returns
    -------
    ``superior`` (its worst limit is above 0), ``non-inferior`` (above minus the margin),
    ``inferior`` (its best limit is below minus the margin) or ``not shown``.

    References
    ----------
    G. Piaggio et al., JAMA 308 (2012) 2594-2604 (CONSORT, non-inferiority).
    """
    if not margin > 0:
        raise MetricError("a margin must be above 0", received=margin)
    worst, best = (difference.low, difference.high)
    if not higher_is_better:
        worst, best = -difference.high, -difference.low
    if not (math.isfinite(worst) and math.isfinite(best)):
        return "not shown"
    if worst > 0:
        return "superior"
    if worst > -margin:
        return "non-inferior"
    return "inferior" if best < -margin else "not shown"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for how many there are, each valid whatever the others say.

    NaN stays NaN and counts for nothing.

    References
    ----------
    S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    there = np.flatnonzero(~np.isnan(values))
    if np.any((values[there] < 0) | (values[there] > 1)):
        raise MetricError("p-values lie between 0 and 1", received=str(list(p_values))[:80])
    order = there[np.argsort(values[there], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = values.copy()
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return [float(value) for value in adjusted]


def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def _groups(labels: ArrayLike, patients: Patients) -> tuple[Ints, int]:
    """Number the patients of the images of known label."""
    everyone, _ = group_index(patients, np.shape(labels)[0])
    kept = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    numbers = np.unique(kept, return_inverse=True)[1].reshape(-1)
    return numbers.astype(np.intp), int(numbers.max(initial=-1)) + 1

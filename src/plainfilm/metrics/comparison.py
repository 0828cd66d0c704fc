"""Compares two classifiers on the same images: differences, margins, adjusted p-values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Ints, Patients, known
from plainfilm.metrics.bootstrap import check_metric, percentile, replicate
from plainfilm.metrics.intervals import Interval
from plainfilm.metrics.paired import mcnemar_test, patients_of
from plainfilm.metrics.scores import RATES
from plainfilm.metrics.small_sample import FEW_PATIENTS
from plainfilm.metrics.statistics import metric_statistic, pool

Verdict = Literal["superior", "non-inferior", "inferior", "not shown"]

_TRIALS = {"accuracy": (True, True), "sensitivity": (True, False), "specificity": (False, True)}


def clustered_difference(
    metric: str,
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: Patients = None,
    *,
    thresholds: tuple[float, float] | None = None,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return the difference of a metric, second minus first, with a bootstrap interval.

    Both are computed on the same resampled patients, so that variation common to both cancels.

    Parameters
    ----------
    metric
        A name in `BOOTSTRAP_METRICS`.
    y_true, patients, n_bootstrap, level, seed
        See `plainfilm.metrics`.
    first, second
        Scores (n,); probabilities for ``brier`` and ``log_loss``.
    thresholds
        Thresholds of the first and the second; required for the metrics in `RATES`.

    Returns
    -------
    Interval
        If accuracy, sensitivity or specificity differ in fewer than ten patients, the limits are
        those of `mcnemar_test`, because a bootstrap of so few is too narrow. If no replicate
        differs, there are no limits, and ``reason`` says so.
    """
    check_metric(metric)
    if metric in RATES and thresholds is None:
        raise MetricError(f"{metric} needs two thresholds")
    probabilities = metric in ("brier", "log_loss")
    positive, one, _ = known(y_true, first, probabilities=probabilities)
    _, other, _ = known(y_true, second, probabilities=probabilities)
    groups, count = patients_of(y_true, patients)
    cuts = thresholds or (math.inf, math.inf)
    called = (one >= cuts[0], other >= cuts[1])
    small = _small_sample(metric, positive, called, groups, level)
    if small is not None:
        return small
    drawn, units = pool(groups, count)
    parts = [
        metric_statistic(metric, positive, values, each, drawn, units)
        for values, each in zip((one, other), called, strict=True)
    ]
    ones = np.ones((1, units))
    value = float(parts[1][0](ones)[parts[1][1], 0] - parts[0][0](ones)[parts[0][1], 0])
    statistics, rng = [statistic for statistic, _ in parts], np.random.default_rng(seed)
    found = replicate(statistics, patients=units, images=len(one), n_bootstrap=n_bootstrap, rng=rng)
    with np.errstate(invalid="ignore"):
        gaps = found[1][parts[1][1]] - found[0][parts[0][1]]
    unit = "images" if patients is None else "patients"
    interval = percentile(value, gaps, level=level, unit=unit)
    return replace(interval, method=f"paired {interval.method}")


def _small_sample(
    metric: str, positive: Bools, called: tuple[Bools, Bools], groups: Ints, level: float
) -> Interval | None:
    """Return the interval of a proportion that differs in few patients, else None."""
    if metric not in _TRIALS:
        return None
    with_positive, with_negative = _TRIALS[metric]
    where = np.where(positive, with_positive, with_negative)
    if not where.any():
        return None
    right = [(each == positive)[where] for each in called]
    keys = np.unique(groups[where], return_inverse=True)[1]
    gain = right[1].astype(np.float64) - right[0]
    differing = int(np.count_nonzero(np.bincount(keys, weights=np.abs(gain))))
    if differing >= FEW_PATIENTS:
        return None
    return mcnemar_test(right[0], right[1], keys.astype(str), level=level).difference


def judge_margin(difference: Interval, margin: float, *, higher_is_better: bool = True) -> Verdict:
    """Return the verdict of a non-inferiority comparison of the second with the first.

    It is ``superior`` (the worse limit is above 0), ``non-inferior`` (it is above minus the
    margin), ``inferior`` (the better limit is below minus the margin) or ``not shown``.

    Parameters
    ----------
    difference
        Second minus first with its 95 % interval; each limit is a one-sided test at 2.5 %.
    margin
        Non-inferiority margin, above 0, chosen before the data are seen.
    higher_is_better
        False for losses.

    References
    ----------
    G. Piaggio et al., JAMA 308 (2012) 2594-2604 (CONSORT, non-inferiority).
    """
    if not margin > 0:
        raise MetricError("a margin must be above 0", received=margin)
    worst, best = difference.low, difference.high
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
    """Return p-values adjusted for multiple testing by Holm's method.

    NaN stays NaN and is not counted as a test.

    References
    ----------
    S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    defined = np.flatnonzero(~np.isnan(values))
    if np.any((values[defined] < 0) | (values[defined] > 1)):
        raise MetricError("p-values must be between 0 and 1", received=str(list(p_values))[:80])
    order = defined[np.argsort(values[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = values.copy()
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return [float(value) for value in adjusted]

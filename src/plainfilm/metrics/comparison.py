"""Whether one of two classifiers is better on the same images, and whether it could be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Ints, known
from plainfilm.metrics.blocks import pool
from plainfilm.metrics.bootstrap import BOOTSTRAP_METRICS, percentile, replicate
from plainfilm.metrics.intervals import Interval
from plainfilm.metrics.paired import Patients, mcnemar_test, patients_of
from plainfilm.metrics.scores import RATES
from plainfilm.metrics.small_sample import FEW_PATIENTS
from plainfilm.metrics.statistics import metric_statistic

__all__ = [
    "Verdict",
    "clustered_difference",
    "holm",
    "judge_margin",
]

Verdict = Literal["superior", "non-inferior", "inferior", "not shown"]

_TRIALS = {"accuracy": (True, True), "sensitivity": (True, False), "specificity": (False, True)}


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
            remedy="one of " + ", ".join(BOOTSTRAP_METRICS),
        )
    if metric in RATES and thresholds is None:
        raise MetricError(f"{metric} needs a threshold for each of the two")
    chances = metric in ("brier", "log_loss")
    positive, one, _ = known(labels, first, probabilities=chances)
    _, other, _ = known(labels, second, probabilities=chances)
    groups, count = patients_of(labels, patients)
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

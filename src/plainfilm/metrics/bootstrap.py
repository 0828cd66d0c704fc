"""Computes confidence intervals by resampling patients.

Images of one patient are correlated, so an interval that treats them as independent is too narrow.
The bootstrap draws whole patients with replacement. A replicate is the number of draws of each
patient; every statistic uses these numbers as weights, for many replicates in one array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, known, known_groups
from plainfilm.metrics.intervals import Interval, logit_limits, undefined
from plainfilm.metrics.scores import RATES, confusion, why_undefined
from plainfilm.metrics.small_sample import small_sample_interval
from plainfilm.metrics.statistics import (
    BLOCKS,
    MANY,
    RANKINGS,
    Statistic,
    draw_counts,
    metric_statistic,
    pool,
)

BOOTSTRAP_METRICS = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss", *RATES)
"""Names that `clustered_bootstrap` accepts."""

_ROUNDING = 1e-12  # relative difference of the same sum computed in another order
_CELLS = 1 << 20  # floats per working array: fits the processor's cache and bounds the memory
SMOOTH = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
"""Metrics that are smooth functions of the images, as `studentised` requires."""


def _draws(
    patients: int, images: int, n_bootstrap: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield the number of draws of each patient, (some replicates, patients) at a time."""
    # For very many images the scores are binned, and no array has a column for each image.
    rows = max(1, _CELLS // max(patients, min(images, MANY), 1))
    for start in range(0, n_bootstrap, rows):
        count = min(rows, n_bootstrap - start)
        # Drawing replicate by replicate makes the random numbers independent of `rows`.
        yield draw_counts(patients, count, rng).astype(np.float64)


def replicate(
    statistics: Sequence[Statistic],
    *,
    patients: int,
    images: int,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> list[Floats]:
    """Compute every statistic on the same resampled patients, as arrays (k, n_bootstrap).

    They are NaN where a replicate leaves a statistic undefined.
    """
    if n_bootstrap < 1 or patients < 1:
        raise MetricError(
            "the bootstrap needs at least one replicate and one patient",
            received=f"{n_bootstrap} replicates, {patients} patients",
        )
    if not statistics:
        return []
    parts: list[list[Floats]] = [[] for _ in statistics]
    for draws in _draws(patients, images, n_bootstrap, rng):
        for part, statistic in zip(parts, statistics, strict=True):
            part.append(statistic(draws))
    return [np.concatenate(part, axis=1) for part in parts]


def percentile(value: float, values: Floats, *, level: float = 0.95, unit: str) -> Interval:
    """Return the percentile interval of a value from its replicates (R,).

    Undefined replicates (NaN) are left out, and ``reason`` gives their number. If they are more
    than half, there are no limits. There are none either if the limits coincide: replicates that do
    not differ show that the sample is too small, not that the value is certain.
    """
    method = f"percentile bootstrap over {unit}, {len(values)} replicates, {100 * level:g} %"
    defined = values[~np.isnan(values)]
    missing = len(values) - len(defined)
    if 2 * missing > len(values):
        why = f"undefined in {missing} of {len(values)} replicates: too few images of a class"
        return Interval(value, math.nan, math.nan, method, why)
    # Nearest, because there is no value between two infinite replicates.
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    reason = f"{missing} undefined replicates left out" if missing else None
    if _coincide(low, high):
        why = f"the replicates do not differ: there are too few {unit} to estimate the uncertainty"
        return Interval(value, math.nan, math.nan, method, why)
    if math.isinf(high):
        reason = "the upper limit is unbounded"
    return Interval(value, float(low), float(high), method, reason)


def _coincide(low: float, high: float) -> bool:
    """Return whether two numbers, possibly infinite, are equal up to rounding."""
    return bool(low == high or (math.isfinite(low) and high - low <= _ROUNDING * abs(high)))


def bootstrap_interval(
    name: str,
    value: float,
    replicates: Floats,
    *,
    positive: Bools,
    called: Bools,
    groups: Ints,
    unit: str,
    level: float = 0.95,
) -> Interval:
    """Return the interval of a value from its replicates, or from a formula in a small sample.

    It is from `small_sample_interval` where there are too few errors to resample; else from
    `studentised` for the metrics in `SMOOTH` and from `percentile` for the others. Its width is
    never zero: without a method that gives limits, there are none.

    Parameters
    ----------
    name, value
        A name in `BOOTSTRAP_METRICS`, and its value on all images.
    replicates
        Values (R,) on the resampled patients.
    positive, called, groups
        Label, predicted class and patient, see `small_sample_interval`.
    unit
        Unit of resampling, ``patients`` or ``images``.
    """
    found = percentile(value, replicates, level=level, unit=unit)
    if name in SMOOTH and not math.isnan(found.low):
        patients = _fewest_patients(name, positive, groups)
        smooth = studentised(name, value, replicates, patients - 1, level=level, unit=unit)
        found = smooth or found
    defined = replicates[~np.isnan(replicates)]
    same = math.isnan(found.low) and len(defined) > 0 and _coincide(defined.min(), defined.max())
    small = small_sample_interval(name, value, positive, called, groups, level=level, same=same)
    return small or found


def _fewest_patients(name: str, positive: Bools, groups: Ints) -> int:
    """Return the number of patients; for a ranking metric, of the rarer class."""
    sides = (positive, ~positive) if name in RANKINGS else (np.ones_like(positive),)
    return min(int(np.count_nonzero(np.bincount(groups[side]))) for side in sides)


def studentised(
    name: str, value: float, values: Floats, freedom: int, *, level: float = 0.95, unit: str
) -> Interval | None:
    """Return the interval from the standard deviation of replicates and Student's t.

    It is computed on the logit scale (log scale for the log loss), on which the replicates of a
    bounded value are nearly symmetric. In small samples percentile intervals are too narrow for two
    reasons: the bootstrap variance is smaller by (n - 1) / n, and the standard error is itself
    estimated, which Student's t allows for. In large samples both intervals agree.

    It is None at the ends of the scale and with less than one degree of freedom.

    Parameters
    ----------
    name, value
        A name in `SMOOTH`, and its value on all images.
    values
        Replicates (R,).
    freedom
        Degrees of freedom: number of patients of the rarer class minus one.
    unit
        Unit of resampling, for the description of the method.

    References
    ----------
    B. Efron & R. J. Tibshirani, An Introduction to the Bootstrap, 1993, sections 12.5 and 13.3.
    """
    from scipy.special import stdtrit

    defined = values[np.isfinite(values)]
    bounded = name != "log_loss"
    if freedom < 1 or defined.size < 2 or not value > 0 or (bounded and not value < 1):
        return None
    half = float(stdtrit(freedom, (1 + level) / 2)) * float(defined.std(ddof=1))
    method = (
        f"bootstrap over {unit}, {len(values)} replicates, t on the "
        f"{'logit' if bounded else 'log'} scale, {100 * level:g} %"
    )
    missing = len(values) - len(defined)
    reason = f"{missing} undefined replicates left out" if missing else None
    if not bounded:
        factor = math.exp(min(half / value, 700.0))
        return Interval(value, value / factor, value * factor, method, reason)
    return Interval(value, *logit_limits(value, half), method, reason)


def correlation_interval(
    value: float, values: Floats, freedom: int, *, level: float = 0.95, unit: str
) -> Interval | None:
    """Return the interval of a coefficient between -1 and 1 (MCC, kappa) from its replicates (R,).

    As `studentised`, on the scale of Fisher's z. It is None at the ends of the scale, without
    spread, and with less than one degree of freedom.
    """
    from scipy.special import stdtrit

    defined = values[np.isfinite(values)]
    if freedom < 1 or 2 * defined.size < len(values) or abs(value) >= 1 or np.ptp(defined) < 1e-12:
        return None
    half = float(stdtrit(freedom, (1 + level) / 2)) * float(defined.std(ddof=1)) / (1 - value**2)
    missing = len(values) - len(defined)
    method = (
        f"bootstrap over {unit}, {len(values)} replicates, t on Fisher's z scale, {100 * level:g} %"
    )
    reason = f"{missing} undefined replicates left out" if missing else None
    low, high = (math.tanh(math.atanh(value) + side * half) for side in (-1, 1))
    return Interval(value, low, high, method, reason)


def check_metric(metric: str) -> None:
    """Raise a `MetricError` unless a metric is in `BOOTSTRAP_METRICS`."""
    if metric not in BOOTSTRAP_METRICS:
        raise MetricError(
            "there is no such metric",
            received=metric,
            remedy="use one of " + ", ".join(BOOTSTRAP_METRICS),
        )


def clustered_bootstrap(
    metric: str,
    y_true: ArrayLike,
    y_score: ArrayLike,
    patients: Patients,
    *,
    threshold: float | None = None,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return a metric with a bootstrap interval over patients.

    Parameters
    ----------
    metric
        A name in `BOOTSTRAP_METRICS`.
    y_true, patients, n_bootstrap, level, seed
        See `plainfilm.metrics`. A patient without known label can be drawn, too.
    y_score
        Scores (n,); probabilities for ``brier`` and ``log_loss``.
    threshold
        Smallest score that is predicted positive; required for the metrics in `RATES`.

    Returns
    -------
    Interval
        See `bootstrap_interval`.

    References
    ----------
    C. A. Field & A. H. Welsh, J. R. Stat. Soc. B 69 (2007) 369-390, on resampling clusters.
    """
    check_metric(metric)
    if metric in RATES and threshold is None:
        raise MetricError(f"{metric} needs a threshold")
    positive, values, _ = known(y_true, y_score, probabilities=metric in ("brier", "log_loss"))
    patient_of, count = known_groups(y_true, patients)
    unit = "images" if patients is None else "patients"
    groups, count = pool(patient_of, count)
    if count == BLOCKS:
        unit += f" in {BLOCKS} blocks"
    called = values >= (math.inf if threshold is None else threshold)
    why = why_undefined(metric, confusion(positive, called))
    if why is not None:
        return undefined("percentile bootstrap", why)
    statistic, row = metric_statistic(metric, positive, values, called, groups, count)
    value = float(statistic(np.ones((1, count)))[row, 0])
    rng = np.random.default_rng(seed)
    [drawn] = replicate(
        [statistic], patients=count, images=len(values), n_bootstrap=n_bootstrap, rng=rng
    )
    return bootstrap_interval(
        metric, value, drawn[row], unit=unit, level=level,
        positive=positive, called=called, groups=patient_of,
    )  # fmt: skip

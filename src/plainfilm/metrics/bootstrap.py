"""Intervals from resampling patients, all replicates at once.

Images of one patient are alike, so an interval that counts them as independent is too narrow.
Here whole patients are drawn with replacement: a replicate is a number of draws per patient, and
every statistic is computed from those numbers used as weights, for many replicates in one array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, group_index, known
from plainfilm.metrics.blocks import BLOCKS, MANY, pool
from plainfilm.metrics.intervals import Interval, undefined
from plainfilm.metrics.scores import RATES, confusion, why_undefined
from plainfilm.metrics.small_sample import steady
from plainfilm.metrics.statistics import RANKINGS, Statistic, metric_statistic

__all__ = [
    "BOOTSTRAP_METRICS",
    "SMOOTH",
    "bootstrap_interval",
    "clustered_bootstrap",
    "percentile",
    "replicate",
    "studentised",
]

BOOTSTRAP_METRICS = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss", *RATES)
"""Names that `clustered_bootstrap` takes."""

_ROUNDING = 1e-12  # relative; sums of the same numbers in another order differ by less
_CELLS = 1 << 20  # floats per working array: stays in the cache, and bounds the memory
SMOOTH = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
"""Metrics that are smooth enough in the images for `studentised`."""


def _draws(
    patients: int, images: int, replicates: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield how often each patient is drawn, (some replicates, patients) at a time."""
    # Of very many images the scores are binned, and no array has a column for each.
    rows = max(1, _CELLS // max(patients, min(images, MANY), 1))
    for start in range(0, replicates, rows):
        count = min(rows, replicates - start)
        # Drawing indices replicate by replicate makes the stream independent of `rows`.
        drawn = rng.integers(0, patients, (count, patients))
        drawn += np.arange(count)[:, None] * patients
        tally = np.bincount(drawn.ravel(), minlength=count * patients)
        yield tally.reshape(count, patients).astype(np.float64)


def replicate(
    statistics: Sequence[Statistic],
    *,
    patients: int,
    images: int,
    replicates: int,
    rng: np.random.Generator,
) -> list[Floats]:
    """Compute every statistic on the same resampled patients.

    Returns
    -------
    One array (k, replicates) per statistic; NaN where a replicate leaves it undefined.
    """
    if replicates < 1 or patients < 1:
        raise MetricError(
            "the bootstrap needs one replicate and one patient at least",
            received=f"{replicates} replicates, {patients} patients",
        )
    parts: list[list[Floats]] = [[] for _ in statistics]
    for draws in _draws(patients, images, replicates, rng):
        for part, statistic in zip(parts, statistics, strict=True):
            part.append(statistic(draws))
    return [np.concatenate(part, axis=1) for part in parts]


def percentile(value: float, values: Floats, *, level: float = 0.95, unit: str) -> Interval:
    """Return the percentile interval of a value from its replicates (R,).

    Replicates that are undefined (NaN) are left out, and ``reason`` says how many; if they are
    more than half, there are no limits. Nor are there where the limits would coincide: that
    replicates do not differ shows what they cannot tell, not that the value is certain.
    """
    method = f"percentile bootstrap over {unit}, {len(values)} replicates, {100 * level:g} %"
    there = values[~np.isnan(values)]
    missing = len(values) - len(there)
    if 2 * missing > len(values):
        why = f"undefined in {missing} of {len(values)} replicates: too few images of a class"
        return Interval(value, math.nan, math.nan, method, why)
    # Nearest and not linear: between two infinite replicates there is nothing to interpolate.
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    reason = f"{missing} undefined replicates left out" if missing else None
    if _coincide(low, high):
        why = f"the replicates do not differ: too few {unit} to tell how far it would vary"
        return Interval(value, math.nan, math.nan, method, why)
    if math.isinf(high):
        reason = "the upper limit is unbounded"
    return Interval(value, float(low), float(high), method, reason)


def _coincide(low: float, high: float) -> bool:
    """Tell whether two numbers are one but for rounding; both may be infinite."""
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
    """Return the interval of a value from its replicates (R,), or by a formula where they fail.

    Parameters
    ----------
    name
        A name of `BOOTSTRAP_METRICS`.
    value, replicates
        On all images, and on the drawn ones.
    positive, called, groups
        (n,), as for `steady`.
    unit
        What was drawn: ``patients`` or ``images``.

    Returns
    -------
    The interval of `steady` where there are too few errors to draw from; of the metrics of
    `SMOOTH`, that of `studentised`; else that of `percentile`. It never has a width of zero: where
    nothing gives limits, there are none.
    """
    found = percentile(value, replicates, level=level, unit=unit)
    if name in SMOOTH and not math.isnan(found.low):
        people = _fewest_patients(name, positive, groups)
        smooth = studentised(name, value, replicates, people - 1, level=level, unit=unit)
        found = smooth or found
    there = replicates[~np.isnan(replicates)]
    same = math.isnan(found.low) and len(there) > 0 and _coincide(there.min(), there.max())
    return steady(name, value, positive, called, groups, level=level, same=same) or found


def _fewest_patients(name: str, positive: Bools, groups: Ints) -> int:
    """Return the number of patients of the rarer class, which bounds what a ranking knows."""
    sides = (positive, ~positive) if name in RANKINGS else (np.ones_like(positive),)
    return min(int(np.count_nonzero(np.bincount(groups[side]))) for side in sides)


def studentised(
    name: str, value: float, values: Floats, freedom: int, *, level: float = 0.95, unit: str
) -> Interval | None:
    """Return the interval from the spread of the replicates (R,) and Student's t.

    It is made on the logit scale (of the log loss, on the log scale), where the replicates of a
    bounded value lie evenly. With few patients percentiles are too narrow twice over: a bootstrap
    of n varies by (n - 1) / n less than it should, and nobody knows the spread exactly, which is
    what t is for. With many it is the percentile interval but for noise.

    Parameters
    ----------
    name
        A name of `SMOOTH`.
    freedom
        Degrees of freedom: patients of the rarer class less one.

    Returns
    -------
    None where it cannot be made: at the ends of the scale, or with less than one degree of
    freedom.

    References
    ----------
    B. Efron & R. J. Tibshirani, An Introduction to the Bootstrap, 1993, sections 12.5 and 13.3.
    """
    from scipy.special import stdtrit

    there = values[np.isfinite(values)]
    bounded = name != "log_loss"
    if freedom < 1 or there.size < 2 or not value > 0 or (bounded and not value < 1):
        return None
    half = float(stdtrit(freedom, (1 + level) / 2)) * float(there.std(ddof=1))
    method = (
        f"bootstrap over {unit}, {len(values)} replicates, t on the "
        f"{'logit' if bounded else 'log'} scale, {100 * level:g} %"
    )
    missing = len(values) - len(there)
    reason = f"{missing} undefined replicates left out" if missing else None
    if not bounded:
        reach = math.exp(min(half / value, 700.0))
        return Interval(value, value / reach, value * reach, method, reason)
    middle, reach = math.log(value / (1 - value)), half / (value * (1 - value))
    low, high = (0.5 * (1 + math.tanh((middle + side * reach) / 2)) for side in (-1, 1))
    return Interval(value, low, high, method, reason)


def clustered_bootstrap(
    metric: str,
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray[np.str_] | None,
    *,
    threshold: float | None = None,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return a metric with its percentile interval over resampled patients.

    Parameters
    ----------
    metric
        A name of `BOOTSTRAP_METRICS`.
    labels
        (n,) of 1, 0 or NaN; NaN is left out, its patient stays in the draw.
    scores
        (n,); probabilities for ``brier`` and ``log_loss``.
    patients
        (n,) keys, or None for one patient per image.
    threshold
        Score from which an image is called positive; needed for the metrics of `RATES`.
    replicates, level
        Number of resamples, and confidence.
    seed
        A seed or a generator.

    Returns
    -------
    The interval. Where every replicate would be the same (no errors at all) or a proportion has
    few patients on a side, the interval is `steady`'s, and its ``reason`` says so.

    Raises
    ------
    MetricError
        If an input is out of range, or the name is not known.

    References
    ----------
    C. A. Field & A. H. Welsh, J. R. Stat. Soc. B 69 (2007) 369-390, on resampling clusters.
    """
    if metric not in BOOTSTRAP_METRICS:
        raise MetricError(
            "there is no such metric",
            received=metric,
            remedy="one of " + ", ".join(BOOTSTRAP_METRICS),
        )
    if metric in RATES and threshold is None:
        raise MetricError(f"{metric} needs a threshold")
    positive, values, _ = known(labels, scores, probabilities=metric in ("brier", "log_loss"))
    everyone, count = group_index(patients, np.shape(labels)[0])
    unit = "images" if patients is None else "patients"
    patient_of = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    groups, count = pool(patient_of, count)
    if count == BLOCKS:
        unit += f" in {BLOCKS} blocks"
    called = values >= (math.inf if threshold is None else threshold)
    why = why_undefined(metric, confusion(positive, called))
    if why is not None:
        return undefined("percentile bootstrap", why)
    statistic, row = metric_statistic(metric, positive, values, called, groups, count)
    value = float(statistic(np.ones((1, count)))[row, 0])
    [drawn] = replicate(
        [statistic],
        patients=count,
        images=len(values),
        replicates=replicates,
        rng=np.random.default_rng(seed),
    )
    return bootstrap_interval(
        metric,
        value,
        drawn[row],
        positive=positive,
        called=called,
        groups=patient_of,
        unit=unit,
        level=level,
    )

"""Intervals from resampling patients, all replicates at once.

Images of one patient are alike, so an interval that counts them as independent is too narrow.
Here whole patients are drawn with replacement: a replicate is a number of draws per patient, and
every statistic is computed from those numbers used as weights, for many replicates in one array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thorax.errors import MetricError
from thorax.metrics._inputs import Bools, Floats, Ints, group_index, known
from thorax.metrics.blocks import BLOCKS, MANY, pool
from thorax.metrics.calibration import log_losses
from thorax.metrics.few import steady
from thorax.metrics.intervals import Interval, undefined
from thorax.metrics.partial import standardised
from thorax.metrics.scores import RATES, confusion, rates, why_undefined

__all__ = [
    "BOOTSTRAP_METRICS",
    "SMOOTH",
    "Statistic",
    "bootstrap_interval",
    "clustered_bootstrap",
    "metric_statistic",
    "percentile",
    "ranking_statistic",
    "rates_statistic",
    "replicate",
    "studentised",
    "totals_statistic",
]

Statistic: TypeAlias = Callable[[Floats], Floats]
"""From draws (replicates, patients) to values (k, replicates)."""

BOOTSTRAP_METRICS = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss", *RATES)
"""Names that `clustered_bootstrap` takes."""

_ROUNDING = 1e-12  # relative; sums of the same numbers in another order differ by less
_CELLS = 1 << 20  # floats per working array: stays in the cache, and bounds the memory
_SCORE_BINS = 2048
SMOOTH = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
"""Metrics that are smooth enough in the images for `studentised`."""
_RANKINGS = ("auroc", "average_precision", "partial_auroc")


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


def ranking_statistic(
    positive: Bools, scores: Floats, groups: Ints, patients: int, *, max_fpr: float = 0.1
) -> Statistic:
    """Return the statistic (AUROC, average precision, partial AUROC).

    One sort, then cumulative sums of the drawn weights. Of very many images (`MANY`) the scores
    are counted in bins, patient by patient, which shows the same spread; the values are then moved
    by what the bins change on the images as they are.

    Parameters
    ----------
    positive, scores, groups
        (n,): truth, score and patient of each image of known label.
    patients
        Number of patients.
    max_fpr
        The partial AUROC goes over false positive rates of 0 to this, on McClish's scale.
    """
    weights = _score_weights(positive, scores, groups)
    if len(scores) <= MANY:
        return lambda draws: _areas(*weights(draws), max_fpr)
    ones = np.ones((1, patients))
    binned = _binned_weights(positive, scores, groups, patients)
    gap = _areas(*weights(ones), max_fpr) - _areas(*binned(ones), max_fpr)
    return lambda draws: _areas(*binned(draws), max_fpr) + gap


_Weights: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]


def _score_weights(positive: Bools, scores: Floats, groups: Ints) -> _Weights:
    """Return what gives the drawn weight of positives and negatives (R, distinct scores)."""
    order = np.argsort(-scores, kind="stable")
    columns, up = groups[order], positive[order].astype(np.float64)
    change = np.diff(scores[order]) != 0
    starts = np.flatnonzero(np.r_[True, change]) if change.size else np.arange(len(order))
    tied = len(starts) < len(order)

    def weights(draws: Floats) -> tuple[Floats, Floats]:
        weight = np.take(draws, columns, axis=1)
        plus = weight * up
        minus = weight - plus
        if tied:
            plus = np.add.reduceat(plus, starts, axis=1)
            minus = np.add.reduceat(minus, starts, axis=1)
        return plus, minus

    return weights


def _binned_weights(positive: Bools, scores: Floats, groups: Ints, patients: int) -> _Weights:
    """Return the same with the scores in bins of about equal count, the highest first."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, _SCORE_BINS + 1)[1:-1]))
    index = len(edges) - np.searchsorted(edges, scores, side="right")
    size = len(edges) + 1
    tables = []
    for side in (positive, ~positive):
        flat = np.bincount(groups[side] * size + index[side], minlength=patients * size)
        tables.append(flat.reshape(patients, size).astype(np.float32))

    def weights(draws: Floats) -> tuple[Floats, Floats]:
        # Whole numbers far below 2**24: single precision counts them exactly.
        plus, minus = ((draws.astype(np.float32) @ table).astype(np.float64) for table in tables)
        return plus, minus

    return weights


def _areas(plus: Floats, minus: Floats, max_fpr: float) -> Floats:
    """Return AUROC, average precision and partial AUROC (3, R) of drawn weights (R, k)."""
    if not plus.shape[1]:
        return np.full((3, len(plus)), np.nan)
    area, fps, negatives = _area(plus, minus)
    tps = np.cumsum(plus, axis=1)
    positives = tps[:, -1]
    called = tps + fps
    precision = np.divide(tps, called, out=np.zeros_like(called), where=called > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_mean = np.einsum("rn,rn->r", plus, precision) / positives
        # Each step's piece of the area left of max_fpr: a trapezium, cut off where it crosses.
        limit = max_fpr * negatives[:, None]
        inside = np.clip(limit - (fps - minus), 0, minus)
        share = np.divide(inside, minus, out=np.zeros_like(minus), where=minus > 0)
        part = np.einsum("rn,rn->r", inside, tps - plus + plus * share / 2)
        partial = standardised(part / (positives * negatives), max_fpr)
    return np.stack([area, precision_mean, partial])


def _area(plus: Floats, minus: Floats) -> tuple[Floats, Floats, Floats]:
    """Return AUROC (R,), the running weight of negatives (R, k) and their sum (R,)."""
    fps = np.cumsum(minus, axis=1)
    negatives, positives = fps[:, -1], plus.sum(axis=1)
    above = np.einsum("rn,rn->r", plus, fps) - np.einsum("rn,rn->r", plus, minus) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = 1 - above / (positives * negatives)
    return area, fps, negatives


def totals_statistic(values: Floats, groups: Ints, patients: int) -> Statistic:
    """Return the statistic that sums columns of ``values`` (n, k) over the drawn images."""
    columns = [np.bincount(groups, weights=column, minlength=patients) for column in values.T]
    summed = np.stack(columns, axis=1)

    def statistic(draws: Floats) -> Floats:
        total: Floats = (draws @ summed).T
        return total

    return statistic


def rates_statistic(positive: Bools, called: Bools, groups: Ints, patients: int) -> Statistic:
    """Return the statistic of all `RATES` of the calls (n,)."""
    cells = (positive & called, ~positive & called, ~positive & ~called, positive & ~called)
    counts = totals_statistic(np.stack(cells, axis=1).astype(np.float64), groups, patients)
    return lambda draws: rates(*counts(draws))


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
    sides = (positive, ~positive) if name in _RANKINGS else (np.ones_like(positive),)
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
            todo="one of " + ", ".join(BOOTSTRAP_METRICS),
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


def metric_statistic(
    metric: str, positive: Bools, values: Floats, called: Bools, groups: Ints, patients: int
) -> tuple[Statistic, int]:
    """Return a statistic, and which of its rows is the metric, a name of `BOOTSTRAP_METRICS`."""
    if metric == "auroc" and 0 < len(values) <= MANY:
        # By itself it takes a third of the time of all three.
        weights = _score_weights(positive, values, groups)
        return lambda draws: _area(*weights(draws))[0][None], 0
    if metric in _RANKINGS:
        return ranking_statistic(positive, values, groups, patients), _RANKINGS.index(metric)
    if metric in RATES:
        return rates_statistic(positive, called, groups, patients), RATES.index(metric)
    losses = (values - positive) ** 2 if metric == "brier" else log_losses(positive, values)
    sums = totals_statistic(np.stack([losses, np.ones_like(losses)], axis=1), groups, patients)

    def mean(draws: Floats) -> Floats:
        total, n = sums(draws)
        with np.errstate(invalid="ignore"):
            ratio: Floats = (total / n)[None]
        return ratio

    return mean, 0

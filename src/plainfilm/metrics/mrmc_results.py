"""Contains the results of multi-reader multi-case comparisons, and the parts they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats
from plainfilm.metrics.intervals import Interval

Readers = Literal["random", "fixed"]


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Estimates of the model of Obuchowski and Rockette; they can be negative.

    Attributes
    ----------
    reader, modality_reader
        Variances of the readers, and of readers within modalities; NaN where not estimated.
    error
        Variance of a reader's metric over cases.
    cov1, cov2, cov3
        Covariances over cases: same reader, other modality; other reader, same modality; both
        other. NaN with one modality or one reader.
    """

    reader: float
    modality_reader: float
    error: float
    cov1: float
    cov2: float
    cov3: float


@dataclass(frozen=True, slots=True)
class MrmcDifference:
    """A difference of two means over readers.

    Attributes
    ----------
    first, second
        Numbers of the modalities; the difference is second minus first.
    difference
        Difference with its interval, limited to -1 to 1.
    p, standard_error, freedom
        Two-sided p-value, standard error, degrees of freedom (infinite for fixed readers).
    """

    first: int
    second: int
    difference: Interval
    p: float
    standard_error: float
    freedom: float


@dataclass(frozen=True, slots=True)
class MrmcTest:
    """The comparison of two or more modalities read by the same readers.

    Attributes
    ----------
    means
        Mean over readers of each modality, with an interval from its own data.
    differences
        Each pair of modalities.
    statistic, freedom
        F and its two degrees of freedom; for fixed readers the chi-square statistic, with infinite
        second degrees of freedom.
    p
        P-value of equality of all modalities.
    components
        Estimates of the model.
    method
        Name of the test, in words for a report.
    """

    means: tuple[Interval, ...]
    differences: tuple[MrmcDifference, ...]
    statistic: float
    freedom: tuple[float, float]
    p: float
    components: VarianceComponents
    method: str


def check_table(values: ArrayLike, covariance: ArrayLike, modalities: int) -> tuple[Floats, Floats]:
    """Return the arrays, after checking that there are readers and modalities enough."""
    table = np.asarray(values, np.float64)
    matrix = np.asarray(covariance, np.float64)
    if table.ndim != 2 or len(table) < modalities or table.shape[1] < 2:
        raise MetricError(
            f"the comparison needs two readers{' and two modalities' * (modalities > 1)}",
            received=f"shape {table.shape}",
        )
    if matrix.shape != (table.size, table.size):
        raise MetricError(
            "the covariance needs a row and a column for each value",
            received=f"{matrix.shape} for {table.size} values",
        )
    if not (np.isfinite(table).all() and np.isfinite(matrix).all()):
        raise MetricError(
            "the comparison needs a value and a variance of each reader",
            remedy="leave out readers who read fewer than two patients of a class",
        )
    return table, matrix


def pooled(matrix: Floats, t: int, r: int) -> tuple[float, float, float, float]:
    """Return the means of the variances, and of the covariances of the three kinds."""
    modality, reader = np.repeat(np.arange(t), r), np.tile(np.arange(r), t)
    same, own = (key[:, None] == key for key in (modality, reader))
    kinds = (same & own, ~same & own, same & ~own, ~same & ~own)
    error, cov1, cov2, cov3 = (
        float(matrix[kind].mean()) if kind.any() else math.nan for kind in kinds
    )
    return error, cov1, cov2, cov3


def median_factor(freedom: int) -> float:
    """Return the factor that makes the median of a mean square equal to its expectation."""
    from scipy.special import chdtri

    return freedom / float(chdtri(freedom, 0.5))


def single_modality(
    values: Floats, matrix: Floats, readers: Readers, median_unbiased: bool
) -> tuple[float, float, float]:
    """Return the mean of one modality, its standard error and its degrees of freedom."""
    r = len(values)
    error, _, cov2, _ = pooled(matrix, 1, r)
    shared = max(cov2, 0.0)
    if readers == "fixed":
        return float(values.mean()), math.sqrt((error + (r - 1) * shared) / r), math.inf
    spread = float(values.var(ddof=1)) * (median_factor(r - 1) if median_unbiased else 1)
    scale = spread + r * shared
    freedom = (r - 1) * (scale / spread) ** 2 if spread > 0 else math.inf
    return float(values.mean()), math.sqrt(scale / r), freedom


def difference_of_means(
    first: int, second: int, value: float, error: float, freedom: float, method: str, level: float
) -> MrmcDifference:
    """Return the test of a difference from its standard error."""
    method = f"{method}, {100 * level:g} %"
    interval = t_limits(value, error, freedom, -1.0, method, level)
    statistic = (value / error) ** 2 if error > 0 else math.nan
    p = upper_tail(statistic, 1, freedom)
    return MrmcDifference(first, second, interval, p, error, freedom)


def t_limits(
    value: float, error: float, freedom: float, lowest: float, method: str, level: float
) -> Interval:
    """Return the interval from a standard error; there are no limits without a variance."""
    from scipy.special import ndtri, stdtrit

    if not error > 0:
        return Interval(value, math.nan, math.nan, method, "the readers' results do not vary")
    tail = (1 + level) / 2
    reach = error * float(stdtrit(freedom, tail) if math.isfinite(freedom) else ndtri(tail))
    return Interval(value, max(lowest, value - reach), min(1.0, value + reach), method)


def upper_tail(statistic: float, numerator: float, denominator: float) -> float:
    """Return the probability of a larger F, or of a larger chi-square for infinite freedom."""
    from scipy.special import chdtrc, fdtrc

    if math.isnan(statistic):
        return math.nan
    if math.isinf(denominator):
        return float(chdtrc(numerator, statistic))
    return float(fdtrc(numerator, denominator, statistic))

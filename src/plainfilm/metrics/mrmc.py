"""Compares modalities, or a model with readers, over several readers and cases (MRMC).

The model is that of Obuchowski and Rockette with the degrees of freedom of Hillis. It starts from
a metric of each reader and its covariance over cases, see `reader_covariance`; patients of several
images enter through that covariance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics.intervals import Interval
from plainfilm.metrics.mrmc_results import (
    MrmcDifference,
    MrmcTest,
    Readers,
    VarianceComponents,
    check_table,
    difference_of_means,
    median_factor,
    pooled,
    single_modality,
    t_limits,
    upper_tail,
)


def compare_modalities(
    values: ArrayLike,
    covariance: ArrayLike,
    *,
    readers: Readers = "random",
    median_unbiased: bool = False,
    level: float = 0.95,
) -> MrmcTest:
    """Compare modalities that the same readers used on the same cases.

    Parameters
    ----------
    values
        Metric (t, r) of t modalities and r readers, two or more of each.
    covariance
        Covariance over cases (t * r, t * r), modality by modality.
    readers
        Whether the result applies to the population of readers (``random``) or to these readers
        only (``fixed``).
    median_unbiased
        Whether the mean square of random readers is multiplied so that its median is unbiased. The
        published method, the default, is too narrow with few readers, because their mean square is
        too small in most studies. The factor is 1.44 for three readers and 1.08 for ten.
    level
        Confidence level.

    References
    ----------
    N. A. Obuchowski & H. E. Rockette, Communications in Statistics: Simulation 24 (1995) 285-308;
    S. L. Hillis, Stat. Med. 26 (2007) 596-619; S. L. Hillis, K. S. Berbaum & C. E. Metz, Acad.
    Radiol. 15 (2008) 647-661.

    See Also
    --------
    reader_covariance : Computes both arrays from ratings.
    compare_with_model : Compares readers with one standalone model.
    """
    table, matrix = check_table(values, covariance, 2)
    t, r = table.shape
    means = table.mean(axis=1)
    freedom = (t - 1) * (r - 1)
    ms_modality = r * float(means.var(ddof=1))
    rest = table - means[:, None] - table.mean(axis=0) + table.mean()
    ms_both = float((rest**2).sum()) / freedom
    ms_reader = t * float(table.mean(axis=0).var(ddof=1))
    error, cov1, cov2, cov3 = pooled(matrix, t, r)
    shared = max(cov2 - cov3, 0.0)
    components = VarianceComponents(
        (ms_reader - ms_both) / t - cov1 + cov3, ms_both - error + cov1 + cov2 - cov3,
        error, cov1, cov2, cov3,
    )  # fmt: skip
    if readers == "random":
        square = ms_both * (median_factor(freedom) if median_unbiased else 1)
        scale = square + r * shared
        limit = freedom * (scale / square) ** 2 if square > 0 else math.inf
        statistic, method = ms_modality / scale if scale > 0 else math.nan, "random readers"
    else:
        scale, limit = max(error - cov1 + (r - 1) * shared, 0.0), math.inf
        statistic = (t - 1) * ms_modality / scale if scale > 0 else math.nan
        method = "fixed readers"
    method = f"Obuchowski-Rockette, {method} and random cases"
    if readers == "random":
        method += ", degrees of freedom of Hillis"
        method += ", median-unbiased" * median_unbiased
    standard_error = math.sqrt(2 / r * scale)
    # Without variance of random readers, F is a chi-square over its degrees of freedom.
    share = t - 1 if readers == "random" and math.isinf(limit) else 1
    return MrmcTest(
        means=tuple(
            reader_mean(table[i], matrix[i * r : (i + 1) * r, i * r : (i + 1) * r],
                        readers=readers, median_unbiased=median_unbiased, level=level)
            for i in range(t)
        ),
        differences=tuple(
            difference_of_means(
                i, j, float(means[j] - means[i]), standard_error, limit, method, level
            )
            for i in range(t) for j in range(i + 1, t)
        ),
        statistic=statistic,
        freedom=(t - 1.0, limit),
        p=upper_tail(statistic * share, t - 1, limit),
        components=components,
        method=method,
    )  # fmt: skip


def reader_mean(
    values: ArrayLike,
    covariance: ArrayLike,
    *,
    readers: Readers = "random",
    median_unbiased: bool = False,
    level: float = 0.95,
) -> Interval:
    """Return the mean metric of readers of the same cases, with an interval.

    Parameters
    ----------
    values, covariance
        Metric (r,) of two or more readers, and its covariance over cases (r, r).
    readers, median_unbiased, level
        See `compare_modalities`.
    """
    table, matrix = check_table(np.atleast_2d(np.asarray(values, np.float64)), covariance, 1)
    mean, error, freedom = single_modality(table[0], matrix, readers, median_unbiased)
    method = f"Obuchowski-Rockette over {table.shape[1]} {readers} readers, {100 * level:g} %"
    return t_limits(mean, error, freedom, 0.0, method, level)


def compare_with_model(
    values: ArrayLike,
    model: ArrayLike,
    covariance: ArrayLike,
    *,
    readers: Readers = "random",
    median_unbiased: bool = False,
    level: float = 0.95,
) -> MrmcDifference:
    """Compare a standalone model with the mean of readers of the same cases.

    Parameters
    ----------
    values
        Metric (r,) of two or more readers.
    model
        Metric of the model; or (r,), on the cases of each reader, where readers did not read all.
    covariance
        Covariance over cases of the values and those of the model: (r + 1, r + 1) or (2 r, 2 r).
    readers, median_unbiased, level
        See `compare_modalities`.

    Returns
    -------
    MrmcDifference
        ``first`` is 0, the readers, ``second`` is 1, the model: the model minus the readers' mean.

    References
    ----------
    S. L. Hillis, Stat. Med. 26 (2007) 596-619, section 5.3; D. P. Chakraborty, Observer Performance
    Methods for Diagnostic Imaging, 2017, chapter 22.
    """
    theta = np.asarray(values, np.float64).reshape(-1)
    own = np.asarray(model, np.float64).reshape(-1)
    whole = np.asarray(covariance, np.float64)
    r = theta.size
    if own.size not in (1, r) or whole.shape != (r + own.size, r + own.size):
        raise MetricError(
            "the covariance must include the readers and the model",
            received=f"{r} readers, {own.size} values of the model, shape {whole.shape}",
        )
    contrast = np.hstack([-np.eye(r), np.ones((r, 1)) if own.size == 1 else np.eye(r)])
    table, matrix = check_table((own - theta)[None], contrast @ whole @ contrast.T, 1)
    mean, error, freedom = single_modality(table[0], matrix, readers, median_unbiased)
    method = f"model less the mean of {r} {readers} readers, Obuchowski-Rockette"
    return difference_of_means(0, 1, mean, error, freedom, method, level)

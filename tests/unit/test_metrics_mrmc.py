"""Multi-reader multi-case comparisons, against published results of other programs.

The readers' AUROCs and the variance components are those that OR-DBM MRMC 2.5 and the manual of
MRMCaov print for the studies of Van Dyke (1993) and Franken (1992); the ratings are not needed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from plainfilm.errors import MetricError
from plainfilm.metrics import (
    clustered_delong,
    compare_modalities,
    compare_with_model,
    delong_covariance,
    delong_test,
    reader_covariance,
    reader_mean,
)

VAN_DYKE = [
    [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066],
    [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169],
]
FRANKEN = [
    [0.85345997, 0.86499322, 0.85730439, 0.81524197],
    [0.84961556, 0.84350972, 0.84011759, 0.81433740],
]


def covariance(
    error: tuple[float, float], cov1: float, cov2: tuple[float, float], cov3: float, readers: int
) -> NDArray[np.float64]:
    """Build the covariance of two modalities with these components."""
    ones, one = np.ones((readers, readers)), np.eye(readers)
    across = cov3 * ones + (cov1 - cov3) * one
    first, second = (c * ones + (e - c) * one for e, c in zip(error, cov2, strict=True))
    return np.block([[first, across], [across, second]])


JACKKNIFE = covariance(
    (0.0010141028, 0.0005904738), 0.0003466137, (0.0004839618, 0.0002041879), 0.0002390284, 5
)
DELONG = covariance(
    (0.0007921325,) * 2, 0.0003420090, (0.0004775239, 0.0002015292), 0.0002358497, 5
)


@pytest.mark.parametrize(
    ("components", "statistic", "freedom", "p", "error", "limits"),
    [
        (JACKKNIFE, 4.45632, 15.2597, 0.05166, 0.02074862, (-0.000359, 0.087959)),
        (DELONG, 4.484854, 15.06611, 0.05123303, 0.0206825, (-0.0002665519, 0.0878671960)),
    ],
)
def test_van_dyke_with_random_readers(
    components: NDArray[np.float64],
    statistic: float,
    freedom: float,
    p: float,
    error: float,
    limits: tuple[float, float],
) -> None:
    found = compare_modalities(VAN_DYKE, components)
    [pair] = found.differences
    assert found.statistic == pytest.approx(statistic, abs=2e-5)
    assert found.freedom == pytest.approx((1, freedom), abs=1e-4)
    assert (found.p, pair.p) == pytest.approx((p, p), abs=1e-5)
    assert pair.difference.value == pytest.approx(0.04380032, abs=1e-8)
    assert pair.standard_error == pytest.approx(error, abs=1e-7)
    assert (pair.difference.low, pair.difference.high) == pytest.approx(limits, abs=1e-6)


def test_van_dyke_variance_components_and_single_modalities() -> None:
    found = compare_modalities(VAN_DYKE, JACKKNIFE)
    parts = found.components
    assert (parts.reader, parts.modality_reader) == pytest.approx(
        (0.0015349993, 0.0002004025), abs=2e-9
    )
    assert (parts.error, parts.cov1, parts.cov2, parts.cov3) == pytest.approx(
        (0.0008022883, 0.0003466137, 0.0003440748, 0.0002390284), abs=2e-10
    )
    limits = [(mean.value, mean.low, mean.high) for mean in found.means]
    assert limits[0] == pytest.approx((0.89703704, 0.82522360, 0.96885048), abs=2e-8)
    assert limits[1] == pytest.approx((0.94083736, 0.89413783, 0.98753689), abs=2e-8)


def test_van_dyke_with_fixed_readers() -> None:
    found = compare_modalities(VAN_DYKE, JACKKNIFE, readers="fixed")
    [pair] = found.differences
    assert found.statistic == pytest.approx(5.475953, abs=2e-6)
    assert found.p == pytest.approx(0.01927984, abs=1e-8)
    assert pair.standard_error == pytest.approx(0.01871748, abs=1e-8)
    assert (pair.difference.low, pair.difference.high) == pytest.approx(
        (0.00711473, 0.08048591), abs=2e-8
    )
    limits = [(mean.low, mean.high) for mean in found.means]
    assert limits[0] == pytest.approx((0.84943008, 0.94464399), abs=2e-8)
    assert limits[1] == pytest.approx((0.90795637, 0.97371835), abs=2e-8)


def test_franken_where_readers_do_not_vary_more_than_cases() -> None:
    components = covariance(
        (0.00152278, 0.00152877), 0.00079168, (0.00047230, 0.00049498), 0.00051251, 4
    )
    found = compare_modalities(FRANKEN, components)
    [pair] = found.differences
    assert (found.statistic, found.p) == pytest.approx((4.69, 0.1188), abs=5e-3)
    assert pair.freedom == pytest.approx(3.0, abs=0.005)
    assert (pair.difference.low, pair.difference.high) == pytest.approx(
        (-0.02680, 0.00509), abs=6e-6
    )
    assert found.components.modality_reader == pytest.approx(-0.00071276, abs=2e-8)
    assert [(mean.low, mean.high) for mean in found.means] == [
        pytest.approx((0.79908282, 0.89641696), abs=2e-7),
        pytest.approx((0.79048429, 0.88330585), abs=2e-7),
    ]
    fixed = compare_modalities(FRANKEN, components, readers="fixed")
    assert (fixed.statistic, fixed.p) == pytest.approx((0.32101, 0.5710), abs=6e-5)


def study(seed: int, readers: int, patients: int, each: int) -> tuple[NDArray[np.float64], ...]:
    rng = np.random.default_rng(seed)
    own = np.repeat(rng.normal(size=patients), each)
    labels = (own + rng.normal(size=own.size) > 0.4).astype(float)
    signal = 1.3 * labels + own
    ratings = np.round(signal + rng.normal(size=(readers, own.size)), 1)
    return labels, ratings, np.repeat(np.arange(patients), each).astype(str)


def test_delong_covariance_of_readers_is_that_of_the_other_functions() -> None:
    labels, ratings, patients = study(0, 4, 50, 1)
    values, matrix = reader_covariance("auroc", labels, ratings)
    areas, expected = delong_covariance(labels, ratings)
    assert values == pytest.approx(areas, abs=1e-12)
    assert matrix == pytest.approx(expected, abs=1e-12)
    labels, ratings, patients = study(1, 2, 40, 3)
    values, matrix = reader_covariance("auroc", labels, ratings, patients)
    test = delong_test(labels, *ratings, patients)
    contrast = np.array([-1.0, 1.0])
    assert math.sqrt(contrast @ matrix @ contrast) == pytest.approx(test.standard_error, abs=1e-12)
    assert clustered_delong(labels, ratings[0], patients).value == pytest.approx(values[0])


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_jackknife_leaves_out_each_patient(each: int, missing: float) -> None:
    labels, ratings, patients = study(2, 3, 24, each)
    ratings[np.random.default_rng(5).random(ratings.shape) < missing] = math.nan
    values, matrix = reader_covariance("auroc", labels, ratings, patients, method="jackknife")

    def areas(keep: NDArray[np.bool_]) -> list[float]:
        rows = [keep & ~np.isnan(row) for row in ratings]
        return [
            float(roc_auc_score(labels[where], row[where]))
            for row, where in zip(ratings, rows, strict=True)
        ]

    keys = np.unique(patients)
    left = np.array([areas(patients != key) for key in keys]).T
    apart = left - left.mean(axis=1, keepdims=True)
    assert values == pytest.approx(areas(np.ones_like(patients, bool)), abs=1e-12)
    assert matrix == pytest.approx(apart @ apart.T * (len(keys) - 1) / len(keys), abs=1e-12)


@pytest.mark.parametrize("metric", ["sensitivity", "specificity"])
@pytest.mark.parametrize("each", [1, 3])
def test_both_methods_agree_on_calls(metric: str, each: int) -> None:
    labels, ratings, patients = study(3, 3, 300, each)
    calls = (ratings > 0.8).astype(float)
    calls[np.random.default_rng(6).random(calls.shape) < 0.1] = math.nan
    labels[:5] = math.nan
    values, matrix = reader_covariance(metric, labels, calls, patients)
    again, other = reader_covariance(
        metric,
        labels,
        calls,
        patients,
        method="jackknife",
    )
    sign = 1 if metric == "sensitivity" else 0
    used = labels == sign
    shares = [float(np.mean((row == sign)[used & ~np.isnan(row)])) for row in calls]
    assert values == pytest.approx(shares)
    assert again == pytest.approx(values)
    assert other == pytest.approx(matrix, rel=0.05, abs=2e-5)


def test_model_and_readers_as_two_modalities_give_the_same_test() -> None:
    # With the model's result copied for every reader, the two-modality test is the same (Hillis
    # 2007; Kooi et al. 2016 compare a network with readers in this way).
    labels, ratings, patients = study(4, 5, 60, 2)
    values, matrix = reader_covariance("auroc", labels, ratings, patients)
    found = compare_with_model(values[:4], values[4], matrix)
    twice = np.vstack([ratings[:4], np.repeat(ratings[4:], 4, axis=0)])
    both, covariances = reader_covariance("auroc", labels, twice, patients)
    [pair] = compare_modalities(both.reshape(2, 4), covariances).differences
    assert found.difference.value == pytest.approx(pair.difference.value)
    assert found.standard_error == pytest.approx(pair.standard_error, rel=1e-9)
    assert found.freedom == pytest.approx(pair.freedom, rel=1e-9)
    assert found.p == pytest.approx(pair.p, rel=1e-9)


def test_single_modality_is_the_formula_of_hillis() -> None:
    values = np.array([0.8, 0.85, 0.9])
    matrix = np.full((3, 3), 0.0004) + np.eye(3) * 0.0006
    scale = values.var(ddof=1) + 3 * 0.0004
    freedom = 2 * (scale / values.var(ddof=1)) ** 2
    half = stats.t.ppf(0.975, freedom) * math.sqrt(scale / 3)
    found = reader_mean(values, matrix)
    assert (found.low, found.high) == pytest.approx((0.85 - half, 0.85 + half))
    fixed = reader_mean(values, matrix, readers="fixed")
    half = stats.norm.ppf(0.975) * math.sqrt((0.001 + 2 * 0.0004) / 3)
    assert (fixed.low, fixed.high) == pytest.approx((0.85 - half, 0.85 + half))


def test_a_median_unbiased_mean_square_widens_intervals_of_few_readers() -> None:
    rng = np.random.default_rng(0)
    for freedom in (1, 2, 9):
        factor = freedom / stats.chi2.median(freedom)
        squares = rng.chisquare(freedom, 40_000) / freedom
        assert np.mean(factor * squares > 1) == pytest.approx(0.5, abs=0.01)
    values = np.array([0.8, 0.85, 0.9])
    matrix = np.full((3, 3), 0.0004) + np.eye(3) * 0.0006
    square = values.var(ddof=1) * 2 / stats.chi2.median(2)
    scale = square + 3 * 0.0004
    half = stats.t.ppf(0.975, 2 * (scale / square) ** 2) * math.sqrt(scale / 3)
    found = reader_mean(values, matrix, median_unbiased=True)
    assert (found.low, found.high) == pytest.approx((0.85 - half, 0.85 + half))
    plain, wide = (
        compare_modalities(VAN_DYKE, JACKKNIFE, median_unbiased=own) for own in (False, True)
    )
    assert wide.p > plain.p
    assert wide.differences[0].difference.low < plain.differences[0].difference.low
    both = np.block(
        [[matrix, np.full((3, 1), 0.0003)], [np.full((1, 3), 0.0003), np.full((1, 1), 0.001)]]
    )
    tests = [compare_with_model(values, 0.9, both, median_unbiased=own) for own in (False, True)]
    assert tests[0].p < tests[1].p


def test_errors_name_what_is_missing() -> None:
    with pytest.raises(MetricError, match="two readers and two modalities"):
        compare_modalities([[0.8, 0.9]], np.eye(2))
    with pytest.raises(MetricError, match="two readers"):
        reader_mean([0.8], np.eye(1))
    with pytest.raises(MetricError, match="a value and a variance"):
        reader_mean([0.8, math.nan], np.eye(2))
    with pytest.raises(MetricError, match="calls of 1 or 0"):
        reader_covariance("sensitivity", [1, 0], [[0.5, 1.0]])
    with pytest.raises(MetricError, match="a row per reader"):
        reader_covariance("auroc", [1, 0], [[1.0, 2.0, 3.0]])

"""Intervals of cross-validated results, against DeLong, SciPy, scikit-learn and a resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from plainfilm.errors import MetricError
from plainfilm.metrics import (
    Interval,
    clustered_delong,
    corrected_difference,
    delong,
    mean_fold_auroc,
    roc_auc_score,
)

Floats = NDArray[np.float64]


def _draw(seed: int, patients: int = 80) -> tuple[Floats, Floats, NDArray[np.intp], list[str]]:
    """Return labels, scores, folds and patients of several images each."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    labels = (rng.random(patients) < 0.4)[of] ^ (rng.random(len(of)) < 0.1)
    noise = rng.normal(size=patients)[of] + rng.normal(size=len(of))
    return labels.astype(float), 1.5 * labels + noise, of % 4, [f"p{one}" for one in of]


def _span(interval: Interval) -> float:
    """Return the width of an interval on the logit scale."""
    return float(stats.logistic.ppf(interval.high) - stats.logistic.ppf(interval.low))


def test_one_fold_is_the_interval_of_delong() -> None:
    labels, scores, _, _ = _draw(0)
    whole = np.zeros(len(labels))
    found, expected = mean_fold_auroc(labels, scores, whole), delong(labels, scores)
    assert found.value == pytest.approx(expected.value, abs=1e-12)
    # DeLong uses the normal distribution, the mean of folds Student's t.
    freedom = min(labels.sum(), (1 - labels).sum()) - 1
    widths = [_span(one) for one in (found, expected)]
    ratio = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    assert widths[0] / widths[1] == pytest.approx(ratio, rel=1e-9)


def test_the_variance_is_the_mean_of_independent_folds() -> None:
    labels, scores, folds, patients = _draw(1)
    keys = np.array(patients)
    areas, variances, freedom = [], [], 0
    for fold in range(4):
        rows = folds == fold
        one = clustered_delong(labels[rows], scores[rows], keys[rows])
        areas.append(roc_auc_score(labels[rows], scores[rows]))
        span = _span(one)
        half = span / 2 * one.value * (1 - one.value)
        variances.append((half / stats.norm.ppf(0.975)) ** 2)
        sides = [len(set(keys[rows & (labels == side)])) for side in (0, 1)]
        freedom += min(sides) - 1
    found = mean_fold_auroc(labels, scores, folds, patients)
    value = float(np.mean(areas))
    assert found.value == pytest.approx(value, abs=1e-12)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances)) / 4 / (value * (1 - value))
    # The factors for small numbers of patients with both classes differ a little.
    assert stats.logistic.ppf(found.high) - stats.logistic.ppf(value) == pytest.approx(
        half, rel=0.02
    )
    assert "4 folds" in found.method and found.reason is None


def test_the_standard_error_is_that_of_resampled_patients_also_over_labels() -> None:
    labels, scores, folds, patients = _draw(2, patients=200)
    rng = np.random.default_rng(0)
    several = np.column_stack([labels, np.where(rng.random(len(labels)) < 0.2, np.nan, 1 - labels)])
    twice = np.column_stack([scores, rng.normal(size=len(labels)) - 0.4 * scores])
    for y_true, y_score in ((labels, scores), (several, twice)):
        found = mean_fold_auroc(y_true, y_score, folds, patients)
        rows_of: dict[str, list[int]] = {}
        for row, patient in enumerate(patients):
            rows_of.setdefault(patient, []).append(row)
        by_fold = [[rows for rows in rows_of.values() if folds[rows[0]] == k] for k in range(4)]
        columns = np.asarray(y_true).reshape(len(labels), -1)
        values = np.asarray(y_score).reshape(len(labels), -1)
        drawn = []
        for _ in range(300):
            areas = []
            for cases in by_fold:
                picked = np.concatenate(
                    [cases[i] for i in rng.integers(len(cases), size=len(cases))]
                )
                for column in range(columns.shape[1]):
                    y = columns[picked, column]
                    known = picked[~np.isnan(y)]
                    areas.append(roc_auc_score(columns[known, column], values[known, column]))
            drawn.append(np.mean(areas))
        span = _span(found)
        error = span / 2 / 1.97 * found.value * (1 - found.value)
        assert error == pytest.approx(np.std(drawn), rel=0.15)


def test_scores_of_a_fold_may_be_on_another_scale() -> None:
    labels, scores, folds, patients = _draw(3)
    shifted = np.where(folds == 2, 100 + 5 * scores, scores)
    one, other = (mean_fold_auroc(labels, each, folds, patients) for each in (scores, shifted))
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
    assert roc_auc_score(labels, shifted) < roc_auc_score(labels, scores)


def test_a_fold_without_a_class_is_left_out_and_perfect_folds_have_a_width() -> None:
    labels = np.array([0, 1, 0, 1, 1, 1], float)
    scores, folds = np.arange(6) / 6, np.array([0, 0, 1, 1, 2, 2])
    found = mean_fold_auroc(labels, scores, folds)
    assert found.value == 1 and found.high == 1 and 0 < found.low < 1
    assert "no variance" in (found.reason or "")
    mixed = mean_fold_auroc([0, 1, 0, 1, 0, 1, 1, 1], [1, 3, 2, 1, 2, 5, 1, 2], [0] * 6 + [1] * 2)
    assert "1 of 2 folds lack a class" in (mixed.reason or "")
    assert math.isnan(mean_fold_auroc([1, 1], [0, 1], [0, 1]).value)
    with pytest.raises(MetricError, match="needs a fold"):
        mean_fold_auroc(labels, scores, folds[:3])


def test_the_corrected_test_is_the_formula() -> None:
    gaps = [0.031, 0.012, -0.004, 0.022, 0.018]
    found = corrected_difference(gaps, n_train=800, n_test=200)
    mean, spread = np.mean(gaps), np.std(gaps, ddof=1)
    error = spread * math.sqrt(1 / 5 + 200 / 800)
    assert found.standard_error == pytest.approx(error, abs=1e-15)
    assert found.p == pytest.approx(2 * stats.t.sf(mean / error, 4), abs=1e-12)
    limits = stats.t.interval(0.95, 4, loc=mean, scale=error)
    assert (found.difference.low, found.difference.high) == pytest.approx(limits, abs=1e-12)
    # Without the correction it is the ordinary t-test of the differences.
    plain = corrected_difference(gaps, n_train=1e15, n_test=1)
    assert plain.p == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue, abs=1e-9)


def test_the_corrected_test_of_the_example_of_scikit_learn() -> None:
    """The values that scikit-learn's example "plot_grid_search_stats" prints."""
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    x, y = datasets.make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    first, second = (
        cross_val_score(SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=folds)
        for kernel in ("linear", "rbf")
    )
    found = corrected_difference(second - first, n_train=90, n_test=10)
    assert found.difference.value / found.standard_error == pytest.approx(0.750, abs=5e-4)
    assert found.p / 2 == pytest.approx(0.227, abs=5e-4)  # the example tests one side


def test_equal_differences_have_no_variance() -> None:
    assert corrected_difference([0.0, 0.0], 2, 1).p == 1
    same = corrected_difference([0.1, 0.1, 0.1], 2, 1)
    assert math.isnan(same.p) and "same in every fold" in (same.reason or "")
    for wrong in ([0.1], [0.1, math.nan], [[0.1, 0.2]]):
        with pytest.raises(MetricError):
            corrected_difference(wrong, 2, 1)
    with pytest.raises(MetricError, match="above 0"):
        corrected_difference([0.1, 0.2], 0, 1)

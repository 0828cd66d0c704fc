"""Tests intervals by formula and by resampling: tables, brute force, coverage."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import datasets, linear_model, model_selection

from plainfilm import metrics
from plainfilm._json import to_json
from plainfilm.errors import MetricError
from plainfilm.metrics.bootstrap import percentile, replicate
from plainfilm.metrics.statistics import ranking_statistic


@pytest.mark.parametrize(
    ("successes", "trials", "wilson", "exact"),
    [  # R. G. Newcombe, Stat. Med. 17 (1998) 857-872, table I
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_proportions_match_the_published_table(
    successes: int, trials: int, wilson: tuple[float, float], exact: tuple[float, float]
) -> None:
    found = metrics.wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx(wilson, abs=6e-5)
    found = metrics.clopper_pearson(successes, trials)
    assert (found.low, found.high) == pytest.approx(exact, abs=6e-5)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_proportions_equal_scipy(level: float) -> None:
    for trials in (1, 2, 7, 40, 624):
        for successes in {0, 1, trials // 3, trials - 1, trials}:
            theirs = stats.binomtest(successes, trials)
            for ours, method in (
                (metrics.wilson(successes, trials, level=level), "wilson"),
                (metrics.clopper_pearson(successes, trials, level=level), "exact"),
            ):
                limits = theirs.proportion_ci(level, method=method)
                assert (ours.low, ours.high) == pytest.approx(tuple(limits), abs=1e-9)
                assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_nothing_counted_is_undefined() -> None:
    for found in (metrics.wilson(0, 0), metrics.clopper_pearson(0, 0)):
        assert math.isnan(found.value)
        answer = to_json(found)
        assert answer["value"] is None
        assert answer["reason"]
        json.dumps(answer, allow_nan=False)


def test_bad_counts_and_levels_are_refused() -> None:
    for successes, trials in ((3, 2), (-1, 2), (0, math.inf)):
        with pytest.raises(MetricError):
            metrics.wilson(successes, trials)
    with pytest.raises(MetricError, match="level"):
        metrics.wilson(1, 2, level=1)
    with pytest.raises(MetricError, match="AUROC"):
        metrics.newcombe(0.5, 0, 3)


def brute_force(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return AUROC and DeLong's variance from all m x n pairs, as the paper defines them."""
    up, down = scores[labels == 1], scores[labels == 0]
    pairs = (up[:, None] > down[None, :]) + 0.5 * (up[:, None] == down[None, :])
    variance = pairs.mean(axis=1).var(ddof=1) / len(up) + pairs.mean(axis=0).var(ddof=1) / len(down)
    return float(pairs.mean()), float(variance)


def test_delong_equals_brute_force() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        m, n = rng.integers(2, 30, 2)
        labels = np.r_[np.ones(m), np.zeros(n)]
        scores = np.round(rng.normal(labels), int(rng.integers(0, 4)))
        order = rng.permutation(m + n)
        areas, covariance = metrics.delong_covariance(labels[order], scores[order])
        assert (areas[0], covariance[0, 0]) == pytest.approx(brute_force(labels, scores))


def test_delong_covariance_of_two_scorers_gives_the_variance_of_their_difference() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(80) < 0.4).astype(float)
    scores = rng.normal(labels, 1, (2, 80)) + rng.normal(size=80)
    areas, covariance = metrics.delong_covariance(labels, scores)
    up, down = scores[:, labels == 1], scores[:, labels == 0]
    wins = (up[:, :, None] > down[:, None, :]).astype(float)
    gap = wins[0] - wins[1]
    variance = (
        gap.mean(axis=1).var(ddof=1) / up.shape[1] + gap.mean(axis=0).var(ddof=1) / (down.shape[1])
    )
    assert areas[0] - areas[1] == pytest.approx(gap.mean())
    assert covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] == pytest.approx(variance)


def test_delong_variance_matches_the_value_recorded_by_another_implementation() -> None:
    # The authors' own test suite records 0.0015359814789736538 for this model of the iris data.
    data = datasets.load_iris()
    x, images, y, labels = model_selection.train_test_split(
        data.data, (data.target == 1).astype(int), test_size=0.8, random_state=42
    )
    scores = linear_model.LogisticRegression().fit(x, y).predict_proba(images)[:, 1]
    _, covariance = metrics.delong_covariance(labels, scores)
    assert covariance[0, 0] == pytest.approx(0.0015359814789736538, rel=1e-9)


def test_delong_limits_stay_inside_and_hold_the_value() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        m, n = rng.integers(1, 12, 2)
        labels = np.r_[np.ones(m), np.zeros(n)]
        found = metrics.delong(labels, np.round(rng.normal(2 * labels), 1))
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_perfect_separation_has_a_width_and_a_reason() -> None:
    labels = np.r_[np.ones(20), np.zeros(20)]
    found = metrics.delong(labels, labels)
    assert (found.value, found.high) == (1, 1)
    assert 0.85 < found.low < 0.95
    assert "variance is zero" in (found.reason or "")
    mirrored = metrics.delong(labels, -labels)
    assert (mirrored.value, mirrored.low) == (0, 0)
    assert mirrored.high == pytest.approx(1 - found.low)
    assert "Newcombe" in found.method


def test_newcombe_solves_its_equation() -> None:
    for area, m, n in ((0.7, 12, 30), (0.95, 40, 9), (0.5, 5, 5)):
        found = metrics.newcombe(area, m, n)
        for limit in (found.low, found.high):
            spread = 1 + ((m + n) / 2 - 1) * ((1 - limit) / (2 - limit) + limit / (1 + limit))
            variance = limit * (1 - limit) * spread / (m * n)
            assert abs(area - limit) == pytest.approx(1.959963984540054 * math.sqrt(variance))


def test_missing_class_is_undefined_with_a_reason() -> None:
    found = metrics.delong([1, 1, np.nan], [0.1, 0.2, 0.3])
    assert math.isnan(found.value)
    assert "negative" in (found.reason or "")
    found = metrics.clustered_bootstrap("auroc", [0, 0], [0.1, 0.2], ["a", "b"])
    assert math.isnan(found.low)
    assert "positive" in (found.reason or "")


def test_delong_covers() -> None:
    rng = np.random.default_rng(11)
    truth = stats.norm.cdf(1.5 / math.sqrt(2))
    labels = np.r_[np.ones(40), np.zeros(60)]
    found = [metrics.delong(labels, rng.normal(1.5 * labels)) for _ in range(600)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.925 < covered < 0.975


def clustered_data(
    rng: np.random.Generator, patients: int, each: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Draw images that are alike within a patient; each patient is of one class."""
    labels = np.repeat((np.arange(patients) % 2).astype(float), each)
    own = np.repeat(rng.normal(size=patients), each)
    scores = labels + 0.9 * own + 0.45 * rng.normal(size=patients * each)
    return labels, scores, [str(i // each) for i in range(patients * each)]


def test_clustered_interval_covers_where_the_independent_one_does_not() -> None:
    rng = np.random.default_rng(12)
    truth = stats.norm.cdf(1 / math.sqrt(2 * (0.9**2 + 0.45**2)))
    hits = np.zeros(2)
    for _ in range(150):
        labels, scores, patients = clustered_data(rng, 60, 5)
        for column, found in enumerate(
            (
                metrics.clustered_bootstrap(
                    "auroc", labels, scores, patients, n_bootstrap=300, seed=rng
                ),
                metrics.delong(labels, scores),
            )
        ):
            hits[column] += found.low <= truth <= found.high
    assert hits[0] / 150 > 0.88
    assert hits[1] / 150 < 0.75


@pytest.mark.parametrize("decimals", [1, 6])
def test_replicates_equal_the_metric_on_the_drawn_images(decimals: int) -> None:
    rng = np.random.default_rng(3)
    labels, scores, patients = clustered_data(rng, 20, 3)
    scores = np.round(scores, decimals)
    groups = np.array([int(p) for p in patients])
    statistic = ranking_statistic(labels == 1, scores, groups, 20)
    draws = rng.multinomial(20, [1 / 20] * 20, size=50).astype(float)
    area, precision, partial = statistic(draws)
    for row, drawn in enumerate(draws):
        images = np.repeat(np.arange(60), drawn[groups].astype(int))
        y, s = labels[images], scores[images]
        assert area[row] == pytest.approx(metrics.roc_auc_score(y, s))
        assert precision[row] == pytest.approx(metrics.average_precision_score(y, s))
        assert partial[row] == pytest.approx(metrics.partial_auc_score(y, s, max_fpr=0.1))


@pytest.mark.parametrize("name", metrics.BOOTSTRAP_METRICS)
def test_every_metric_has_a_value_and_an_interval_around_it(name: str) -> None:
    rng = np.random.default_rng(5)
    labels, scores, patients = clustered_data(rng, 100, 3)
    probabilities = 1 / (1 + np.exp(-2 * scores + 1))
    found = metrics.clustered_bootstrap(
        name, labels, probabilities, patients, threshold=0.5, n_bootstrap=300
    )
    calls = probabilities >= 0.5
    expected = {
        "auroc": metrics.roc_auc_score(labels, probabilities),
        "average_precision": metrics.average_precision_score(labels, probabilities),
        "partial_auroc": metrics.partial_auc_score(labels, probabilities, max_fpr=0.1),
        "brier": metrics.brier_score_loss(labels, probabilities),
        "log_loss": metrics.log_loss(labels, probabilities),
        "accuracy": metrics.accuracy_score(labels, calls),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, calls),
        "sensitivity": metrics.sensitivity_score(labels, calls),
        "specificity": metrics.specificity_score(labels, calls),
        "ppv": metrics.ppv_score(labels, calls),
        "npv": metrics.npv_score(labels, calls),
        "f1": metrics.f1_score(labels, calls),
        "mcc": metrics.matthews_corrcoef(labels, calls),
        "lr_positive": metrics.likelihood_ratios(labels, calls)[0],
        "lr_negative": metrics.likelihood_ratios(labels, calls)[1],
    }
    assert found.value == pytest.approx(expected[name])
    assert found.low < found.value < found.high
    assert "over patients" in found.method


def test_bootstrap_spread_is_that_of_theory_when_images_are_independent() -> None:
    rng = np.random.default_rng(6)
    labels = (rng.random(400) < 0.5).astype(float)
    scores = rng.normal(1.2 * labels)
    ours = metrics.clustered_bootstrap("auroc", labels, scores, None)
    theory = metrics.delong(labels, scores)
    assert ours.high - ours.low == pytest.approx(theory.high - theory.low, rel=0.1)
    assert "over images" in ours.method


def test_seed_decides_and_patient_names_do_not() -> None:
    rng = np.random.default_rng(7)
    labels, scores, patients = clustered_data(rng, 30, 2)
    first = metrics.clustered_bootstrap("auroc", labels, scores, patients, seed=1)
    assert first == metrics.clustered_bootstrap("auroc", labels, scores, patients, seed=1)
    assert first != metrics.clustered_bootstrap("auroc", labels, scores, patients, seed=2)
    renamed = [f"x{name}" for name in patients]
    assert first == metrics.clustered_bootstrap("auroc", labels, scores, renamed, seed=1)


def test_few_errors_fall_back_to_patients() -> None:
    labels = np.r_[np.ones(60), np.zeros(60)]
    scores = labels.copy()
    patients = [str(i // 3) for i in range(120)]
    for name, low in (("sensitivity", 0.83), ("auroc", 0.89), ("average_precision", 0.83)):
        found = metrics.clustered_bootstrap(name, labels, scores, patients, threshold=0.5)
        assert (found.value, found.high) == (1, 1)
        assert low < found.low < 0.95
        assert "patients" in (found.reason or "")
    for name in ("f1", "mcc", "balanced_accuracy"):
        found = metrics.clustered_bootstrap(name, labels, scores, patients, threshold=0.5)
        assert 0.5 < found.low < found.high == found.value == 1
    scores[0] = 0
    one_missed = metrics.clustered_bootstrap("sensitivity", labels, scores, patients, threshold=0.5)
    assert one_missed.low == pytest.approx(metrics.wilson(20 * 59 / 60, 20).low)


def small_sets() -> Iterator[tuple[str, NDArray[Any], NDArray[Any], list[str] | None]]:
    """Yield sets on which replicates hardly differ: tiny, perfect, all wrong, constant."""
    rng = np.random.default_rng(12)
    for n in (1, 2, 3, 5, 30):
        labels = np.r_[np.ones(n), np.zeros(n)]
        one_each = [str(i % n) for i in range(2 * n)]
        every = {
            "perfect": labels,
            "all wrong": 1 - labels,
            "constant": np.full(2 * n, 0.7),
            "nothing called": np.full(2 * n, 0.1),
            "noise": rng.random(2 * n),
            "positives right": np.r_[np.ones(n), rng.random(n)],
            "half of each patient": np.r_[np.arange(n) % 2, np.arange(n) % 2].astype(float),
        }
        for name, scores in every.items():
            for patients in (None, one_each, ["only"] * (2 * n)):
                yield f"{name}, {n}, {patients is None}", labels, scores, patients
                yield f"{name}, positive, {n}", np.ones(2 * n), scores, patients


@pytest.mark.parametrize("name", metrics.BOOTSTRAP_METRICS)
def test_no_interval_is_without_width(name: str) -> None:
    for what, labels, scores, patients in small_sets():
        found = metrics.clustered_bootstrap(
            name, labels, scores, patients, threshold=0.5, n_bootstrap=60
        )
        if math.isnan(found.value) or math.isnan(found.low):
            assert found.reason, (what, found)
            continue
        assert found.low < found.high, (what, found)
        assert found.low <= found.value + 1e-9, (what, found)
        assert found.value <= found.high + 1e-9, (what, found)


def test_one_sided_calls_leave_the_other_rate_its_uncertainty() -> None:
    # Every positive is found and nothing else is known of it: that is not "never misses".
    labels = np.r_[np.ones(40), np.zeros(40)]
    scores = np.r_[np.ones(40), np.tile([0.0, 0.0, 0.0, 1.0], 10)]
    ratio = metrics.clustered_bootstrap("lr_negative", labels, scores, None, threshold=0.5)
    assert ratio.value == ratio.low == 0
    missed, right = 1 - metrics.wilson(40, 40).low, metrics.wilson(30, 40).low
    assert ratio.high == pytest.approx(missed / right)
    f1 = metrics.clustered_bootstrap("f1", labels, scores, None, threshold=0.5)
    assert f1.low < f1.value < f1.high < 1


def test_a_constant_score_has_an_auroc_of_a_half_give_or_take() -> None:
    labels = np.r_[np.ones(30), np.zeros(30)]
    patients = [str(i // 2) for i in range(60)]
    for found in (
        metrics.clustered_bootstrap("auroc", labels, np.full(60, 0.3), patients),
        metrics.delong(labels, np.full(60, 0.3)),
    ):
        assert found.value == 0.5
        assert 0.3 < found.low < 0.45 < 0.55 < found.high < 0.7


def test_undefined_replicates_are_counted() -> None:
    values = np.r_[np.linspace(0, 1, 80), np.full(20, np.nan)]
    found = percentile(0.5, values, unit="patients")
    assert "20 undefined" in (found.reason or "")
    assert found.low < 0.1
    lost = percentile(0.5, np.r_[np.ones(40), np.full(60, np.nan)], unit="patients")
    assert math.isnan(lost.low)
    assert "60 of 100" in (lost.reason or "")


def test_stream_does_not_depend_on_how_it_is_cut() -> None:
    rng = np.random.default_rng(8)
    labels, scores, patients = clustered_data(rng, 40, 2)
    statistic = ranking_statistic(labels == 1, scores, np.array([int(p) for p in patients]), 40)
    cut = [
        replicate(
            [statistic],
            patients=40,
            images=images,
            n_bootstrap=64,
            rng=np.random.default_rng(0),
        )[0]
        for images in (80, 300_000)
    ]
    np.testing.assert_allclose(cut[0], cut[1], rtol=1e-12)


def test_bootstrap_refuses_what_it_does_not_know() -> None:
    with pytest.raises(MetricError, match="no such metric"):
        metrics.clustered_bootstrap("auc", [0, 1], [0.1, 0.2], None)
    with pytest.raises(MetricError, match="threshold"):
        metrics.clustered_bootstrap("f1", [0, 1], [0.1, 0.2], None)
    with pytest.raises(MetricError, match="one patient key per image"):
        metrics.clustered_bootstrap("auroc", [0, 1], [0.1, 0.2], ["a"])
    with pytest.raises(MetricError, match="replicate"):
        metrics.clustered_bootstrap("brier", [0, 1, 1], [0.1, 0.2, 0.1], None, n_bootstrap=0)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_percentiles_leave_out_half_of_the_rest_on_each_side(level: float) -> None:
    found = percentile(0.5, np.linspace(0, 1, 4001), level=level, unit="patients")
    assert found.low == pytest.approx((1 - level) / 2, abs=1e-3)
    assert found.high == pytest.approx((1 + level) / 2, abs=1e-3)
    assert f"{100 * level:g} %" in found.method

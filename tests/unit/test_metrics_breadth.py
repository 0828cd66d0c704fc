"""Tests partial areas, the parts of the Brier score, prevalence, decision curves, sample sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics as reference

from plainfilm import metrics
from plainfilm.errors import MetricError
from plainfilm.evaluation.summary import summarise
from plainfilm.metrics.bootstrap import replicate
from plainfilm.metrics.ranking import partial_areas, standardised
from plainfilm.metrics.statistics import exact_areas, ranking_statistic
from plainfilm.records import Task


def random_case(rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw a case of both classes: tiny or small, tied or not, of any prevalence."""
    n = int(rng.integers(0, 80))
    labels = np.r_[0, 1, rng.random(n) < rng.choice([0.02, 0.3, 0.5, 0.98])].astype(float)
    scores = rng.random(n + 2) + rng.choice([0, 0.5]) * labels
    return labels, np.round(scores, int(rng.choice([1, 2, 12])))


def test_partial_areas_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        labels, scores = random_case(rng)
        end = float(rng.uniform(0.01, 1))
        found = metrics.partial_auc_score(labels, scores, max_fpr=end)
        assert found == pytest.approx(reference.roc_auc_score(labels, scores, max_fpr=end))


def test_partial_area_over_sensitivities_is_the_area_above_them() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        labels, scores = random_case(rng)
        least = float(rng.uniform(0, 0.99))
        found = metrics.partial_auc_score(labels, scores, min_sensitivity=least, standardise=False)
        # By summing over many sensitivities the share of negatives below.
        fpr, tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
        grid = np.linspace(least, 1, 20_001)
        middle = (grid[1:] + grid[:-1]) / 2
        keep = np.r_[True, np.diff(tpr) > 0]
        # Along a vertical rise of the curve the leftmost point counts, along a flat part none.
        at = np.interp(middle, tpr[keep], fpr[keep])
        first = np.searchsorted(tpr, middle, side="left")
        left, right = tpr[first - 1], tpr[first]
        share = (middle - left) / (right - left)
        at = fpr[first - 1] + share * (fpr[first] - fpr[first - 1])
        assert found == pytest.approx(np.sum(1 - at) * (grid[1] - grid[0]), abs=2e-4)


def test_partial_areas_at_the_ends() -> None:
    perfect = partial_areas(np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 1.0]]), 0.1)
    assert standardised(perfect, 0.1) == pytest.approx(1)
    assert metrics.partial_auc_score([0, 1], [0.5, 0.5], max_fpr=0.3) == pytest.approx(0.5)
    assert math.isnan(metrics.partial_auc_score([1, 1, math.nan], [1, 2, 3], max_fpr=0.1))
    for wrong in ({}, {"max_fpr": 0.1, "min_sensitivity": 0.9}, {"max_fpr": 0.0}):
        with pytest.raises(MetricError, match="range"):
            metrics.partial_auc_score([0, 1], [0, 1], **wrong)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_parts_add_up_to_the_brier_score(strategy: Any) -> None:
    rng = np.random.default_rng(2)
    for _ in range(500):
        labels, scores = random_case(rng)
        chances = np.clip(scores, 0, 1)
        parts = metrics.brier_parts(labels, chances, strategy=strategy)
        whole = parts.reliability - parts.resolution + parts.uncertainty
        assert whole == pytest.approx(reference.brier_score_loss(labels, chances), abs=1e-12)
        assert parts.uncertainty == pytest.approx(labels.var())


def test_parts_equal_murphys_where_bins_hold_one_value() -> None:
    rng = np.random.default_rng(3)
    chances = rng.choice([0.05, 0.35, 0.65, 0.95], 400)
    labels = (rng.random(400) < 0.2 + 0.5 * chances).astype(float)
    reliability = resolution = 0.0
    for value in np.unique(chances):
        own = labels[chances == value]
        reliability += len(own) * (value - own.mean()) ** 2 / 400
        resolution += len(own) * (own.mean() - labels.mean()) ** 2 / 400
    parts = metrics.brier_parts(labels, chances)
    assert parts.reliability == pytest.approx(reliability)
    assert parts.resolution == pytest.approx(resolution)


@pytest.mark.parametrize("n", [30, 624])
def test_bias_is_the_mean_error_of_a_calibrated_model(n: int) -> None:
    rng = np.random.default_rng(4)
    chances = rng.beta(0.5, 0.7, n)
    drawn = [
        metrics.expected_calibration_error((rng.random(n) < chances).astype(float), chances)
        for _ in range(400)
    ]
    error = float(np.std(drawn)) / math.sqrt(400)
    found = metrics.calibration_error_bias(chances, seed=1)
    assert found == pytest.approx(float(np.mean(drawn)), abs=4 * error)


def test_bias_of_large_bins_is_that_of_a_normal() -> None:
    chances = np.full(40_000, 0.3)
    exact = stats.binom(40_000, 0.3)
    span = np.arange(11_000, 13_000)
    mean = float(np.sum(exact.pmf(span) * np.abs(span - 12_000))) / 40_000
    assert metrics.calibration_error_bias(chances) == pytest.approx(mean, rel=0.08)


def test_shifted_prevalence_is_bayes_theorem() -> None:
    rng = np.random.default_rng(5)
    # Scores with known densities: the posterior can be written down at any prevalence.
    x = rng.normal(size=500)
    likelihood = np.exp(2 * x - 2)  # of N(2, 1) over N(0, 1)
    for old, new in ((0.5, 0.05), (0.2, 0.7)):
        at_old = likelihood * old / (likelihood * old + 1 - old)
        at_new = likelihood * new / (likelihood * new + 1 - new)
        np.testing.assert_allclose(metrics.shift_prevalence(at_old, from_=old, to=new), at_new)
    assert metrics.shift_prevalence([0.0, 1.0], from_=0.3, to=0.6).tolist() == [0.0, 1.0]


def test_predictive_values_at_the_own_prevalence_are_those_counted() -> None:
    rng = np.random.default_rng(6)
    for _ in range(200):
        labels, calls = (rng.random((2, 60)) < rng.uniform(0.1, 0.9, (2, 1))).astype(float)
        hit = metrics.sensitivity_score(labels, calls)
        clear = metrics.specificity_score(labels, calls)
        found = metrics.predictive_values(hit, clear, [labels.mean()])
        for mine, theirs in (
            (found.ppv[0], metrics.ppv_score(labels, calls)),
            (found.npv[0], metrics.npv_score(labels, calls)),
        ):
            assert mine == pytest.approx(theirs, nan_ok=True)
    # Published: 95 % sensitivity and specificity at a prevalence of 1 % give a PPV of 16 %.
    assert metrics.predictive_values(0.95, 0.95, [0.01]).ppv[0] == pytest.approx(0.161, abs=5e-4)


def test_net_benefit_by_hand() -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        labels, scores = random_case(rng)
        chances = np.clip(scores, 0, 1)
        n, prevalence = len(labels), labels.mean()
        curve = metrics.decision_curve(labels, chances, n_bootstrap=2)
        for step, at in enumerate(curve.threshold):
            called = chances >= at
            odds = at / (1 - at)
            benefit = (np.sum(called & (labels == 1)) - odds * np.sum(called & (labels == 0))) / n
            assert curve.model[step] == pytest.approx(benefit)
            assert curve.treat_all[step] == pytest.approx(prevalence - odds * (1 - prevalence))


def test_a_decision_curve_of_patients_is_wider_and_finds_what_is_useful() -> None:
    rng = np.random.default_rng(8)
    labels = np.repeat(rng.random(60) < 0.3, 8).astype(float)
    chances = np.clip(0.3 + 0.25 * (labels - 0.3) + np.repeat(rng.normal(0, 0.1, 60), 8), 0, 1)
    patients = np.repeat(np.arange(60), 8).astype(str)
    alone = metrics.decision_curve(labels, chances)
    together = metrics.decision_curve(labels, chances, patients)
    assert (together.high - together.low).mean() > 2 * (alone.high - alone.low).mean()
    np.testing.assert_array_equal(alone.model, together.model)
    assert len(alone.useful) >= 1
    assert all(low <= high for low, high in alone.useful)
    guess = metrics.decision_curve(labels, np.full(480, 0.3), patients)
    assert guess.useful == []


def test_sample_sizes_are_the_smallest_that_do() -> None:
    rng = np.random.default_rng(9)
    for _ in range(60):
        share, width = float(rng.uniform(0, 1)), float(rng.uniform(0.01, 0.2))
        n = metrics.images_for_proportion(share, width)
        for size, enough in ((n, True), (n - 1, False)):
            if size < 1:
                continue
            z = stats.norm.ppf(0.975)
            half = z * math.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
            low, high = (
                metrics.wilson(share * size, size).low,
                metrics.wilson(share * size, size).high,
            )
            if low > 0 and high < 1:
                assert (high - low) / 2 == pytest.approx(half / (1 + z**2 / size))
            assert ((high - low) / 2 <= width) == enough
    n = metrics.images_for_auroc(0.9, 0.03, prevalence=0.3)
    wide = [metrics.newcombe(0.9, 0.3 * m, 0.7 * m) for m in (n, n - 1)]
    assert (wide[0].high - wide[0].low) / 2 <= 0.03 < (wide[1].high - wide[1].low) / 2
    double = metrics.images_for_auroc(0.9, 0.03, prevalence=0.3, design_effect=2)
    assert double == pytest.approx(2 * n, abs=2)


def test_detectable_difference_has_the_power_it_says() -> None:
    error = 0.013
    shift = metrics.detectable_difference(error, power=0.8)
    found = stats.norm.sf(stats.norm.ppf(0.975) - shift / error)
    assert found == pytest.approx(0.8, abs=1e-4)


def exact_and_blocks(name: str, *, clustered: bool) -> tuple[Any, Any]:
    """Return a metric's replicates by patient, and by the way that very many patients take."""
    from plainfilm.metrics import bootstrap, statistics

    rng = np.random.default_rng(10)
    patients = 4000
    each = 3 if clustered else 1
    groups = np.repeat(np.arange(patients), each)
    own = np.repeat(rng.normal(size=patients), each)
    scores = own + rng.normal(size=len(groups))
    positive = own + rng.normal(size=len(groups)) > 0.5
    found = []
    for many in (10**9, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statistics, "MANY", many)
            drawn, units = statistics.pool(groups, patients)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bootstrap, "MANY", many)
            statistic = ranking_statistic(positive, scores, drawn, units)
            [values] = replicate(
                [statistic],
                patients=units,
                images=len(groups),
                n_bootstrap=800,
                rng=np.random.default_rng(3),
            )
            exact = statistic(np.ones((1, units)))[:, 0]
            found.append((exact, values))
    return found[0], found[1]


@pytest.mark.parametrize("clustered", [False, True])
def test_blocks_show_the_spread_of_patients(clustered: bool) -> None:
    (value, exact), (same, pooled) = exact_and_blocks("auroc", clustered=clustered)
    np.testing.assert_allclose(same, value, atol=1e-12)
    # Two standard deviations of 800 replicates each, and of 2000 blocks: 2.5 and 1.6 %.
    ratio = pooled.std(axis=1) / exact.std(axis=1)
    np.testing.assert_allclose(ratio, 1, atol=4 * math.hypot(0.025, 0.025, 0.016))
    errors = np.hypot(pooled.std(axis=1), exact.std(axis=1)) / math.sqrt(800)
    assert np.all(np.abs(pooled.mean(axis=1) - exact.mean(axis=1)) < 4 * errors)


_BAD: list[tuple[str, Callable[[], object]]] = [
    ("NaN or inf", lambda: metrics.partial_auc_score([0, 1], [0, math.nan], max_fpr=0.1)),
    ("NaN or inf", lambda: metrics.brier_parts([0, 1], [0, math.inf])),
    ("NaN or inf", lambda: metrics.decision_curve([0, 1], [math.nan, 0.5])),
    ("between 0 and 1", lambda: metrics.brier_parts([0, 1], [0, 1.5])),
    ("between 0 and 1", lambda: metrics.decision_curve([0, 1], [0, -0.5])),
    ("between 0 and 1", lambda: metrics.shift_prevalence([1.5], from_=0.5, to=0.1)),
    ("between 0 and 1", lambda: metrics.shift_prevalence([0.5], from_=0.5, to=0)),
    ("between 0 and 1", lambda: metrics.predictive_values(1.2, 0.5)),
    ("1, 0 or NaN", lambda: metrics.partial_auc_score([0, 2], [0, 1], max_fpr=0.1)),
    ("1, 0 or NaN", lambda: metrics.decision_curve([0, 2], [0, 1])),
    ("same shape", lambda: metrics.brier_parts([0, 1], [0.5])),
    ("same shape", lambda: metrics.partial_auc_score([0, 1], [0.5], max_fpr=0.1)),
    ("must increase", lambda: metrics.decision_curve([0, 1], [0, 1], thresholds=(0.5, 0.2))),
    ("one patient key", lambda: metrics.decision_curve([0, 1], [0, 1], ["a"])),
    ("known label", lambda: metrics.decision_curve([math.nan], [0.5])),
    ("half width", lambda: metrics.images_for_proportion(0.5, 0.7)),
    ("design effect", lambda: metrics.images_for_proportion(0.5, 0.1, design_effect=0)),
    ("prevalence", lambda: metrics.images_for_auroc(0.5, 0.1, prevalence=1)),
    ("standard error", lambda: metrics.detectable_difference(-1)),
]


@pytest.mark.parametrize(("words", "call"), _BAD, ids=[f"{i}" for i in range(len(_BAD))])
def test_bad_input_is_named(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(MetricError) as caught:
        call()
    message = f"{caught.value} {caught.value.received}"
    assert words in message or (words == "NaN or inf" and "finite" in message)


@pytest.mark.parametrize("digits", [1, 12])
def test_areas_of_very_many_images_equal_those_of_few(digits: int) -> None:
    rng = np.random.default_rng(11)
    for n in (2, 30, 3000):
        labels = np.r_[True, False, rng.random(n) < 0.2]
        scores = np.round(special.expit(rng.normal(labels, 1)), digits)
        found = exact_areas(labels, scores)
        expected = [
            metrics.roc_auc_score(labels, scores),
            metrics.average_precision_score(labels, scores),
            metrics.partial_auc_score(labels, scores, max_fpr=0.1),
        ]
        assert found == pytest.approx(expected, rel=1e-12)


def test_many_labels_and_images_give_the_values_of_scikit_learn() -> None:
    rng = np.random.default_rng(12)
    labels = (rng.random((metrics.MANY + 5, 2)) < 0.2).astype(float)
    chances = special.expit(rng.normal(labels, 1)).astype(np.float32)
    patients = np.arange(len(labels)) // 2
    task = Task("multilabel", ("a", "b"), ("a", "b"))
    found = summarise(labels, chances, task, patients.astype(str), [], n_bootstrap=20)
    for column, name in enumerate("ab"):
        expected = reference.roc_auc_score(labels[:, column], chances[:, column])
        assert found.labels[name].metrics["auroc"].value == pytest.approx(expected, rel=1e-9)
    expected = reference.average_precision_score(labels, chances, average="micro")
    assert found.micro["average_precision"].value == pytest.approx(expected, rel=1e-9)

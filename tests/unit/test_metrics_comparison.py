"""Tests comparisons of two classifiers on the same images: tests, intervals, margins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from plainfilm import metrics
from plainfilm.errors import MetricError
from plainfilm.metrics import Interval


def pair(rng: np.random.Generator, patients: int, each: int, gap: float = 0.0) -> tuple[Any, ...]:
    """Draw labels, two correlated scores and patients; the second is better by ``gap``."""
    ill = rng.random(patients) < 0.4
    labels = np.repeat(ill, each).astype(float)
    own = np.repeat(rng.normal(size=patients), each)
    shared = own + rng.normal(size=len(labels))
    first = labels + shared + 0.7 * rng.normal(size=len(labels))
    second = (1 + gap) * labels + shared + 0.7 * rng.normal(size=len(labels))
    return labels, first, second, np.repeat(np.arange(patients), each).astype(str)


def test_clustered_test_with_one_image_a_patient_is_delongs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels, first, second, patients = pair(rng, 40, 1)
        plain = metrics.delong_test(labels, first, second)
        clustered = metrics.delong_test(labels, first, second, patients)
        assert clustered.p == pytest.approx(plain.p)
        areas, covariance = metrics.delong_covariance(labels, np.stack([first, second]))
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        assert plain.standard_error == pytest.approx(math.sqrt(variance))
        assert plain.difference.value == pytest.approx(areas[1] - areas[0])


def test_repeated_images_are_no_evidence_to_the_clustered_test() -> None:
    rng = np.random.default_rng(1)
    labels, first, second, patients = pair(rng, 60, 1, gap=0.6)
    alone = metrics.delong_test(labels, first, second, patients)
    many = [np.repeat(one, 5) for one in (labels, first, second, patients)]
    together = metrics.delong_test(*many[:3], many[3])
    naive = metrics.delong_test(*many[:3])
    assert together.standard_error == pytest.approx(alone.standard_error, rel=0.02)
    assert naive.standard_error < 0.6 * alone.standard_error


@pytest.mark.parametrize("each", [1, 4])
def test_size_of_the_tests_is_what_they_say(each: int) -> None:
    rng = np.random.default_rng(2)
    false = np.zeros(2)
    rounds = 400
    for _ in range(rounds):
        labels, first, second, patients = pair(rng, 80, each)
        found = metrics.delong_test(labels, first, second, patients)
        false[0] += found.p < 0.05
        right = [(scores > 0.5) == (labels == 1) for scores in (first, second)]
        false[1] += metrics.mcnemar_test(*right, patients).p < 0.05
    # Four standard deviations of a binomial around 5 %.
    assert np.all(false / rounds < 0.05 + 4 * math.sqrt(0.05 * 0.95 / rounds))
    assert np.all(false / rounds > 0.01)


def test_obuchowskis_test_by_hand() -> None:
    # Three patients with 2, 1 and 3 images: net gains 1, -1 and 2 of 6 images.
    first = [0, 1, 1, 0, 0, 1]
    second = [1, 1, 0, 1, 1, 1]
    found = metrics.mcnemar_test(first, second, ["a", "a", "b", "c", "c", "c"])
    z = 2 / math.sqrt(3 / 2 * (1 + 1 + 4))
    assert found.p == pytest.approx(2 * stats.norm.sf(z))
    assert found.difference.value == pytest.approx(2 / 6)


def test_bonett_and_price_by_hand() -> None:
    # 3 gained, 1 lost, of 50: p = (4/52, 2/52).
    first = [0] * 3 + [1] * 1 + [1] * 46
    second = [1] * 3 + [0] * 1 + [1] * 46
    found = metrics.mcnemar_test(first, second).difference
    up, down = 4 / 52, 2 / 52
    half = stats.norm.ppf(0.975) * math.sqrt((up + down - (up - down) ** 2) / 52)
    assert (found.low, found.high) == pytest.approx((up - down - half, up - down + half))
    assert "4 patients" in (found.reason or "")


def test_what_never_differs_has_a_width_and_a_reason() -> None:
    found = metrics.mcnemar_test([1, 0, 1, 1], [1, 0, 1, 1])
    assert found.p == 1
    assert found.difference.low < 0 < found.difference.high
    assert "correct on the same images" in (found.reason or "")
    same = metrics.delong_test([0, 1, 0, 1], [1, 2, 3, 4], [10, 20, 30, 40])
    assert (same.p, same.difference.value) == (1.0, 0.0)
    assert "alike" in (same.reason or "")


def test_perfect_and_reversed_rankings_give_the_true_reason() -> None:
    found = metrics.delong_test([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1])
    assert (found.difference.value, math.isnan(found.p)) == (-1.0, True)
    assert "contributes the same difference" in (found.reason or "")
    assert "one patient" not in (found.reason or "")
    lone = metrics.delong_test([0, 0, 1], [1, 2, 3], [1, 3, 2])
    assert "one patient" in (lone.reason or "")


def test_mid_p_of_equal_discordant_counts() -> None:
    for count in range(1, 40):
        first, second = (
            np.r_[np.ones(count), np.zeros(count)],
            np.r_[np.zeros(count), np.ones(count)],
        )
        expected = 1 - math.comb(2 * count, count) / 2 ** (2 * count + 1)
        assert metrics.mcnemar_test(first, second).p == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", metrics.BOOTSTRAP_METRICS)
def test_difference_is_that_of_the_metrics_and_pairs_them(name: str) -> None:
    rng = np.random.default_rng(3)
    labels, first, second, patients = pair(rng, 120, 2, gap=0.3)
    scores = [1 / (1 + np.exp(-one)) for one in (first, second)]
    single = [
        metrics.clustered_bootstrap(
            name, labels, one, patients, threshold=threshold, n_bootstrap=400
        )
        for one, threshold in zip(scores, (0.6, 0.65), strict=True)
    ]
    found = metrics.clustered_difference(
        name, labels, *scores, patients, thresholds=(0.6, 0.65), n_bootstrap=400
    )
    assert found.value == pytest.approx(single[1].value - single[0].value)
    assert found.low < found.value < found.high
    # Paired, it is narrower than if the two had been seen on different patients.
    apart = math.hypot(*(one.high - one.low for one in single))
    assert found.high - found.low < apart


def test_bootstrap_of_the_difference_of_areas_agrees_with_delong() -> None:
    rng = np.random.default_rng(4)
    labels, first, second, patients = pair(rng, 200, 3, gap=0.2)
    formula = metrics.delong_test(labels, first, second, patients).difference
    drawn = metrics.clustered_difference("auroc", labels, first, second, patients)
    assert drawn.low == pytest.approx(formula.low, abs=0.12 * (formula.high - formula.low))
    assert drawn.high == pytest.approx(formula.high, abs=0.12 * (formula.high - formula.low))


def test_verdicts() -> None:
    for low, high, verdict in (
        (0.01, 0.03, "superior"),
        (-0.01, 0.03, "non-inferior"),
        (-0.03, 0.03, "not shown"),
        (-0.09, -0.03, "inferior"),
        (-0.03, -0.01, "not shown"),
        (math.nan, math.nan, "not shown"),
    ):
        found = Interval((low + high) / 2, low, high, "x")
        assert metrics.judge_margin(found, 0.02) == verdict
        turned = Interval(-found.value, -high, -low, "x")
        assert metrics.judge_margin(turned, 0.02, higher_is_better=False) == verdict


def test_holm_leaves_out_what_is_unknown() -> None:
    found = metrics.holm([0.04, math.nan, 0.01])
    assert found[0] == pytest.approx(0.04)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.02)
    assert metrics.holm([]) == []


_BAD: list[tuple[str, Callable[[], object]]] = [
    ("finite", lambda: metrics.delong_test([0, 1], [0, math.nan], [0, 1])),
    ("finite", lambda: metrics.delong_test([0, 1], [0, 1], [0, math.inf])),
    ("both classes", lambda: metrics.delong_test([1, 1], [0, 1], [0, 1])),
    ("same shape", lambda: metrics.delong_test([0, 1], [0, 1], [0, 1, 2])),
    ("one patient key", lambda: metrics.delong_test([0, 1], [0, 1], [0, 1], ["a"])),
    ("same shape", lambda: metrics.mcnemar_test([0, 1], [0])),
    ("between 0 and 1", lambda: metrics.mcnemar_test([0, 2], [0, 1])),
    ("needs images", lambda: metrics.mcnemar_test([], [])),
    ("no such metric", lambda: metrics.clustered_difference("x", [0, 1], [0, 1], [0, 1])),
    ("threshold", lambda: metrics.clustered_difference("f1", [0, 1], [0, 1], [0, 1])),
    ("between 0 and 1", lambda: metrics.clustered_difference("brier", [0, 1], [0, 9], [0, 1])),
    ("above 0", lambda: metrics.judge_margin(Interval(0, 0, 0, "x"), 0)),
    ("between 0 and 1", lambda: metrics.holm([2.0])),
]


@pytest.mark.parametrize(("words", "call"), _BAD, ids=[f"{i}" for i in range(len(_BAD))])
def test_bad_input_is_named(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(MetricError) as caught:
        call()
    assert words in str(caught.value)

"""Tests the locking of thresholds: the rules, their robustness, and their uncertainty."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from plainfilm import metrics
from plainfilm._json import to_json
from plainfilm.errors import MetricError
from plainfilm.metrics import thresholds
from plainfilm.metrics.thresholds import silverman_bandwidth
from plainfilm.records import LockedPoint

Array = NDArray[np.float64]


def two_normals(
    rng: np.random.Generator, positives: int, negatives: int, mean: float, spread: float = 1.0
) -> tuple[Array, Array]:
    """Draw probabilities whose log odds are normal around plus and minus ``mean``."""
    labels = np.r_[np.ones(positives), np.zeros(negatives)]
    return expit(rng.normal(np.where(labels == 1, mean, -mean), spread)), labels


def lock(probabilities: Array, labels: Array, **options: object) -> list[LockedPoint]:
    return list(metrics.lock_operating_points(probabilities, labels, "X", **options))  # type: ignore[arg-type]


def selected_rates(one: LockedPoint) -> tuple[float, float]:
    rates = one.validation.all_copies
    return rates.sensitivity, rates.specificity


def limits(one: LockedPoint) -> tuple[float, float]:
    return one.validation.low, one.validation.high


def width(one: LockedPoint) -> float:
    return one.validation.high - one.validation.low


def rates_of(probabilities: Array, labels: Array, threshold: float) -> tuple[float, float]:
    called = probabilities >= threshold
    return (
        metrics.sensitivity_score(labels, called),
        metrics.specificity_score(labels, called),
    )


def test_bandwidth_is_silverman_s() -> None:
    values = np.random.default_rng(0).normal(size=200)
    spread = min(values.std(ddof=1), stats.iqr(values) / 1.34)
    assert silverman_bandwidth(values) == pytest.approx(0.9 * spread * 200**-0.2)
    assert silverman_bandwidth([3.0]) == 0
    assert silverman_bandwidth([0, 0, 0, 0, 0, 0, 0, 0, 1]) > 0


def test_balanced_threshold_minimises_the_smoothed_error() -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        chances, labels = two_normals(rng, 60, 40, rng.uniform(0.3, 3), rng.uniform(0.5, 2))
        up, down = logit(chances[labels == 1]), logit(chances[labels == 0])
        up_width, down_width = silverman_bandwidth(up), silverman_bandwidth(down)

        def error(
            t: float, up: Array = up, down: Array = down, a: float = up_width, b: float = down_width
        ) -> float:
            return float(stats.norm.cdf((t - up) / a).mean() + stats.norm.sf((t - down) / b).mean())

        found = lock(chances, labels, n_bootstrap=1)[0].point.threshold
        grid = np.linspace(-8, 8, 1601)
        best = min(error(t) for t in grid)
        assert error(float(logit(found))) <= best + 1e-5


def test_balanced_threshold_is_near_the_true_optimum() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(40):
        chances, labels = two_normals(rng, 150, 50, 1.0)
        found.append(logit(lock(chances, labels, n_bootstrap=1)[0].point.threshold))
    assert abs(np.mean(found)) < 0.12
    assert np.std(found) < 0.35


def test_targets_are_met_by_the_literal_rule() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        m, n = (int(size) for size in rng.integers(25, 90, 2))
        chances, labels = two_normals(rng, m, n, rng.uniform(0.2, 1.0))
        balanced, out, into = lock(chances, labels, n_bootstrap=1)
        reachable = [t for t in chances if rates_of(chances, labels, t)[0] >= 0.95]
        literal = rates_of(chances, labels, max(reachable))
        if max(reachable) <= balanced.point.threshold:
            assert rates_of(chances, labels, out.point.threshold) == literal
        assert out.validation.all_copies.sensitivity >= 0.95
        assert into.validation.all_copies.specificity >= 0.95
        assert out.point.threshold <= balanced.point.threshold <= into.point.threshold
        for one in (balanced, out, into):
            assert rates_of(chances, labels, one.point.threshold) == selected_rates(one)
        lowest = [t for t in chances if rates_of(chances, labels, t)[1] >= 0.95]
        if lowest and min(lowest) > balanced.point.threshold:
            assert rates_of(chances, labels, into.point.threshold) == rates_of(
                chances, labels, min(lowest)
            )


def test_mirrored_data_give_mirrored_thresholds() -> None:
    chances, labels = two_normals(np.random.default_rng(4), 80, 60, 0.8)
    balanced, out, into = (one.point.threshold for one in lock(chances, labels, n_bootstrap=1))
    mirrored = [one.point.threshold for one in lock(1 - chances, 1 - labels, n_bootstrap=1)]
    assert (1 - balanced, 1 - into, 1 - out) == pytest.approx(tuple(mirrored), abs=1e-6)


def test_thresholds_scale_with_the_temperature() -> None:
    chances, labels = two_normals(np.random.default_rng(5), 80, 60, 0.8)
    plain = [logit(one.point.threshold) for one in lock(chances, labels, n_bootstrap=1)]
    scaled = lock(expit(logit(chances) / 2.5), labels, n_bootstrap=1)
    assert [2.5 * logit(one.point.threshold) for one in scaled] == pytest.approx(plain, abs=1e-4)


def test_perfectly_separated_classes_part_in_the_gap_and_say_so() -> None:
    rng = np.random.default_rng(6)
    labels = np.r_[np.ones(390), np.zeros(134)]
    # Wider positives: the threshold is further away from them.
    chances = expit(np.r_[rng.normal(9, 2, 390), rng.normal(-9, 0.8, 134)])
    points = lock(chances, labels, patients=[str(i // 3) for i in range(524)])
    top, bottom = chances[labels == 0].max(), chances[labels == 1].min()
    for one in points:
        assert top < one.point.threshold < bottom
        assert selected_rates(one) == (
            1,
            1,
        )
        assert not one.determined
        assert "perfectly separated" in one.validation.note
        assert one.validation.low <= one.point.threshold <= one.validation.high
    assert logit(points[0].point.threshold) < (logit(top) + logit(bottom)) / 2


def test_one_stray_image_hardly_moves_the_threshold() -> None:
    rng = np.random.default_rng(7)
    labels = np.r_[np.ones(300), np.zeros(300)]
    logits = np.r_[rng.normal(7, 2, 300), rng.normal(-7, 2, 300)]
    before = lock(expit(logits), labels, n_bootstrap=1)[0].point.threshold
    for stray in (-1.0, 0.5, 2.0, 5.0):
        moved = logits.copy()
        moved[300] = stray  # a negative
        after = lock(expit(moved), labels, n_bootstrap=1)[0].point.threshold
        # The usual rule would stop just above the stray image, at any position.
        assert abs(logit(after) - logit(before)) < 2
    assert abs(logit(after) - logit(before)) < 1


def test_saturated_probabilities_still_part() -> None:
    labels = np.r_[np.ones(50), np.zeros(50)]
    chances = labels.astype(np.float32)
    for one in lock(chances, labels):
        assert one.point.threshold == pytest.approx(0.5, abs=0.01)
        assert not one.determined
    chances[0], chances[50] = 0, 1  # one sure mistake each way
    for one in lock(chances, labels):
        assert selected_rates(one) == (
            0.98,
            0.98,
        )


def test_target_out_of_reach_is_said() -> None:
    labels = np.r_[np.ones(50), np.zeros(50)]
    chances = np.r_[np.full(50, 1.0), np.full(10, 1.0), np.linspace(0, 0.5, 40)]
    into = lock(chances, labels)[2]
    assert into.point.threshold == 1
    assert not into.determined
    assert "no threshold reaches" in into.validation.note


def test_determination_narrows_with_data_and_covers_the_long_run() -> None:
    rng = np.random.default_rng(8)
    few = lock(*two_normals(rng, 25, 25, 1.0))[0]
    many = lock(*two_normals(rng, 1500, 1500, 1.0))[0]
    assert width(many) < 0.5 * (width(few))
    assert many.determined
    assert many.validation.note == ""
    assert (
        many.validation.low < 0.5 < many.validation.high or abs(many.point.threshold - 0.5) < 0.05
    )


def test_patients_widen_the_range() -> None:
    rng = np.random.default_rng(9)
    chances, labels = two_normals(rng, 60, 60, 0.7)
    copies = np.repeat(chances, 6), np.repeat(labels, 6)
    patients = [str(i) for i in np.repeat(np.arange(120), 6)]
    together = lock(*copies, patients=patients)[0]
    apart = lock(*copies)[0]
    assert width(together) > 1.5 * (width(apart))


def test_resamples_are_the_same_however_many_are_taken_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 90)
    chances = expit(rng.normal(truth, 1.0))
    whole = metrics.lock_operating_points(chances, truth, "b", n_bootstrap=60)
    monkeypatch.setattr(thresholds, "_AT_ONCE", 700)  # some resamples, then the rest
    parts = metrics.lock_operating_points(chances, truth, "b", n_bootstrap=60)
    for one, other in zip(whole, parts, strict=True):
        found = [(p.point.threshold, p.validation.low, p.validation.high) for p in (one, other)]
        np.testing.assert_allclose(*found, rtol=1e-9)


def test_a_draw_counts_each_image_of_a_patient_as_often_as_the_patient() -> None:
    rng = np.random.default_rng(6)
    up = rng.integers(0, 2, 60).astype(bool)
    order = np.argsort(logits := rng.normal(2.0 * up, 1.0))
    logits, up, groups = logits[order], up[order], rng.integers(0, 15, 60)
    drawn = rng.multinomial(15, np.full(15, 1 / 15), size=4).astype(np.uint16)
    found = thresholds.balanced_thresholds(logits, up, groups, drawn)
    grid = np.linspace(-3, 5, 4001)
    for row, threshold in zip(drawn, found, strict=True):
        errors = np.zeros(len(grid))
        for own, sign in ((up, 1), (~up, -1)):
            width = thresholds.silverman_bandwidth(logits[own])
            mass = row[groups[own]].astype(float)
            tails = stats.norm.cdf(sign * (grid - logits[own][:, None]) / width)
            errors += mass @ tails / mass.sum()
        assert threshold == pytest.approx(grid[errors.argmin()], abs=0.005)


def test_a_draw_reaches_what_its_images_reach_written_out() -> None:
    rng = np.random.default_rng(7)
    up = rng.integers(0, 2, 60).astype(bool)
    order = np.argsort(logits := rng.normal(2.0 * up, 1.0))
    logits, up, groups = logits[order], up[order], rng.integers(0, 15, 60)
    drawn = thresholds.draw_patients(groups, up, 15, 6, np.random.default_rng(0))
    assert (drawn[0] == 1).all() and (drawn.sum(axis=1) == 15).all()
    found = thresholds.reaching_thresholds(logits, up, groups, drawn, 0.8)
    for row, threshold in zip(drawn, found, strict=True):
        positives = np.repeat(logits[up], row[groups[up]])
        # The highest of the positives above which, itself included, lie 80 % of them.
        setter = max(t for t in positives if (positives >= t).mean() >= 0.8 - 1e-12)
        below = logits[logits < setter]
        assert below.max() < threshold < setter
        assert threshold == pytest.approx((setter + below.max()) / 2)


def test_rule_in_is_rule_out_seen_from_the_other_end_also_when_patients_are_drawn() -> None:
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 2, 200).astype(float)
    chances = expit(rng.normal(1.5 * truth - 0.75, 1.0))
    patients = [f"p{number}" for number in rng.integers(0, 40, 200)]
    options = {"patients": patients, "sensitivity": 0.97, "specificity": 0.97}
    one = metrics.lock_operating_points(chances, truth, "b", **options)
    other = metrics.lock_operating_points(1 - chances, 1 - truth, "b", **options)
    into, out = one[2], other[1]
    assert (into.validation.low, into.validation.high) == pytest.approx(
        (1 - out.validation.high, 1 - out.validation.low), abs=1e-9
    )
    assert into.validation.low < into.validation.high


def test_few_images_and_chance_are_noted() -> None:
    rng = np.random.default_rng(10)
    few = lock(*two_normals(rng, 5, 40, 2.0))[0]
    assert "only 5 validation image" in few.validation.note
    labels = np.tile([0.0, 1.0], 60)
    same = lock(np.full(120, 0.3), labels)
    assert all("no better than chance" in one.validation.note for one in same)


@pytest.mark.parametrize("labels", [[1.0, 1, 1], [0.0, 0, np.nan], [np.nan] * 3])
def test_one_class_locks_nothing_and_says_so(labels: list[float]) -> None:
    [only] = lock(np.array([0.1, 0.5, 0.9]), np.array(labels))
    assert (only.point.name, only.point.threshold) == ("balanced", 0.5)
    assert not only.determined
    assert "not chosen" in only.point.rule
    json.dumps(to_json(only), allow_nan=False)


def test_unknown_labels_order_and_seed() -> None:
    rng = np.random.default_rng(11)
    chances, labels = two_normals(rng, 50, 50, 1.0)
    first = lock(chances, labels, seed=3)
    assert first == lock(chances, labels, seed=3)
    hidden = lock(np.r_[chances, 0.5], np.r_[labels, np.nan], n_bootstrap=1)
    order = rng.permutation(100)
    shuffled = lock(chances[order], labels[order], n_bootstrap=1)
    for one, two, three in zip(first, hidden, shuffled, strict=True):
        assert one.point.threshold == pytest.approx(two.point.threshold, abs=1e-3)
        assert one.point.threshold == pytest.approx(three.point.threshold, abs=1e-3)
    assert json.dumps(to_json(first[0]), allow_nan=False)
    assert [one.point.purpose for one in first] == ["balanced", "rule-out", "rule-in"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 1e-9, 0.1, 0.25, 0.5, 0.75, 1 - 1e-9, 1.0])),
        min_size=2,
        max_size=25,
    ).filter(lambda rows: len({truth for truth, _ in rows}) == 2)
)
def test_whatever_comes_the_thresholds_are_ordered_probabilities(
    rows: list[tuple[bool, float]],
) -> None:
    labels = np.array([truth for truth, _ in rows], dtype=float)
    chances = np.array([chance for _, chance in rows])
    balanced, out, into = lock(chances, labels, n_bootstrap=20)
    assert 0 <= out.point.threshold <= balanced.point.threshold <= into.point.threshold <= 1
    assert out.validation.all_copies.sensitivity >= 0.95
    assert (
        into.validation.all_copies.specificity >= 0.95
        or "no threshold reaches" in into.validation.note
    )
    for one in (balanced, out, into):
        assert 0 <= one.validation.low <= one.validation.high <= 1


def test_bad_input_is_refused() -> None:
    labels = np.array([0.0, 1.0])
    with pytest.raises(MetricError, match="target sensitivity"):
        lock(np.array([0.1, 0.9]), labels, sensitivity=0)
    with pytest.raises(MetricError, match="between 0 and 1"):
        lock(np.array([-3.0, 4.0]), labels)
    with pytest.raises(MetricError, match="1, 0 or NaN"):
        metrics.lock_operating_points(labels, [0.2, 0.7], "X")  # the wrong way round


def test_a_gap_that_is_wide_in_odds_alone_is_noted() -> None:
    rng = np.random.default_rng(13)
    labels = np.r_[np.ones(80), np.zeros(80)]
    chances = expit(np.r_[rng.normal(-6, 0.3, 80), rng.normal(-14, 0.3, 80)])
    balanced = lock(chances, labels)[0]
    assert width(balanced) < 0.01
    assert not balanced.determined
    assert "gives the same predictions" in balanced.validation.note

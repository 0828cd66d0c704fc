"""Tests losses, reliability, the calibration line and the temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from plainfilm import metrics
from plainfilm.errors import MetricError
from plainfilm.metrics.temperature import TEMPERATURES


def test_losses_equal_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        n = int(rng.integers(2, 50))
        labels = np.r_[0, 1, rng.integers(0, 2, n)].astype(float)
        chances = rng.random(n + 2).astype(rng.choice(["float32", "float64"]))
        chances[rng.random(n + 2) < 0.2] = rng.choice([0, 1])
        weights = rng.exponential(size=n + 2)
        assert metrics.brier_score_loss(labels, chances, sample_weight=weights) == pytest.approx(
            reference.brier_score_loss(labels, chances, sample_weight=weights), rel=1e-5
        )
        assert metrics.log_loss(labels, chances, sample_weight=weights) == pytest.approx(
            reference.log_loss(labels, chances, sample_weight=weights), rel=1e-5
        )


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_reliability_equals_scikit_learn(strategy: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        chances = rng.random(200)
        labels = (rng.random(200) < chances).astype(float)
        curve = metrics.reliability_curve(labels, chances, strategy=strategy)  # type: ignore[arg-type]
        full = [part for part in curve if part.count]
        observed, predicted = calibration_curve(labels, chances, n_bins=10, strategy=strategy)
        np.testing.assert_allclose([part.observed.value for part in full], observed)
        np.testing.assert_allclose([part.predicted for part in full], predicted)
        assert sum(part.count for part in curve) == 200
        error = sum(
            part.count / 200 * abs(one - other)
            for part, one, other in zip(full, observed, predicted, strict=True)
        )
        found = metrics.expected_calibration_error(labels, chances, strategy=strategy)  # type: ignore[arg-type]
        assert found == pytest.approx(error)


def test_empty_bins_say_so_and_edges_belong_above() -> None:
    curve = metrics.reliability_curve([0, 1, 1], [0.0, 0.5, 1.0], bins=2)
    assert [part.count for part in curve] == [1, 2]
    curve = metrics.reliability_curve([0, 1], [0.0, 1.0], bins=4)
    assert [part.count for part in curve] == [1, 0, 0, 1]
    assert math.isnan(curve[1].predicted)
    assert curve[1].observed.reason
    assert metrics.reliability_curve([np.nan], [0.5]) == ()
    with pytest.raises(MetricError, match="uniform or quantile"):
        metrics.reliability_curve([0, 1], [0.1, 0.2], strategy="equal")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="one bin"):
        metrics.reliability_curve([0, 1], [0.1, 0.2], bins=0)


def test_a_probability_on_an_edge_is_in_the_bin_above() -> None:
    tenths = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    curve = metrics.reliability_curve([1.0] * 9, tenths, bins=10)
    assert [part.count for part in curve] == [0] + [1] * 9


def test_calibration_line_equals_an_unpenalised_regression() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        logits = rng.normal(0, 2, 300)
        labels = (rng.random(300) < special.expit(0.6 * logits + 0.5)).astype(float)
        line = metrics.calibration_line(labels, special.expit(logits))
        fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], labels)
        assert line.slope.value == pytest.approx(fitted.coef_[0, 0], abs=1e-5)
        assert line.intercept.value == pytest.approx(fitted.intercept_[0], abs=1e-5)
        root = optimize.brentq(
            lambda a, z=logits, y=labels: np.sum(y - special.expit(z + a)), -9, 9
        )
        assert line.in_the_large.value == pytest.approx(root, abs=1e-8)


def test_calibration_line_covers_and_widens_with_clusters() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(200):
        logits = rng.normal(0, 1.5, 300)
        labels = (rng.random(300) < special.expit(0.7 * logits)).astype(float)
        slope = metrics.calibration_line(labels, special.expit(logits)).slope
        hits += slope.low <= 0.7 <= slope.high
    assert hits / 200 > 0.9
    chances, patients = special.expit(logits), [str(i) for i in range(300)]
    alone = metrics.calibration_line(labels, chances, patients=patients)
    four = metrics.calibration_line(np.tile(labels, 4), np.tile(chances, 4), patients=patients * 4)
    assert (four.slope.low, four.slope.high) == pytest.approx((alone.slope.low, alone.slope.high))


@pytest.mark.parametrize(
    ("labels", "chances", "words"),
    [
        ([1, 1, np.nan], [0.1, 0.9, 0.5], "one class"),
        ([0, 0, 1, 1], [0.0, 0.1, 0.9, 1.0], "perfectly"),
        ([0, 1, 0, 1], [0.4, 0.4, 0.4, 0.4], "all probabilities"),
    ],
)
def test_calibration_line_without_an_answer_gives_the_reason(
    labels: list[float], chances: list[float], words: str
) -> None:
    line = metrics.calibration_line(labels, chances)
    assert math.isnan(line.slope.value)
    assert words in (line.slope.reason or "")


def test_calibration_line_survives_saturated_probabilities() -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random(300) < 0.5).astype(float)
    chances = np.where(rng.random(300) < 0.9, labels, 1 - labels)
    line = metrics.calibration_line(labels, chances)
    assert 0 < line.slope.value < 0.3
    assert line.slope.low < line.slope.value < line.slope.high


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_temperature_is_recovered_and_equals_a_fine_search(kind: str, truth: float) -> None:
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 3, (4000, 3))
    calm = logits / truth
    if kind == "multiclass":
        shares = special.softmax(calm, axis=1)
        drawn = (rng.random((4000, 1)) > np.cumsum(shares, axis=1)).sum(axis=1)
        labels = np.eye(3)[np.minimum(drawn, 2)]
        labels[::50] = np.nan
    else:
        labels = (rng.random(calm.shape) < special.expit(calm)).astype(float)
        labels[rng.random(labels.shape) < 0.1] = np.nan
    if kind == "binary":
        logits, labels = logits[:, 0], labels[:, 0]
    found = metrics.fit_temperature(logits, labels, kind=kind)  # type: ignore[arg-type]
    assert found.determined
    assert found.note is None
    assert found.value == pytest.approx(truth, rel=0.12)
    assert found.loss_after <= found.loss_before

    def loss(temperature: float) -> float:
        chances = metrics.apply_temperature(logits, temperature, kind=kind)  # type: ignore[arg-type]
        known = ~np.isnan(labels)
        if kind == "multiclass":
            rows = known.all(axis=1)
            return float(reference.log_loss(labels[rows], chances[rows]))
        return float(reference.log_loss(labels[known], chances[known]))

    assert found.loss_after == pytest.approx(loss(found.value), rel=1e-9)
    around = np.geomspace(found.value * 0.97, found.value * 1.03, 61)
    assert found.value == pytest.approx(min(around, key=loss), rel=2e-3)


def test_weights_count_as_copies() -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 3, 200)
    labels = (rng.random(200) < special.expit(logits / 2)).astype(float)
    copies = rng.integers(0, 4, 200)
    weighted = metrics.fit_temperature(logits, labels, kind="binary", weights=copies)
    copied = metrics.fit_temperature(
        np.repeat(logits, copies), np.repeat(labels, copies), kind="binary"
    )
    assert weighted.value == pytest.approx(copied.value, rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        ([-9.0, -1, 2, 8], [0, 0, 1, 1], "separate the classes perfectly"),
        ([-9.0, -1, 2, 8], [1, 1, 1, 1], "one class only"),
        ([-9.0, -1, 2, 8], [np.nan] * 4, "no image"),
        ([0.0, 0, 0, 0], [0, 1, 0, 1], "all logits are equal"),
    ],
)
def test_undetermined_temperature_stays_at_one(
    logits: list[float], labels: list[float], words: str
) -> None:
    found = metrics.fit_temperature(logits, labels, kind="binary")
    assert found.value == 1
    assert not found.determined
    assert words in (found.note or "")


def test_temperature_is_clipped_with_a_note() -> None:
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 1, 500)
    labels = (rng.random(500) < special.expit(20 * logits)).astype(float)
    sharp = metrics.fit_temperature(logits, labels, kind="binary")
    assert (sharp.value, sharp.determined) == (TEMPERATURES[0], False)
    coin = (rng.random(500) < 0.5).astype(float)
    mild = metrics.fit_temperature(-50 * labels * logits, coin, kind="binary")
    assert (mild.value, mild.determined) == (TEMPERATURES[1], False)
    assert "clipped" in (mild.note or "")


def test_multiclass_temperature_of_separated_classes_stays_at_one() -> None:
    found = metrics.fit_temperature(3 * np.eye(3), np.eye(3), kind="multiclass")
    assert (found.value, found.determined) == (1, False)


def test_probabilities_are_stable_and_keep_the_order() -> None:
    logits = np.array([-1e4, -800, -3, 0, 3, 800, 1e4])
    chances = metrics.apply_temperature(logits, 1, kind="binary")
    np.testing.assert_allclose(chances, special.expit(logits), atol=1e-15)
    table = np.array([[1e4, 0, -1e4], [1, 2, 3]])
    np.testing.assert_allclose(
        metrics.apply_temperature(table, 2, kind="multiclass"), special.softmax(table / 2, axis=1)
    )
    rng = np.random.default_rng(9)
    logits, labels = rng.normal(size=100), np.tile([0.0, 1.0], 50)
    assert metrics.roc_auc_score(
        labels, metrics.apply_temperature(logits, 7, kind="binary")
    ) == metrics.roc_auc_score(labels, logits)


def test_bad_temperatures_and_shapes_are_refused() -> None:
    with pytest.raises(MetricError, match="above 0"):
        metrics.apply_temperature([1.0], 0, kind="binary")
    with pytest.raises(MetricError, match="finite"):
        metrics.apply_temperature([np.nan], 1, kind="binary")
    with pytest.raises(MetricError, match="one column per class"):
        metrics.fit_temperature([1.0, 2.0], [0, 1], kind="multiclass")
    with pytest.raises(MetricError, match="exactly one 1"):
        metrics.fit_temperature([[1.0, 2.0]], [[1, 1]], kind="multiclass")
    with pytest.raises(MetricError, match="same shape"):
        metrics.fit_temperature([1.0, 2.0], [0, 1, 1], kind="binary")


def test_calibration_line_has_the_sandwich_variance() -> None:
    rng = np.random.default_rng(10)
    logits = rng.normal(0, 1, 24)
    labels = (rng.random(24) < special.expit(logits)).astype(float)
    patients = np.arange(24) // 3
    line = metrics.calibration_line(labels, special.expit(logits), patients=patients.astype(str))
    design = np.column_stack([np.ones(24), logits])
    shares = special.expit(design @ [line.intercept.value, line.slope.value])
    bread = np.linalg.inv(
        sum(p * (1 - p) * np.outer(x, x) for p, x in zip(shares, design, strict=True))
    )
    scores = [((labels - shares)[:, None] * design)[patients == i].sum(axis=0) for i in range(8)]
    covariance = bread @ sum(np.outer(s, s) for s in scores) @ bread * 8 / 7
    sides = [len(np.unique(patients[labels == side])) for side in (0, 1)]
    half = stats.t.ppf(0.975, min(sides) - 1) * np.sqrt(np.diag(covariance))
    for one, expected in zip((line.intercept, line.slope), half, strict=True):
        assert (one.high - one.low) / 2 == pytest.approx(expected, rel=1e-6)

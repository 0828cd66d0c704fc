"""Claims about the net benefit hold at all thresholds together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from plainfilm import metrics
from plainfilm.metrics.decision_band import gain_limits

Array = NDArray[np.float64]
AT = np.array(metrics.THRESHOLDS)


def useless(seed: int, n: int, prevalence: float) -> tuple[Array, Array, NDArray[np.str_]]:
    """Draw labels, probabilities that do not depend on them, and patients of one to six images."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), rng.integers(1, 7, n))[:n]
    labels = (rng.random(n) < prevalence)[patients].astype(float)
    return labels, expit(logit(prevalence) + rng.normal(size=n)), patients.astype(str)


def test_a_useless_model_is_hardly_ever_called_useful() -> None:
    claims = pointwise = 0
    for seed in range(120):
        labels, chances, patients = useless(seed, 150, 0.05 if seed % 2 else 0.3)
        keys = patients if seed % 4 < 2 else None
        curve = metrics.decision_curve(labels, chances, keys, n_bootstrap=150, seed=seed)
        claims += bool(curve.useful)
        # The lower limit at each threshold alone is often above both of the other strategies.
        pointwise += bool(np.any(curve.low > np.maximum(curve.treat_all_high, 0) + 1e-12))
    assert claims / 120 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 120)
    assert claims <= pointwise


def test_ten_negatives_below_a_threshold_do_not_prove_a_gain() -> None:
    # One positive image among them would turn the gain over acting on all into a loss.
    labels = np.r_[np.zeros(10), np.zeros(60), np.ones(30)]
    chances = np.r_[np.full(10, 0.001), np.full(60, 0.4), np.full(30, 0.6)]
    curve = metrics.decision_curve(labels, chances, n_bootstrap=300)
    assert not curve.better[AT <= 0.05].any()
    assert curve.better[(AT > 0.45) & (AT < 0.55)].all()


def test_a_good_model_is_useful_and_the_band_contains_the_pointwise_limits() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(2000) < 0.3).astype(float)
    chances = expit(1.8 * (1.8 * labels + rng.normal(size=2000)) - 1.62 + logit(0.3))
    curve = metrics.decision_curve(labels, chances, n_bootstrap=500)
    assert np.all(curve.band_low <= curve.low) and np.all(curve.high <= curve.band_high)
    middle = (AT > 0.2) & (AT < 0.5)
    assert curve.better[middle].all()
    widths = (curve.band_high - curve.band_low)[middle] / (curve.high - curve.low)[middle]
    assert np.all((widths > 1.2) & (widths < 2.5))


def test_outcomes_are_counted_by_image_and_by_patient() -> None:
    labels, chances, patients = useless(3, 80, 0.4)
    groups = np.unique(patients, return_inverse=True)[1]
    found = metrics.DecisionOutcomes.of(labels == 1, chances, groups, AT)
    for row, threshold in enumerate(AT):
        called = chances >= threshold
        for name, by_patient, rows in (
            ("hits", "detected", called & (labels == 1)),
            ("alarms", "alarmed", called & (labels == 0)),
            ("misses", "missed", ~called & (labels == 1)),
            ("clears", None, ~called & (labels == 0)),
        ):
            assert np.isclose(getattr(found, name)[row], rows.mean())
            if by_patient:
                assert getattr(found, by_patient)[row] == len(set(patients[rows]))
    assert found.patients == len(set(patients))


def test_lower_limits_of_the_gains_are_below_the_gains() -> None:
    labels, chances, patients = useless(4, 200, 0.3)
    groups, count = metrics.group_index(patients, 200)
    statistic = metrics.decision_statistic(labels == 1, chances, groups, count, AT)
    rng = np.random.default_rng(0)
    [drawn] = metrics.replicate([statistic], patients=count, images=200, n_bootstrap=200, rng=rng)
    value = statistic(np.ones((1, count)))[:, 0]
    outcomes = metrics.DecisionOutcomes.of(labels == 1, chances, groups, AT)
    low, high, over_none, over_all = gain_limits(value, drawn, AT, outcomes, level=0.95)
    odds = AT / (1 - AT)
    treat_all = value[-1] - (1 - value[-1]) * odds
    assert np.all(over_none <= value[:-1]) and np.all(over_all <= value[:-1] - treat_all)
    assert np.all(low <= value[:-1]) and np.all(value[:-1] <= high)

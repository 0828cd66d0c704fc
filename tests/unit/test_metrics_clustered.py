"""Tests the interval of an AUROC where a patient has several images."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.errors import MetricError
from plainfilm.metrics.auroc import clustered_delong, delong
from plainfilm.metrics.bootstrap import clustered_bootstrap
from plainfilm.metrics.ranking import roc_auc_score


def draw_clustered(patients, images, seed, mixed=False, effect=1.0):
    """Draw scores whose images of one patient share most of their chance."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), images)
    ill = rng.random(patients) < 0.5
    truth = rng.random(len(groups)) < 0.5 if mixed else ill[groups]
    own = rng.normal(size=patients)[groups]
    scores = effect * truth + 0.8 * own + 0.6 * rng.normal(size=len(groups))
    return truth.astype(float), scores, groups


def test_one_image_a_patient_is_delong():
    truth, scores, groups = draw_clustered(200, 1, 0)
    assert clustered_delong(truth, scores, groups) == delong(truth, scores)
    assert clustered_delong(truth, scores, groups[::-1], level=0.9) == delong(
        truth, scores, level=0.9
    )


def test_the_value_is_the_auroc_and_order_and_names_do_not_matter():
    truth, scores, groups = draw_clustered(60, 4, 1)
    interval = clustered_delong(truth, scores, groups)
    assert interval.value == pytest.approx(roc_auc_score(truth, scores))
    order = np.random.default_rng(0).permutation(len(truth))
    names = np.array([f"patient {n}" for n in groups])
    again = clustered_delong(truth[order], scores[order], names[order])
    assert (again.low, again.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("mixed", [False, True])
def test_it_agrees_with_the_bootstrap_over_patients(mixed):
    truth, scores, groups = draw_clustered(300, 3, 2, mixed)
    ours = clustered_delong(truth, scores, groups)
    patients = groups.astype(str)
    drawn = clustered_bootstrap("auroc", truth, scores, patients, n_bootstrap=1500, seed=0)
    assert ours.high - ours.low == pytest.approx(drawn.high - drawn.low, rel=0.08)
    assert ours.low == pytest.approx(drawn.low, abs=0.008)


def test_images_of_one_patient_count_less_than_those_of_many():
    truth, scores, groups = draw_clustered(80, 5, 3)
    clustered = clustered_delong(truth, scores, groups)
    naive = delong(truth, scores)
    assert clustered.high - clustered.low > 1.5 * (naive.high - naive.low)


@pytest.mark.parametrize("mixed", [False, True])
def test_it_covers_the_truth_as_often_as_it_says(mixed):
    # Difference of two scores has variance 2; between normal scores the AUROC is known.
    from scipy.stats import norm

    truth_value = norm.cdf(1 / np.sqrt(2))
    inside = 0
    for seed in range(400):
        interval = clustered_delong(*draw_clustered(120, 3, 100 + seed, mixed))
        inside += interval.low <= truth_value <= interval.high
    assert 0.92 <= inside / 400 <= 0.98


def test_a_perfect_score_has_an_interval_too():
    truth = np.repeat([0.0, 1.0], 30)
    interval = clustered_delong(truth, truth, np.repeat(np.arange(30), 2))
    assert interval.value == 1.0
    assert 0.5 < interval.low < 1.0
    assert interval.reason


def test_unknown_labels_are_left_out():
    truth, scores, groups = draw_clustered(60, 3, 4)
    more = np.concatenate([truth, [np.nan, np.nan]])
    with_unknown = clustered_delong(
        more, np.concatenate([scores, [9, -9]]), np.concatenate([groups, [0, 777]])
    )
    assert with_unknown == clustered_delong(truth, scores, groups)


def test_one_class_alone_has_no_auroc():
    interval = clustered_delong([1, 1, 1], [1, 2, 3], [0, 0, 1])
    assert np.isnan(interval.value)
    assert "no negative image" in interval.reason


def test_every_image_needs_a_patient():
    with pytest.raises(MetricError, match="needs a patient"):
        clustered_delong([0, 1], [0.1, 0.2], [1])

"""Tests the small models against scikit-learn, and that no model is fitted to its test patients."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.audit.crossval import (
    _RIDGE,
    _fit,
    cross_validated_scores,
    encode_metadata,
    standardise_columns,
)
from plainfilm.metrics.ranking import roc_auc_score


def simulate(count=400, width=5, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    y_true = rng.random(count) < 1 / (1 + np.exp(-(features @ np.arange(width) * 0.5 - 0.7)))
    return features, y_true


def test_the_ridge_logistic_regression_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    features, y_true = simulate()
    design = np.column_stack([np.ones(len(features)), features])
    ours = _fit(design, y_true.astype(float), np.zeros(6))
    theirs = linear.LogisticRegression(C=1 / _RIDGE, tol=1e-10, max_iter=1000).fit(features, y_true)
    assert ours[1:] == pytest.approx(theirs.coef_[0], abs=2e-4)
    assert ours[0] == pytest.approx(
        theirs.intercept_[0], abs=2e-3
    )  # ours has a small ridge penalty


def test_the_fit_maximises_the_penalised_likelihood():
    optimise = pytest.importorskip("scipy.optimize")
    features, y_true = simulate(seed=1)
    design = np.column_stack([np.ones(len(features)), features])
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[0] = 1e-3

    def loss(weights):
        logits = design @ weights
        return np.logaddexp(0, logits).sum() - logits[y_true].sum() + ridge @ weights**2 / 2

    best = optimise.minimize(loss, np.zeros(design.shape[1]), tol=1e-10).x
    for start in (np.zeros(design.shape[1]), best + 1.0):
        assert _fit(design, y_true.astype(float), start) == pytest.approx(best, abs=1e-4)


def test_informative_features_predict_and_noise_does_not():
    features, y_true = simulate(1000)
    groups = np.arange(1000)
    scores = cross_validated_scores(features, y_true, groups)
    assert roc_auc_score(y_true, scores) > 0.8
    noise = np.random.default_rng(2).normal(size=(1000, 5))
    scores = cross_validated_scores(noise, y_true, groups)
    assert abs(roc_auc_score(y_true, scores) - 0.5) < 0.06


def test_a_patient_is_not_recognised():
    # Each patient has a feature of its own and ten images, so that a model that was fitted to some
    # of them predicts the others perfectly.
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(60), 10)
    y_true = np.repeat(rng.random(60) < 0.5, 10)
    features = np.eye(60)[patients] * 10
    scores = cross_validated_scores(features, y_true, patients)
    assert roc_auc_score(y_true, scores) < 0.6
    leaking = cross_validated_scores(features, y_true, np.arange(600))
    assert roc_auc_score(y_true, leaking) > 0.95


def test_too_few_patients_give_no_scores():
    features, y_true = simulate(90)
    assert cross_validated_scores(features, y_true, np.arange(90) % 9) is None


def test_a_class_of_one_patient_gives_no_scores():
    y_true = np.zeros(60, bool)
    y_true[0] = True
    assert cross_validated_scores(np.ones((60, 1)), y_true, np.arange(60)) is None


def test_standardised_columns_have_mean_zero_and_unit_variance():
    columns = standardise_columns(np.column_stack([np.arange(10.0), np.full(10, 3.0)]))
    assert columns.mean(axis=0) == pytest.approx([0, 0])
    assert columns.std(axis=0) == pytest.approx([1, 0])


def test_numbers_become_steps_and_strings_indicators():
    encoded = encode_metadata([list(range(80)), ["a", "b"] * 40, ["same"] * 80])
    assert encoded.shape == (80, 7 + 1 + 2)
    assert set(np.unique(encoded)) == {0.0, 1.0}
    assert encoded[:, -2:].sum(axis=1).tolist() == [1.0] * 80


def test_missing_numbers_differ_from_small_ones():
    values = [float("nan")] * 20 + [float(n) for n in range(60)]
    encoded = encode_metadata([values])
    assert len({tuple(row) for row in encoded[:20].tolist()}) == 1
    assert tuple(encoded[0].tolist()) not in {tuple(row) for row in encoded[20:].tolist()}


def test_metadata_without_values_make_no_column():
    assert encode_metadata([]).shape == (0, 0)
    assert encode_metadata([[None] * 5]).shape == (5, 0)

"""The small models are the ones that scikit-learn fits, and never see the patient they judge."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.audit.crossval import (
    _RIDGE,
    _fit,
    cross_validated_scores,
    encode_metadata,
    standard_columns,
)
from plainfilm.metrics.ranking import roc_auc_score


def drawn(count=400, width=5, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, width))
    truth = rng.random(count) < 1 / (1 + np.exp(-(rows @ np.arange(width) * 0.5 - 0.7)))
    return rows, truth


def test_the_ridge_logistic_regression_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    rows, truth = drawn()
    ours = _fit(np.column_stack([np.ones(len(rows)), rows]), truth.astype(float), np.zeros(6))
    theirs = linear.LogisticRegression(C=1 / _RIDGE, tol=1e-10, max_iter=1000).fit(rows, truth)
    assert ours[1:] == pytest.approx(theirs.coef_[0], abs=2e-4)
    assert ours[0] == pytest.approx(theirs.intercept_[0], abs=2e-3)  # ours has a whiff of ridge


def test_it_is_the_maximum_of_the_penalised_likelihood():
    optimise = pytest.importorskip("scipy.optimize")
    rows, truth = drawn(seed=1)
    full = np.column_stack([np.ones(len(rows)), rows])
    ridge = np.full(full.shape[1], _RIDGE)
    ridge[0] = 1e-3

    def loss(weights):
        logits = full @ weights
        return np.logaddexp(0, logits).sum() - logits[truth].sum() + ridge @ weights**2 / 2

    best = optimise.minimize(loss, np.zeros(full.shape[1]), tol=1e-10).x
    for start in (np.zeros(full.shape[1]), best + 1.0):
        assert _fit(full, truth.astype(float), start) == pytest.approx(best, abs=1e-4)


def test_what_can_be_told_is_told_and_noise_is_not():
    rows, truth = drawn(1000)
    groups = np.arange(1000)
    told = cross_validated_scores(rows, truth, groups)
    assert roc_auc_score(truth, told) > 0.8
    noise = np.random.default_rng(2).normal(size=(1000, 5))
    guessed = cross_validated_scores(noise, truth, groups)
    assert abs(roc_auc_score(truth, guessed) - 0.5) < 0.06


def test_a_patient_is_not_known_again():
    # Each patient has a mark of its own and ten images: who may see others of them knows all.
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(60), 10)
    truth = np.repeat(rng.random(60) < 0.5, 10)
    rows = np.eye(60)[patients] * 10
    told = cross_validated_scores(rows, truth, patients)
    assert roc_auc_score(truth, told) < 0.6
    leaking = cross_validated_scores(rows, truth, np.arange(600))
    assert roc_auc_score(truth, leaking) > 0.95


def test_too_few_patients_are_no_evidence():
    rows, truth = drawn(90)
    assert cross_validated_scores(rows, truth, np.arange(90) % 9) is None


def test_a_class_of_one_patient_is_no_evidence():
    truth = np.zeros(60, bool)
    truth[0] = True
    assert cross_validated_scores(np.ones((60, 1)), truth, np.arange(60)) is None


def test_standard_columns_have_mean_zero_and_spread_one():
    rows = np.column_stack([np.arange(10.0), np.full(10, 3.0)])
    columns = standard_columns(rows)
    assert columns.mean(axis=0) == pytest.approx([0, 0])
    assert columns.std(axis=0) == pytest.approx([1, 0])


def test_numbers_become_steps_and_words_indicators():
    coded = encode_metadata([list(range(80)), ["a", "b"] * 40, ["same"] * 80])
    assert coded.shape == (80, 7 + 1 + 2)
    assert set(np.unique(coded)) == {0.0, 1.0}
    assert coded[:, -2:].sum(axis=1).tolist() == [1.0] * 80


def test_absent_numbers_are_told_from_small_ones():
    values = [float("nan")] * 20 + [float(n) for n in range(60)]
    coded = encode_metadata([values])
    assert len({tuple(row) for row in coded[:20].tolist()}) == 1
    assert tuple(coded[0].tolist()) not in {tuple(row) for row in coded[20:].tolist()}


def test_metadata_that_nobody_has_make_no_column():
    assert encode_metadata([]).shape == (0, 0)
    assert encode_metadata([[None] * 5]).shape == (5, 0)

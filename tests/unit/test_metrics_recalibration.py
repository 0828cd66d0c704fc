"""Recalibration equals the logistic regression of scikit-learn and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from plainfilm.errors import MetricError
from plainfilm.metrics import calibration_line
from plainfilm.metrics.recalibration import (
    apply_recalibration,
    fit_recalibration,
    recalibration_of,
)
from plainfilm.records import Recalibration


def binary_sample(n=400, seed=0):
    """Draw log odds, labels and patients with a true slope of 0.6 and intercept of -1."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=n)
    labels = (rng.random(n) < expit(0.6 * logits - 1)).astype(float)
    return logits, labels, rng.integers(0, n // 3, n)


def class_sample(n=400, seed=1):
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, 3))
    chances = softmax(0.7 * logits + [0.5, -0.5, 0.0], axis=1)
    labels = np.eye(3)[[rng.choice(3, p=one) for one in chances]]
    return logits, labels, rng.integers(0, n // 3, n)


def test_values_equal_those_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    logits, labels, _ = binary_sample()
    model = linear.LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky")
    model.fit(logits[:, None], labels)
    [fit] = fit_recalibration(logits[:, None], labels[:, None], kind="binary")
    assert fit.slope.value == pytest.approx(model.coef_[0, 0], abs=1e-6)
    assert fit.intercept.value == pytest.approx(model.intercept_[0], abs=1e-6)
    assert fit.note is None


def test_limits_equal_a_jackknife_over_patients_with_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    from scipy.stats import t

    logits, labels, patients = binary_sample()
    model = api.Logit(labels, api.add_constant(logits))
    fitted = model.fit(disp=0, tol=1e-14)
    scores, total = model.score_obs(fitted.params), -model.hessian(fitted.params)
    steps = []
    for patient in np.unique(patients):
        own = patients == patient
        part = api.Logit(labels[own], api.add_constant(logits, has_constant="add")[own])
        rest = total + part.hessian(fitted.params)
        steps.append(np.linalg.solve(rest, scores[own].sum(axis=0)))
    count = len(steps)
    errors = np.sqrt((np.square(steps)).sum(axis=0) * (count - 1) / count)
    fewest = min(len(np.unique(patients[labels == one])) for one in (0, 1))
    half = t.ppf(0.975, fewest - 1) * errors
    # It is a little wider than the sandwich.
    options = {"groups": patients, "use_correction": False}
    sandwich = model.fit(disp=0, tol=1e-14, cov_type="cluster", cov_kwds=options).bse
    assert (errors > sandwich).all()
    assert errors == pytest.approx(sandwich, rel=0.05)
    [fit] = fit_recalibration(
        logits[:, None], labels[:, None], kind="binary", patients=patients.astype(str)
    )
    for interval, value, wide in zip((fit.intercept, fit.slope), fitted.params, half, strict=True):
        assert interval.value == pytest.approx(value, abs=1e-9)
        assert interval.high - interval.value == pytest.approx(wide, rel=1e-6)
        assert interval.value - interval.low == pytest.approx(wide, rel=1e-6)


def test_a_binary_fit_is_the_calibration_line_and_unknown_labels_are_left_out():
    logits, labels, patients = binary_sample(120, seed=3)
    labels[::7] = np.nan
    keys = patients.astype(str)
    line = calibration_line(labels, expit(logits), patients=keys)
    both = np.column_stack([labels, 1 - labels])
    fits = fit_recalibration(
        np.column_stack([logits, -logits]), both, kind="multilabel", patients=keys
    )
    assert fits[0].slope.value == pytest.approx(line.slope.value, abs=1e-7)
    assert fits[0].intercept.value == pytest.approx(line.intercept.value, abs=1e-7)
    # The mirrored label has the same slope and the opposite intercept.
    assert fits[1].slope.value == pytest.approx(fits[0].slope.value, abs=1e-9)
    assert fits[1].intercept.value == pytest.approx(-fits[0].intercept.value, abs=1e-9)


def test_several_classes_have_one_slope_and_intercepts_of_the_highest_likelihood():
    logits, labels, patients = class_sample()

    def loss(weights):
        intercepts = np.append(weights[1:], -weights[1:].sum())
        return -float((log_softmax(weights[0] * logits + intercepts, axis=1) * labels).sum())

    best = minimize(loss, [1.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-9})
    fits = fit_recalibration(logits, labels, kind="multiclass", patients=patients.astype(str))
    assert len({fit.slope for fit in fits}) == 1
    assert fits[0].slope.value == pytest.approx(best.x[0], abs=1e-5)
    assert [fit.intercept.value for fit in fits[:2]] == pytest.approx(best.x[1:], abs=1e-5)
    assert sum(fit.intercept.value for fit in fits) == pytest.approx(0, abs=1e-9)
    assert all(fit.intercept.low < fit.intercept.value < fit.intercept.high for fit in fits)


def test_two_classes_are_a_binary_task():
    logits, labels, patients = binary_sample(200, seed=4)
    keys = patients.astype(str)
    [one] = fit_recalibration(logits[:, None], labels[:, None], kind="binary", patients=keys)
    two = fit_recalibration(
        np.column_stack([np.zeros(200), logits]),
        np.column_stack([1 - labels, labels]),
        kind="multiclass",
        patients=keys,
    )
    assert two[0].slope.high == pytest.approx(one.slope.high, abs=1e-6)
    # The sum of both intercepts is 0, so each is half the difference.
    assert 2 * two[1].intercept.low == pytest.approx(one.intercept.low, abs=1e-6)


def test_separated_classes_keep_the_slope_and_fit_the_intercept():
    logits = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]) + 4
    labels = np.array([0.0, 0, 0, 1, 1, 1])
    [fit] = fit_recalibration(logits[:, None], labels[:, None], kind="binary")
    assert fit.slope.value == 1
    assert math.isnan(fit.slope.low)
    assert fit.note == "the predictions separate the classes perfectly"
    assert expit(logits + fit.intercept.value).mean() == pytest.approx(0.5, abs=1e-7)
    classes = fit_recalibration(
        np.column_stack([-logits, logits - 8]), np.column_stack([1 - labels, labels]),
        kind="multiclass",
    )  # fmt: skip
    assert {one.note for one in classes} == {fit.note}


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_without_images_of_a_class_nothing_changes(kind):
    logits = np.random.default_rng(0).normal(size=(9, 1 if kind == "binary" else 2))
    labels = np.ones((9, 1)) if kind == "binary" else np.tile([1.0, 0.0], (9, 1))
    fits = fit_recalibration(logits, labels, kind=kind)
    found = recalibration_of(fits)
    np.testing.assert_array_equal(apply_recalibration(logits, found), logits)
    assert all(fit.note for fit in fits)


def test_two_recalibrations_are_one():
    first, second = Recalibration((2.0, 0.5), (1.0, -1.0)), Recalibration((3.0, 1.0), (0.5, 2.0))
    logits = np.random.default_rng(0).normal(size=(5, 2))
    twice = apply_recalibration(apply_recalibration(logits, first), second)
    np.testing.assert_allclose(apply_recalibration(logits, second.after(first)), twice)
    assert second.after(None) == second


def test_a_multiclass_label_needs_one_class():
    with pytest.raises(MetricError, match="exactly one 1"):
        fit_recalibration(np.zeros((3, 2)), np.ones((3, 2)), kind="multiclass")

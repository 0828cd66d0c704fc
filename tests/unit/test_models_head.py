"""The head's logistic regression, compared with scikit-learn's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plainfilm.errors import ConfigError
from plainfilm.models.head import Head, fit_head

PENALTY = 3.0
PRECISION = (np.float64, np.float32)


def _features(n: int = 3000, d: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.geomspace(1e-3, 1e3, d) + 5


def _labels(features: np.ndarray, outputs: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(features.shape[1], outputs)) / features.std(axis=0)[:, None]
    noise = rng.logistic(size=(len(features), outputs))
    return (features - features.mean(axis=0)) @ kernel + noise


def _reference(fitted: Head, features: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple:
    scaled = (features - fitted.mean) / fitted.deviation
    model = LogisticRegression(C=1 / PENALTY, tol=1e-10, max_iter=10_000)
    model.fit(scaled, y, sample_weight=weight)
    return model.coef_.T, model.intercept_


@pytest.mark.parametrize("kind", PRECISION)
def test_a_binary_head_is_that_of_scikit_learn_with_class_weights(kind: type) -> None:
    features = _features().astype(kind)
    y = (_labels(features, 1) > 0.8).astype(np.float32)
    weights = np.array([[0.7], [2.5]])
    fitted = fit_head(features, y, head="sigmoid", weights=weights, penalty=PENALTY)
    np.testing.assert_allclose(fitted.mean, features.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fitted.deviation, features.std(axis=0), rtol=0.5, atol=0.6)
    kernel, bias = _reference(fitted, features, y[:, 0], weights[y[:, 0].astype(int), 0])
    np.testing.assert_allclose(fitted.kernel, kernel, atol=1e-4)
    np.testing.assert_allclose(fitted.bias, bias, atol=1e-4)
    scaled = (features - fitted.mean) / fitted.deviation
    np.testing.assert_allclose(fitted.logits(features), scaled @ kernel + bias, atol=1e-3)


def test_two_outputs_of_a_binary_softmax_are_the_same_classifier() -> None:
    features = _features()
    y = (_labels(features, 1) > 0).astype(np.float32)
    both = [
        fit_head(features, y, head=head, weights=np.ones((2, 1)), penalty=PENALTY)
        for head in ("sigmoid", "softmax")
    ]
    one, two = (fitted.logits(features) for fitted in both)
    assert two.shape == (len(features), 2)
    np.testing.assert_allclose(two[:, 1:] - two[:, :1], one)


@pytest.mark.parametrize("kind", PRECISION)
def test_labels_of_a_multilabel_head_are_independent_and_unknown_ones_do_not_count(
    kind: type,
) -> None:
    features = _features().astype(kind)
    y = (_labels(features, 3) > 0.5).astype(np.float32)
    y[np.random.default_rng(2).random(y.shape) < 0.3] = np.nan
    weights = np.array([[1.0, 0.5, 2.0], [1.0, 3.0, 0.25]])
    fitted = fit_head(features, y, head="sigmoid", weights=weights, penalty=PENALTY)
    for label in range(3):
        known = ~np.isnan(y[:, label])
        own = y[known, label]
        weight = weights[own.astype(int), label]
        kernel, bias = _reference(fitted, features[known], own, weight)
        np.testing.assert_allclose(fitted.kernel[:, label], kernel[:, 0], atol=1e-4)
        np.testing.assert_allclose(fitted.bias[label], bias[0], atol=1e-4)


@pytest.mark.parametrize("kind", PRECISION)
def test_a_multiclass_head_is_that_of_scikit_learn_up_to_a_constant(kind: type) -> None:
    features = _features().astype(kind)
    classes = _labels(features, 4).argmax(axis=1)
    y = np.eye(4, dtype=np.float32)[classes]
    y[:50] = np.nan
    weights = np.array([np.ones(4), [1.0, 0.5, 2.0, 1.5]])
    fitted = fit_head(features, y, head="softmax", weights=weights, penalty=PENALTY)
    kernel, bias = _reference(fitted, features[50:], classes[50:], weights[1][classes[50:]])
    np.testing.assert_allclose(fitted.kernel, kernel, atol=1e-4)
    centred = fitted.bias - fitted.bias.mean()  # only differences of intercepts are determined
    np.testing.assert_allclose(centred, bias - bias.mean(), atol=1e-4)


def test_constant_features_and_labels_of_one_class_give_finite_coefficients() -> None:
    features = np.column_stack([np.full(200, 7.0), _features(200, 3)])
    y = np.column_stack([np.ones(200), _labels(features[:, 1:], 1) > 0, np.full(200, np.nan)])
    fitted = fit_head(features, y, head="sigmoid", weights=np.ones((2, 3)), penalty=1.0)
    logits = fitted.logits(features)
    assert np.isfinite(logits).all()
    assert (logits[:, 0] > 5).all()
    assert not fitted.kernel[0].any()
    same = fit_head(np.ones((9, 2)), y[:9], head="sigmoid", weights=np.ones((2, 3)), penalty=1.0)
    assert np.isfinite(same.logits(np.ones((4, 2)))).all()
    assert same.logits(np.ones((0, 2))).shape == (0, 3)


def test_values_that_cannot_be_fitted_are_refused() -> None:
    y = np.array([[0.0], [1.0]])
    for penalty in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="penalty must be"):
            fit_head(np.ones((2, 3)), y, head="sigmoid", weights=np.ones((2, 1)), penalty=penalty)
    damaged = np.array([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(ConfigError, match="not finite") as caught:
        fit_head(damaged, y, head="sigmoid", weights=np.ones((2, 1)), penalty=1)
    assert caught.value.received == "1 of 2 features"


def test_the_head_needs_no_training_framework() -> None:
    code = "import sys, plainfilm.models.head; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

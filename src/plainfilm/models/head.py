"""Fits the last layer of a network: logistic regression on features, without a training framework.

The loss is that of training (`plainfilm.training.losses`): NaN labels have none, and each 0 and 1
of a label has a weight. The squares of the coefficients of standardised features are penalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ConfigError

__all__ = ["Head", "fit_head"]

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating[Any]]

_ROWS = 256  # rows that are converted and multiplied at once, in the processor's cache
_FLOOR = 1e-3  # of the mean deviation, added to each: nearly constant features stay small
_GRADIENT = 1e-8  # largest component of the gradient of the mean loss at the optimum
_STEPS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear layer on standardised features.

    Attributes
    ----------
    mean, deviation
        What is subtracted from each feature (d,), and what the difference is divided by.
    kernel, bias
        Coefficients (d, outputs) and intercepts (outputs,).
    """

    mean: Floats
    deviation: Floats
    kernel: Floats
    bias: Floats

    def logits(self, features: Matrix) -> Floats:
        """Return the logits (n, outputs) of features (n, d)."""
        kernel = self.kernel / self.deviation[:, None]
        offset = self.bias - self.mean @ kernel
        parts = [features[rows].astype(np.float64) @ kernel for rows in _chunks(len(features))]
        return np.concatenate(parts) + offset if parts else np.empty((0, len(offset)))


def fit_head(
    features: Matrix,
    labels: NDArray[np.floating[Any]],
    *,
    head: Literal["sigmoid", "softmax"],
    weights: Matrix,
    penalty: float,
) -> Head:
    """Fit a logistic regression of labels on features by L-BFGS.

    It minimises the sum of the weighted losses of all images plus ``penalty / 2`` times the sum of
    the squared coefficients, as scikit-learn's ``LogisticRegression(C=1 / penalty)`` does. The
    intercepts are not penalised. If each image is present in several copies, multiply the penalty
    by their number.

    Parameters
    ----------
    features
        Finite values (n, d).
    labels
        0, 1 or NaN, (n, labels).
    head
        ``sigmoid``: one output for each label; ``softmax``: one for each class. A single label has
        two classes, whose outputs have opposite coefficients.
    weights
        Weights of a 0 and a 1 of each label, (2, labels), as `class_weights` returns them. For
        softmax with several labels only those of a 1 are used.
    penalty
        Strength of the penalty, above 0.

    Raises
    ------
    ConfigError
        If the penalty is not above 0, or a feature is not finite.
    """
    if not 0 < penalty < float("inf"):
        raise ConfigError("the penalty must be a finite number above 0", received=penalty)
    mean, deviation = _moments(features)
    y_true, own = _targets(labels, np.asarray(weights, np.float64), head)
    shared = head == "softmax" and labels.shape[1] > 1
    kernel, bias = _minimise(features, mean, deviation, y_true, own, penalty, softmax=shared)
    if head == "softmax" and not shared:
        kernel, bias = (np.concatenate([-half, half], axis=-1) for half in (kernel / 2, bias / 2))
    return Head(mean, deviation, kernel, bias)


def _moments(features: Matrix) -> tuple[Floats, Floats]:
    """Return the mean of each feature, and its standard deviation plus a small floor."""
    count = len(features)
    chunks = _chunks(count)
    mean = sum(features[rows].sum(axis=0, dtype=np.float64) for rows in chunks) / count
    if not np.isfinite(mean).all():
        raise ConfigError(
            "some features are not finite",
            received=f"{int((~np.isfinite(mean)).sum())} of {len(mean)} features",
            remedy="check the encoder and the range of values that it expects",
        )
    squares = sum(np.square(features[rows] - mean).sum(axis=0) for rows in chunks)
    deviation = np.sqrt(squares / count)
    floor = _FLOOR * float(deviation.mean())
    return mean, deviation + (floor if floor > 0 else 1.0)


def _targets(labels: Matrix, weights: Floats, head: str) -> tuple[Floats, Floats]:
    """Return labels without NaN and the weight of each; unknown ones have weight 0."""
    known = ~np.isnan(labels)
    y_true = np.where(known, labels, 0.0).astype(np.float64)
    if head == "softmax" and labels.shape[1] > 1:
        weight = (y_true * weights[1]).sum(axis=1, keepdims=True)
        return y_true, weight * known.all(axis=1, keepdims=True)
    return y_true, known * (y_true * weights[1] + (1 - y_true) * weights[0])


def _minimise(
    features: Matrix,
    mean: Floats,
    deviation: Floats,
    y_true: Floats,
    weight: Floats,
    penalty: float,
    *,
    softmax: bool,
) -> tuple[Floats, Floats]:
    """Return the kernel (d, labels) and bias (labels,) of the smallest loss."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_softmax

    width, outputs = features.shape[1], y_true.shape[1]
    total = max(float(weight.sum()), 1e-12)
    data = np.empty(features.shape, np.result_type(features.dtype, np.float32))
    for rows in _chunks(len(features)):
        data[rows] = (features[rows] - mean) / deviation

    def loss(flat: Floats) -> tuple[float, Floats]:
        kernel, bias = flat[:-outputs].reshape(width, outputs), flat[-outputs:]
        value = 0.5 * penalty * float(np.square(kernel).sum())
        slope, level = penalty * kernel, np.zeros(outputs)
        for rows in _chunks(len(data)):
            some = data[rows].astype(np.float64)
            logits = some @ kernel + bias
            if softmax:
                log_prob = log_softmax(logits, axis=1)
                value -= float((weight[rows] * y_true[rows] * log_prob).sum())
                error = weight[rows] * (np.exp(log_prob) - y_true[rows])
            else:
                entropy = np.logaddexp(0, logits) - y_true[rows] * logits
                value += float((weight[rows] * entropy).sum())
                error = weight[rows] * (expit(logits) - y_true[rows])
            slope = slope + some.T @ error
            level = level + error.sum(axis=0)
        return value / total, np.append(slope.reshape(-1), level) / total

    options = {"maxiter": _STEPS, "maxfun": 2 * _STEPS, "gtol": _GRADIENT, "ftol": 0.0}
    start = np.zeros((width + 1) * outputs)
    found = minimize(loss, start, method="L-BFGS-B", jac=True, options=options)
    flat = np.asarray(found.x, np.float64)
    return flat[:-outputs].reshape(width, outputs), flat[-outputs:]


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + _ROWS) for start in range(0, count, _ROWS)]

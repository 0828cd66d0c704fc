"""Fits one temperature for all logits on the validation set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, as_labels, as_scores
from plainfilm.records import TaskKind

TEMPERATURES = (0.25, 10.0)
"""Range to which temperatures are clipped."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """The divisor of logits with the best fit on the validation set.

    Attributes
    ----------
    value
        Above 1 it makes probabilities less extreme, below 1 more extreme.
    determined
        Whether the data determine it.
    note
        Reason why they do not, or None.
    loss_before, loss_after
        Mean log loss at temperature 1 and at ``value``, in nats; NaN without known labels.
    """

    value: float
    determined: bool
    note: str | None
    loss_before: float
    loss_after: float


def apply_temperature(logits: ArrayLike, temperature: float, *, kind: TaskKind) -> Floats:
    """Return the probabilities of logits.

    Parameters
    ----------
    logits
        Logits (n,) or (n, labels), finite.
    temperature
        Divisor, above 0.
    kind
        ``multiclass`` uses the softmax of the last axis; ``binary`` and ``multilabel`` use the
        sigmoid.
    """
    from scipy.special import expit, softmax

    values = np.asarray(logits, dtype=np.float64)
    if not (math.isfinite(temperature) and temperature > 0):
        raise MetricError("the temperature must be above 0", received=temperature)
    values = as_scores(values, values.shape, name="logits") / temperature
    probabilities: Floats = softmax(values, axis=-1) if kind == "multiclass" else expit(values)
    return probabilities


def fit_temperature(
    logits: ArrayLike, y_true: ArrayLike, *, kind: TaskKind, weights: ArrayLike | None = None
) -> Temperature:
    """Fit one temperature by maximum likelihood.

    With one class, or with classes that the logits separate perfectly, the likelihood has no finite
    maximum; the temperature stays at 1, with a note. Outside `TEMPERATURES` it is clipped, with a
    note.

    Parameters
    ----------
    logits, kind
        See `apply_temperature`.
    y_true
        Labels of the same shape, 1, 0 or NaN. For ``multiclass`` a row has exactly one 1; a row
        with NaN is left out.
    weights
        Weights of the images (n,), 0 or more; 1 by default.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun & K. Q. Weinberger, On calibration of modern neural networks,
    ICML 2017.
    """
    scores = np.asarray(logits, dtype=np.float64)
    truth = as_labels(y_true, dimensions=scores.ndim)
    scores = as_scores(scores, truth.shape, name="logits")
    mass = (
        np.ones(len(truth))
        if weights is None
        else as_scores(weights, truth.shape[:1], name="weights", low=0)
    )
    gaps, mass = _gaps(scores, truth, mass, kind)
    gaps, mass = gaps[mass > 0], mass[mass > 0]
    if not mass.size:
        return Temperature(1.0, False, "no image has a known label; left at 1", math.nan, math.nan)

    def loss(log_temperature: float) -> float:
        return float(np.average(_soft_losses(gaps / math.exp(log_temperature)), weights=mass))

    before = loss(0.0)
    note = _undetermined(gaps, truth, kind)
    if note is not None:
        return Temperature(1.0, False, note, before, before)
    value, note = _minimise(loss)
    return Temperature(value, note is None, note, before, loss(math.log(value)))


def _gaps(scores: Floats, truth: Floats, mass: Floats, kind: TaskKind) -> tuple[Floats, Floats]:
    """Return the logit of each other class minus that of the true class, and the weights.

    Shapes (m, others) and (m,). The loss of an image is log(1 + sum(exp(gap))) for both the sigmoid
    and the softmax.
    """
    if kind != "multiclass":
        keep = ~np.isnan(truth)
        signed = np.where(truth == 1, -scores, scores)
        spread = np.broadcast_to(mass.reshape((-1,) + (1,) * (scores.ndim - 1)), truth.shape)
        return signed[keep][:, None], spread[keep]
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise MetricError(
            "multiclass logits must have one column per class", received=f"shape {scores.shape}"
        )
    whole = ~np.isnan(truth.sum(axis=1))
    scores, truth, mass = scores[whole], truth[whole], mass[whole]
    if np.any(truth.sum(axis=1) != 1):
        raise MetricError("a multiclass label must have exactly one 1 per image")
    correct: Bools = truth == 1
    others = scores[~correct].reshape(len(scores), -1)
    return others - scores[correct][:, None], mass


def _soft_losses(gaps: Floats) -> Floats:
    from scipy.special import logsumexp

    losses: Floats = logsumexp(np.column_stack([np.zeros(len(gaps)), gaps]), axis=1)
    return losses


def _undetermined(gaps: Floats, truth: Floats, kind: TaskKind) -> str | None:
    if np.all(gaps == 0):
        return "all logits are equal; left at 1"
    if kind == "multiclass":
        classes = int(np.sum((truth == 1).any(axis=0)))
    else:
        classes = len(np.unique(truth[~np.isnan(truth)]))
    if classes < 2:
        return "the validation set has one class only; left at 1"
    if np.all(gaps <= 0):
        return "the logits separate the classes perfectly; left at 1"
    return None


def _minimise(loss: Callable[[float], float]) -> tuple[float, str | None]:
    """Minimise a loss of the log of the temperature within `TEMPERATURES`."""
    from scipy.optimize import minimize_scalar  # a slow import that predictions do not need

    low, high = (math.log(end) for end in TEMPERATURES)
    # The loss is convex in 1/T, so it has one minimum in log T as well.
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    for end, log_end in zip(TEMPERATURES, (low, high), strict=True):
        if loss(log_end) <= found.fun:
            return end, f"the best temperature is beyond {end:g}; clipped to it"
    return math.exp(float(found.x)), None

"""Computes statistics from the numbers of draws of patients, for many replicates at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from plainfilm.metrics._inputs import Bools, Floats, Ints
from plainfilm.metrics.calibration import log_losses
from plainfilm.metrics.ranking import standardised
from plainfilm.metrics.scores import RATES, rates

Statistic: TypeAlias = Callable[[Floats], Floats]
"""Maps draws (replicates, patients) to values (k, replicates)."""

RANKINGS = ("auroc", "average_precision", "partial_auroc")
"""Metrics of the order of the scores, in the order of `ranking_statistic`."""

MANY = 20_000
"""Number of patients above which they are pooled, and of images above which scores are binned."""

BLOCKS = 2000
"""Number of blocks into which very many patients are pooled.

Resampling sums over random blocks of patients shows the same spread as resampling patients. The
error of a standard error is about 1 / sqrt(2 `BLOCKS`), 1.6 %, no more than with 2,000 replicates.
"""

_SCORE_BINS = 2048


def draw_counts(patients: int, replicates: int, rng: np.random.Generator) -> Ints:
    """Draw whole patients with replacement; return how often each is drawn, (R, patients)."""
    drawn = rng.integers(0, patients, (replicates, patients))
    drawn += np.arange(replicates)[:, None] * patients
    tally = np.bincount(drawn.ravel(), minlength=replicates * patients)
    return tally.reshape(replicates, patients)


def pool(groups: Ints, patients: int, seed: int = 0) -> tuple[Ints, int]:
    """Return the groups to resample, blocks of patients if there are many, and their number.

    ``groups`` is the patient of each image, (n,), 0 to ``patients - 1``. Blocks are equally large
    within one patient; ``seed`` is that of the assignment.
    """
    if patients <= MANY:
        return groups, patients
    block = np.arange(patients, dtype=np.intp) % BLOCKS
    return np.random.default_rng(seed).permutation(block)[groups], BLOCKS


def ranking_statistic(
    positive: Bools, scores: Floats, groups: Ints, patients: int, *, max_fpr: float = 0.1
) -> Statistic:
    """Return the statistic (AUROC, average precision, partial AUROC).

    It sorts once and then takes cumulative sums of the drawn weights. For very many images (`MANY`)
    it counts the scores in bins by patient, which shows the same spread, and corrects the values by
    the effect of the bins on the original images.

    Label, score and patient are those of the images with known label, (n,). ``max_fpr`` is the
    upper end of the false positive rates of the partial AUROC, which is on McClish's scale.
    """
    weights = _score_weights(positive, scores, groups)
    if len(scores) <= MANY:
        return lambda draws: _areas(*weights(draws), max_fpr)
    ones = np.ones((1, patients))
    binned = _binned_weights(positive, scores, groups, patients)
    gap = _areas(*weights(ones), max_fpr) - _areas(*binned(ones), max_fpr)
    return lambda draws: _areas(*binned(draws), max_fpr) + gap


def counts_by_patient(groups: Ints, index: Ints, patients: int, size: int) -> Ints:
    """Return how many images of each patient have each index below ``size``, (patients, size)."""
    flat = np.bincount(groups * size + index, minlength=patients * size)
    return flat.reshape(patients, size)


_Weights: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]


def _score_weights(positive: Bools, scores: Floats, groups: Ints) -> _Weights:
    """Return a function of the draws to the weights of both classes, (R, distinct scores)."""
    order = np.argsort(-scores, kind="stable")
    columns, up = groups[order], positive[order].astype(np.float64)
    change = np.diff(scores[order]) != 0
    starts = np.flatnonzero(np.r_[True, change]) if change.size else np.arange(len(order))
    tied = len(starts) < len(order)

    def weights(draws: Floats) -> tuple[Floats, Floats]:
        weight = np.take(draws, columns, axis=1)
        plus = weight * up
        minus = weight - plus
        if tied:
            plus = np.add.reduceat(plus, starts, axis=1)
            minus = np.add.reduceat(minus, starts, axis=1)
        return plus, minus

    return weights


def _binned_weights(positive: Bools, scores: Floats, groups: Ints, patients: int) -> _Weights:
    """Return the same function with scores in bins of about equal count, highest first."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, _SCORE_BINS + 1)[1:-1]))
    index = len(edges) - np.searchsorted(edges, scores, side="right")
    size = len(edges) + 1
    tables = [
        counts_by_patient(groups[side], index[side], patients, size).astype(np.float32)
        for side in (positive, ~positive)
    ]

    def weights(draws: Floats) -> tuple[Floats, Floats]:
        # Integers far below 2**24, which single precision represents exactly.
        plus, minus = ((draws.astype(np.float32) @ table).astype(np.float64) for table in tables)
        return plus, minus

    return weights


def _areas(plus: Floats, minus: Floats, max_fpr: float) -> Floats:
    """Return AUROC, average precision and partial AUROC (3, R) of drawn weights (R, k)."""
    if not plus.shape[1]:
        return np.full((3, len(plus)), np.nan)
    area, fps, negatives = _area(plus, minus)
    tps = np.cumsum(plus, axis=1)
    positives = tps[:, -1]
    total = tps + fps
    precision = np.divide(tps, total, out=np.zeros_like(total), where=total > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_mean = np.einsum("rn,rn->r", plus, precision) / positives
        # The part of each trapezoid to the left of max_fpr.
        limit = max_fpr * negatives[:, None]
        inside = np.clip(limit - (fps - minus), 0, minus)
        share = np.divide(inside, minus, out=np.zeros_like(minus), where=minus > 0)
        part = np.einsum("rn,rn->r", inside, tps - plus + plus * share / 2)
        partial = standardised(part / (positives * negatives), max_fpr)
    return np.stack([area, precision_mean, partial])


def _area(plus: Floats, minus: Floats) -> tuple[Floats, Floats, Floats]:
    """Return AUROC (R,), the cumulative weight of negatives (R, k) and their sum (R,)."""
    fps = np.cumsum(minus, axis=1)
    negatives, positives = fps[:, -1], plus.sum(axis=1)
    above = np.einsum("rn,rn->r", plus, fps) - np.einsum("rn,rn->r", plus, minus) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = 1 - above / (positives * negatives)
    return area, fps, negatives


def totals_statistic(values: Floats, groups: Ints, patients: int) -> Statistic:
    """Return the statistic that sums the columns of ``values`` (n, k) over the drawn images."""
    columns = [np.bincount(groups, weights=column, minlength=patients) for column in values.T]
    summed = np.stack(columns, axis=1)

    def statistic(draws: Floats) -> Floats:
        total: Floats = (draws @ summed).T
        return total

    return statistic


def rates_statistic(positive: Bools, called: Bools, groups: Ints, patients: int) -> Statistic:
    """Return the statistic of all `RATES` of the predicted classes (n,)."""
    cells = (positive & called, ~positive & called, ~positive & ~called, positive & ~called)
    counts = totals_statistic(np.stack(cells, axis=1).astype(np.float64), groups, patients)
    return lambda draws: rates(*counts(draws))


def metric_statistic(
    metric: str, positive: Bools, values: Floats, called: Bools, groups: Ints, patients: int
) -> tuple[Statistic, int]:
    """Return a statistic and its row of a metric in `BOOTSTRAP_METRICS`."""
    if metric == "auroc" and 0 < len(values) <= MANY:
        # The AUROC alone takes a third of the time of all three.
        weights = _score_weights(positive, values, groups)
        return lambda draws: _area(*weights(draws))[0][None], 0
    if metric in RANKINGS:
        return ranking_statistic(positive, values, groups, patients), RANKINGS.index(metric)
    if metric in RATES:
        return rates_statistic(positive, called, groups, patients), RATES.index(metric)
    losses = (values - positive) ** 2 if metric == "brier" else log_losses(positive, values)
    sums = totals_statistic(np.stack([losses, np.ones_like(losses)], axis=1), groups, patients)

    def mean(draws: Floats) -> Floats:
        total, n = sums(draws)
        with np.errstate(invalid="ignore"):
            ratio: Floats = (total / n)[None]
        return ratio

    return mean, 0

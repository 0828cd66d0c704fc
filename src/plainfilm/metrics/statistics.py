"""Computes statistics from the numbers of draws of patients, for many replicates at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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
_PART = 1 << 20  # images that are counted at once, which bounds the memory


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
    if len(scores) <= MANY:
        weights = _score_weights(positive, scores, groups)
        return lambda draws: _areas(*weights(draws), max_fpr)
    binned = _binned_weights(positive, scores, groups, patients)
    exact = exact_areas(positive, scores, max_fpr)[:, None]
    gap = exact - _areas(*binned(np.ones((1, patients))), max_fpr)
    return lambda draws: _areas(*binned(draws), max_fpr) + gap


def score_bins(scores: Floats, bins: int = 256) -> Ints:
    """Return the bin of each score, 0 to ``bins - 1``, highest first, of about equal count."""
    sample = scores[:: 1 + len(scores) // _PART]
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, bins + 1)[1:-1]))
    return len(edges) - np.searchsorted(edges, scores, side="right")


def area_statistic(
    positive: Bools, scores: Floats, groups: Ints, patients: int, bins: Ints | None = None
) -> Statistic:
    """Return the statistic of the AUROC alone, (1, R); see `ranking_statistic`.

    For very many images, it counts the bins (n,) of the scores, by default `score_bins`; the spread
    of an AUROC alone needs fewer bins.
    """
    if len(scores) <= MANY:
        weights = _score_weights(positive, scores, groups)
        return lambda draws: _area(*weights(draws))[0][None]
    index = score_bins(scores) if bins is None else bins
    size = int(index.max()) + 1
    binned = _table_weights(
        counts_by_patient(groups[side], index[side], patients, size).astype(np.float32)
        for side in (positive, ~positive)
    )
    gap = exact_areas(positive, scores)[0] - _area(*binned(np.ones((1, patients))))[0]
    return lambda draws: (_area(*binned(draws))[0] + gap)[None]


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
    sample = scores[:: 1 + len(scores) // _PART]
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, _SCORE_BINS + 1)[1:-1]))
    size = len(edges) + 1
    tables = np.zeros((2, patients, size), np.float32)
    for start in range(0, len(scores), _PART):
        part = slice(start, start + _PART)
        index = len(edges) - np.searchsorted(edges, scores[part], side="right")
        for table, side in zip(tables, (positive[part], ~positive[part]), strict=True):
            table += counts_by_patient(groups[part][side], index[side], patients, size)

    return _table_weights(tables)


def _table_weights(tables: Iterable[NDArray[np.float32]]) -> _Weights:
    """Return the function of the draws for counts of both classes, (patients, bins) each."""
    up, down = tables

    def weights(draws: Floats) -> tuple[Floats, Floats]:
        # Integers far below 2**24, which single precision represents exactly.
        single = draws.astype(np.float32)
        return (single @ up).astype(np.float64), (single @ down).astype(np.float64)

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


def exact_areas(positive: Bools, scores: Floats, max_fpr: float = 0.1) -> Floats:
    """Return AUROC, average precision and partial AUROC (3,) of very many images.

    Takes less time and memory than `_areas`, since it sorts each class alone.
    """
    up, down = np.sort(scores[positive]), np.sort(scores[~positive])
    m, n = len(up), len(down)
    if not (m and n):
        weights = _score_weights(positive, scores, np.zeros(len(scores), np.intp))
        return _areas(*weights(np.ones((1, 1))), max_fpr)[:, 0]
    below = np.searchsorted(down, up, side="left")
    ties = np.searchsorted(down, up, side="right") - below
    area = (below.sum() + ties.sum() / 2) / (m * n)
    found = m - np.searchsorted(up, up, side="left")
    precision = float((found / (found + n - below)).mean())
    # The part of the curve up to the highest allowed number of negatives, by distinct score.
    limit = max_fpr * n
    top = down[-math.ceil(limit) :] if limit else down[:0]
    at = np.unique(top)
    before = n - np.searchsorted(down, at, side="right")
    minus = n - np.searchsorted(down, at, side="left") - before
    above = m - np.searchsorted(up, at, side="right")
    plus = m - np.searchsorted(up, at, side="left") - above
    inside = np.clip(limit - before, 0, minus)
    part = float(inside @ (above + plus * (inside / minus) / 2))
    return np.array([area, precision, float(standardised(part / (m * n), max_fpr))])


def _area(plus: Floats, minus: Floats) -> tuple[Floats, Floats, Floats]:
    """Return AUROC (R,), the cumulative weight of negatives (R, k) and their sum (R,)."""
    if not plus.shape[1]:
        nothing = np.full(len(plus), np.nan)
        return nothing, minus, nothing
    fps = np.cumsum(minus, axis=1)
    negatives, positives = fps[:, -1], plus.sum(axis=1)
    above = np.einsum("rn,rn->r", plus, fps) - np.einsum("rn,rn->r", plus, minus) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = 1 - above / (positives * negatives)
    return area, fps, negatives


def totals_statistic(values: Floats, groups: Ints, patients: int) -> Statistic:
    """Return the statistic that sums the columns of ``values`` (n, k) over the drawn images."""
    columns = [np.bincount(groups, weights=column, minlength=patients) for column in values.T]
    return sums_statistic(np.stack(columns, axis=1))


def sums_statistic(summed: Floats) -> Statistic:
    """Return the statistic that sums the rows of ``summed`` (patients, k) of the drawn patients."""

    def statistic(draws: Floats) -> Floats:
        total: Floats = (draws @ summed).T
        return total

    return statistic


def rates_statistic(positive: Bools, called: Bools, groups: Ints, patients: int) -> Statistic:
    """Return the statistic of all `RATES` of the predicted classes (n,)."""
    # True and false positives, then true and false negatives.
    cell = np.where(called, 0, 2) + np.where(positive == called, 0, 1)
    table = counts_by_patient(groups, cell, patients, 4).astype(np.float64)
    return lambda draws: rates(*(draws @ table).T)


def metric_statistic(
    metric: str, positive: Bools, values: Floats, called: Bools, groups: Ints, patients: int
) -> tuple[Statistic, int]:
    """Return a statistic and its row of a metric in `BOOTSTRAP_METRICS`."""
    if metric == "auroc" and 0 < len(values) <= MANY:
        # The AUROC alone takes a third of the time of all three.
        return area_statistic(positive, values, groups, patients), 0
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

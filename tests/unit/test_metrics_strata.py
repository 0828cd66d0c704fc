"""The AUROC within strata, against scikit-learn, brute force, the jackknife and the bootstrap."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from plainfilm.metrics import (
    Interval,
    association_test,
    clustered_delong,
    delong,
    newcombe,
    stratified_auroc,
    stratified_comparison,
    stratified_difference,
)


class Drawn(NamedTuple):
    labels: NDArray[np.float64]
    scores: NDArray[np.float64]
    strata: NDArray[np.str_]
    patients: NDArray[np.intp]


def draw(seed: int, n: int = 300, *, sizes: tuple[int, int] = (1, 4), gain: float = 1.0) -> Drawn:
    """Draw images of strata with other prevalences; a patient may have images of several."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), rng.integers(*sizes, n))[:n]
    strata = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    labels = rng.random(n) < np.array([0.2, 0.5, 0.8])[strata]
    scores = gain * labels - 1.2 * strata + 0.7 * rng.normal(size=n)[patients]
    scores = np.round(scores + 0.7 * rng.normal(size=n), 1)  # with ties
    return Drawn(labels.astype(float), scores, np.array(["AP", "PA", "LL"])[strata], patients)


def over_pairs(one: Drawn, rows: NDArray[np.intp]) -> tuple[float, float]:
    """Return the AUROC over all pairs and over those of one stratum, pair by pair."""
    labels, scores, strata = one.labels[rows], one.scores[rows], one.strata[rows]
    up, down = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    gaps = scores[up][:, None] - scores[down]
    wins = (gaps > 0) + 0.5 * (gaps == 0)
    same = strata[up][:, None] == strata[down]
    return float(wins.mean()), float(wins[same].mean())


def leave_one_out(one: Drawn) -> NDArray[np.float64]:
    """Return both AUROCs (patients, 2) without each patient."""
    keys = np.unique(one.patients)
    return np.array([over_pairs(one, np.flatnonzero(one.patients != key)) for key in keys])


def standard_error(values: NDArray[np.float64]) -> float:
    k = len(values)
    return math.sqrt((k - 1) / k * float(((values - values.mean()) ** 2).sum()))


def logit_error(found: Interval, one: Drawn) -> float:
    """Return the standard error of an interval on the logit scale."""
    low, high, value = found.low, found.high, found.value
    sides = [len(np.unique(one.patients[one.labels == side])) for side in (0, 1)]
    quantile = float(stats.t.ppf(0.975, min(sides) - 1))
    width = math.log(high / (1 - high)) - math.log(low / (1 - low))
    return width / (2 * quantile) * value * (1 - value)


def test_the_value_is_the_mean_of_the_strata_weighted_by_their_pairs() -> None:
    one = draw(1)
    areas, pairs = [], []
    for name in np.unique(one.strata):
        own = one.strata == name
        areas.append(roc_auc_score(one.labels[own], one.scores[own]))
        pairs.append(one.labels[own].sum() * (1 - one.labels[own]).sum())
    found = stratified_auroc(one.labels, one.scores, one.strata, patients=one.patients)
    assert found.value == pytest.approx(np.average(areas, weights=pairs), abs=1e-12)
    assert found.value == pytest.approx(over_pairs(one, np.arange(300))[1], abs=1e-12)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("sizes", [(1, 2), (1, 6)])
def test_errors_are_those_of_the_jackknife_by_patient(seed: int, sizes: tuple[int, int]) -> None:
    one = draw(seed, sizes=sizes)
    found = stratified_auroc(one.labels, one.scores, one.strata, patients=one.patients)
    gap = stratified_difference(one.labels, one.scores, one.strata, patients=one.patients)
    both = stratified_comparison(one.labels, one.scores, one.strata, patients=one.patients)
    assert both == (found, gap)
    left = leave_one_out(one)
    error = logit_error(found, one)
    assert error == pytest.approx(standard_error(left[:, 1]), rel=1e-9)
    assert gap.standard_error == pytest.approx(standard_error(left[:, 1] - left[:, 0]), rel=1e-9)


def test_errors_are_those_of_a_bootstrap_by_patient() -> None:
    one = draw(4, 200, sizes=(1, 5))
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(one.patients == key) for key in np.unique(one.patients)]
    drawn = np.array(
        [
            over_pairs(
                one, np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
            )
            for _ in range(1000)
        ]
    )
    found = stratified_auroc(one.labels, one.scores, one.strata, patients=one.patients)
    gap = stratified_difference(one.labels, one.scores, one.strata, patients=one.patients)
    error = logit_error(found, one)
    assert error == pytest.approx(drawn[:, 1].std(), rel=0.1)
    assert gap.standard_error == pytest.approx((drawn[:, 1] - drawn[:, 0]).std(), rel=0.1)


def test_one_stratum_is_the_ordinary_auroc() -> None:
    one = draw(5)
    alone = ["PA"] * len(one.labels)
    found = stratified_auroc(one.labels, one.scores, alone, patients=one.patients)
    known = clustered_delong(one.labels, one.scores, one.patients)
    assert found.value == pytest.approx(known.value)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=5e-3)
    by_image, plain = (
        stratified_auroc(one.labels, one.scores, alone),
        delong(one.labels, one.scores),
    )
    assert (by_image.low, by_image.high) == pytest.approx((plain.low, plain.high), abs=1e-3)
    gap = stratified_difference(one.labels, one.scores, alone, patients=one.patients)
    assert (gap.difference.value, gap.p) == (0, 1)


def test_a_score_of_the_stratum_alone_has_chance_within_strata() -> None:
    one = draw(6, 2000)
    scores = np.where(one.strata == "AP", 0.9, 0.1) + 1e-3 * np.random.default_rng(0).random(2000)
    found = stratified_auroc(one.labels, scores, one.strata, patients=one.patients)
    assert found.low < 0.5 < found.high
    gap = stratified_difference(one.labels, scores, one.strata, patients=one.patients)
    assert gap.difference.low > 0.1  # over all pairs it is far below chance
    assert gap.p < 1e-6


def test_unknown_labels_and_strata_of_one_class_contribute_nothing() -> None:
    one = draw(7)
    known = stratified_auroc(one.labels, one.scores, one.strata, patients=one.patients)
    labels = np.r_[one.labels, np.nan, 1.0, 1.0]
    scores = np.r_[one.scores, 9.0, 9.0, 8.0]
    strata = np.r_[one.strata, ["AP", "none", "none"]]
    patients = np.r_[one.patients, [10**6, 10**6 + 1, 10**6 + 2]]
    found = stratified_auroc(labels, scores, strata, patients=patients)
    assert found.value == pytest.approx(known.value)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=1e-2)


def test_without_pairs_there_is_no_value_and_without_variance_a_score_interval() -> None:
    nothing = stratified_auroc([1, 1, 0, 0], [1, 2, 3, 4], ["a", "a", "b", "b"])
    assert math.isnan(nothing.value)
    assert nothing.reason == "no stratum has images of both classes"
    gap = stratified_difference([1, 1, 0, 0], [1, 2, 3, 4], ["a", "a", "b", "b"])
    assert math.isnan(gap.p)
    assert gap.reason == nothing.reason
    labels, strata = np.tile([0.0, 1.0], 20), np.repeat(["a", "b"], 20)
    found = stratified_auroc(labels, labels, strata)
    # Two equal strata are worth as many images as one of the same size.
    assert (found.value, found.low) == pytest.approx((1, newcombe(1.0, 20, 20).low))
    assert "no variance" in (found.reason or "")
    few = stratified_auroc(
        [0, 1, 0, 1], [0.1, 0.4, 0.5, 0.3], ["a", "a", "b", "b"], patients="xxyy"
    )
    assert 0 < few.low < few.value < few.high < 1


def test_an_association_is_tested_as_by_scipy_where_every_patient_has_one_image() -> None:
    one = draw(8, sizes=(1, 2))
    table = [
        [np.sum((one.strata == name) & (one.labels == side)) for side in (0, 1)]
        for name in np.unique(one.strata)
    ]
    known = stats.chi2_contingency(table, correction=False).pvalue
    assert association_test(one.labels, one.strata) == pytest.approx(known, rel=1e-9)
    assert association_test([1, 1], ["a", "b"]) == association_test([0, 1], ["a", "a"]) == 1


def test_images_of_one_patient_are_no_evidence_of_an_association() -> None:
    rng = np.random.default_rng(0)
    p, naive = [], []
    for _ in range(600):
        patients = np.repeat(np.arange(60), rng.integers(1, 9, 60))
        labels, groups = ((rng.random(60) < 0.4)[patients].astype(float) for _ in range(2))
        p.append(association_test(labels, groups.astype(int), patients=patients))
        naive.append(association_test(labels, groups.astype(int)))
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09
    assert np.mean(np.array(naive) < 0.05) > 0.25

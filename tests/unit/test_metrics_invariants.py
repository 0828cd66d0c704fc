"""Tests properties that every metric must have, with a table of all metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from plainfilm import metrics

Array = Any


@dataclass(frozen=True)
class Entry:
    """A metric and what it is invariant to.

    Attributes
    ----------
    of
        From labels (n,), probabilities (n,) and calls (n,) to a number.
    ranks
        Whether only the order of the scores counts.
    swapped
        What it is of the swapped problem (labels and scores turned), as a function of the table.
    weighted
        The same with weights, where it takes them.
    needs
        Which classes it needs: both, positives, negatives, or any image.
    """

    of: Callable[[Array, Array, Array], float]
    ranks: bool = False
    swapped: str | None = None
    weighted: Callable[[Array, Array, Array], float] | None = None
    needs: str = "both"


def calling(name: str) -> Callable[[Array, Array, Array], float]:
    score = getattr(metrics, name)
    return lambda labels, chances, calls: float(score(labels, calls))


TABLE: dict[str, Entry] = {
    "roc_auc_score": Entry(
        lambda y, p, c: metrics.roc_auc_score(y, p),
        ranks=True,
        swapped="roc_auc_score",
        weighted=lambda y, p, w: metrics.roc_auc_score(y, p, sample_weight=w),
    ),
    "average_precision_score": Entry(
        lambda y, p, c: metrics.average_precision_score(y, p),
        ranks=True,
        weighted=lambda y, p, w: metrics.average_precision_score(y, p, sample_weight=w),
        needs="positive",
    ),
    "partial_auc_score": Entry(
        lambda y, p, c: metrics.partial_auc_score(y, p, max_fpr=0.3), ranks=True
    ),
    "brier_score_loss": Entry(
        lambda y, p, c: metrics.brier_score_loss(y, p),
        swapped="brier_score_loss",
        weighted=lambda y, p, w: metrics.brier_score_loss(y, p, sample_weight=w),
        needs="any",
    ),
    "log_loss": Entry(
        lambda y, p, c: metrics.log_loss(y, p),
        swapped="log_loss",
        weighted=lambda y, p, w: metrics.log_loss(y, p, sample_weight=w),
        needs="any",
    ),
    "expected_calibration_error": Entry(
        lambda y, p, c: metrics.expected_calibration_error(y, p), needs="any"
    ),
    "brier_parts": Entry(lambda y, p, c: metrics.brier_parts(y, p).resolution, needs="any"),
    "calibration_error_bias": Entry(
        lambda y, p, c: metrics.calibration_error_bias(np.sort(p)), needs="any"
    ),
    "accuracy_score": Entry(calling("accuracy_score"), swapped="accuracy_score", needs="any"),
    "balanced_accuracy_score": Entry(
        calling("balanced_accuracy_score"), swapped="balanced_accuracy_score"
    ),
    "sensitivity_score": Entry(
        calling("sensitivity_score"), swapped="specificity_score", needs="positive"
    ),
    "specificity_score": Entry(
        calling("specificity_score"), swapped="sensitivity_score", needs="negative"
    ),
    "ppv_score": Entry(calling("ppv_score"), swapped="npv_score", needs="any"),
    "npv_score": Entry(calling("npv_score"), swapped="ppv_score", needs="any"),
    "f1_score": Entry(calling("f1_score"), needs="positive"),
    "matthews_corrcoef": Entry(calling("matthews_corrcoef"), swapped="matthews_corrcoef"),
    "likelihood_ratios": Entry(lambda y, p, c: metrics.likelihood_ratios(y, c)[0]),
    "calibration_line": Entry(lambda y, p, c: metrics.calibration_line(y, p).slope.value),
    "decision_curve": Entry(
        lambda y, p, c: float(metrics.decision_curve(y, p, n_bootstrap=2).model[30]), needs="any"
    ),
    "delong": Entry(lambda y, p, c: metrics.delong(y, p).low, ranks=True),
    "clustered_delong": Entry(
        lambda y, p, c: metrics.clustered_delong(y, p, np.arange(len(y))).low, ranks=True
    ),
    "delong_test": Entry(lambda y, p, c: metrics.delong_test(y, p, c).difference.value),
    "stratified_auroc": Entry(
        lambda y, p, c: metrics.stratified_auroc(y, p, np.arange(len(y)) * 0).value, ranks=True
    ),
    "stratified_difference": Entry(
        lambda y, p, c: metrics.stratified_difference(y, p, c.astype(int)).difference.value
    ),
    "clustered_bootstrap": Entry(
        lambda y, p, c: metrics.clustered_bootstrap("auroc", y, p, None, n_bootstrap=20).value,
        ranks=True,
    ),
    "clustered_difference": Entry(
        lambda y, p, c: metrics.clustered_difference("auroc", y, p, c, n_bootstrap=20).value
    ),
    "mcnemar_test": Entry(
        lambda y, p, c: metrics.mcnemar_test((p > 0.5) == y, c == y).p, needs="any"
    ),
    "confusion": Entry(lambda y, p, c: float(metrics.confusion(y, c).tp), needs="counts"),
}
"""Every metric of labels and scores that `plainfilm.metrics` offers."""

NO_METRICS = {
    # Curves and parts, whose numbers the metrics above are made of.
    *("roc_curve", "precision_recall_curve", "reliability_curve", "rates", "why_undefined"),
    *("bin_edges", "bin_index", "log_losses", "read_decision", "predictive_values"),
    # Intervals and tests of numbers, not of labels.
    *("wilson", "clopper_pearson", "newcombe", "delong_covariance", "correlation_interval"),
    # Confusion matrices of several classes.
    *("overall_rates", "overall_statistic"),
    *("independent_difference", "correlated_difference"),
    *(
        "holm",
        "judge_margin",
        "undefined",
        "percentile",
        "studentised",
        "small_sample_interval",
        "bootstrap_interval",
    ),
    *("images_for_auroc", "images_for_proportion", "detectable_difference"),
    # The bootstrap's machinery, what is chosen on validation, and checks of arrays.
    *("replicate", "ranking_statistic", "rates_statistic", "totals_statistic", "sums_statistic"),
    *("area_statistic", "score_bins"),
    # Raters and readers, folds, and the adaptation to a site have inputs and tests of their own.
    *("cohens_kappa", "fleiss_kappa", "gwet_ac1", "percent_agreement", "reader_covariance"),
    *("reader_mean", "compare_modalities", "compare_with_model", "difference_at_specificity"),
    *("mean_fold_auroc", "corrected_difference", "count_scores", "estimate_class_shares"),
    *("shift_class_shares", "label_shift_test", "fit_recalibration", "apply_recalibration"),
    *("recalibration_of", "association_test", "stratified_comparison"),
    *("decision_statistic", "pool", "group_index", "as_labels", "as_scores"),
    *("fit_temperature", "apply_temperature", "lock_operating_points", "shift_prevalence"),
}


def test_no_metric_is_left_out() -> None:
    functions = {
        name for name in metrics.__all__ if name[0].islower() and callable(getattr(metrics, name))
    }
    assert functions == set(TABLE) | NO_METRICS
    assert not set(TABLE) & NO_METRICS


def case(seed: int, n: int = 60) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    labels = np.r_[0.0, 1.0, rng.random(n - 2) < 0.4].astype(float)
    chances = np.round(np.clip(rng.beta(1.5, 1.5, n) + 0.15 * (labels - 0.5), 0.01, 0.99), 2)
    calls = (chances + rng.normal(0, 0.1, n) > 0.5).astype(float)
    return labels, chances, calls


names = pytest.mark.parametrize("name", sorted(TABLE))


@names
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    entry = TABLE[name]
    for seed in range(8):
        labels, chances, calls = case(seed)
        order = np.random.default_rng(seed).permutation(len(labels))
        one = entry.of(labels, chances, calls)
        other = entry.of(labels[order], chances[order], calls[order])
        assert other == pytest.approx(one, rel=1e-6, abs=1e-9, nan_ok=True)


@names
def test_images_of_unknown_label_do_not_count(name: str) -> None:
    entry = TABLE[name]
    if name in ("mcnemar_test", "calibration_error_bias"):
        pytest.skip("takes no labels")
    labels, chances, calls = case(3)
    more = [np.r_[values, extra] for values, extra in (
        (labels, [math.nan] * 5), (chances, [0.9, 0.1, 0.5, 0.2, 0.7]), (calls, [1, 0, 1, 0, 1])
    )]  # fmt: skip
    assert entry.of(*more) == pytest.approx(entry.of(labels, chances, calls), rel=1e-6)


@pytest.mark.parametrize("name", sorted(n for n, entry in TABLE.items() if entry.ranks))
def test_only_the_order_of_scores_counts(name: str) -> None:
    entry = TABLE[name]
    for seed in range(8):
        labels, chances, calls = case(seed)
        for change in (lambda p: p**3, lambda p: np.log(p / (1 - p)), lambda p: 100 * p - 7):
            found = entry.of(labels, change(chances), calls)
            assert found == pytest.approx(entry.of(labels, chances, calls), abs=1e-9)


@pytest.mark.parametrize("name", sorted(n for n, entry in TABLE.items() if entry.swapped))
def test_turned_round_it_is_its_counterpart(name: str) -> None:
    entry = TABLE[name]
    other = TABLE[str(entry.swapped)]
    for seed in range(8):
        labels, chances, calls = case(seed)
        found = other.of(1 - labels, 1 - chances, 1 - calls)
        assert found == pytest.approx(entry.of(labels, chances, calls), nan_ok=True)


def test_wrong_labels_turn_an_area_round() -> None:
    labels, chances, _ = case(5)
    area = metrics.roc_auc_score(labels, chances)
    assert metrics.roc_auc_score(1 - labels, chances) == pytest.approx(1 - area)


@names
def test_every_image_twice_is_the_same(name: str) -> None:
    entry = TABLE[name]
    if name in ("calibration_error_bias", "delong", "clustered_delong", "mcnemar_test"):
        pytest.skip("measures uncertainty, which more images reduce")
    labels, chances, calls = case(6)
    twice = [np.tile(values, 2) for values in (labels, chances, calls)]
    factor = 2 if name == "confusion" else 1
    found = entry.of(labels, chances, calls)
    assert entry.of(*twice) == pytest.approx(factor * found, rel=1e-6)


def test_images_of_one_patient_twice_leave_the_interval_unchanged() -> None:
    labels, chances, _ = case(7, n=200)
    patients = np.arange(200).astype(str)
    for name in ("auroc", "average_precision", "brier"):
        alone = metrics.clustered_bootstrap(name, labels, chances, patients, n_bootstrap=400)
        twice = metrics.clustered_bootstrap(
            name, *(np.repeat(v, 2) for v in (labels, chances, patients)), n_bootstrap=400
        )
        assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high), abs=1e-9)


@pytest.mark.parametrize("name", sorted(n for n, entry in TABLE.items() if entry.weighted))
def test_a_weight_is_so_many_images(name: str) -> None:
    entry = TABLE[name]
    assert entry.weighted is not None
    rng = np.random.default_rng(8)
    for seed in range(8):
        labels, chances, calls = case(seed)
        weights = rng.integers(0, 4, len(labels))
        weights[:2] = 1
        many = [np.repeat(values, weights) for values in (labels, chances, calls)]
        found = entry.weighted(labels, chances, weights.astype(float))
        assert found == pytest.approx(entry.of(*many))


@names
@pytest.mark.parametrize("only", [0.0, 1.0])
def test_one_class_alone_is_undefined_where_both_are_needed(name: str, only: float) -> None:
    entry = TABLE[name]
    labels, chances, calls = np.full(12, only), np.linspace(0.05, 0.95, 12), np.tile([0.0, 1.0], 6)
    expected = {"both": False, "positive": only == 1, "negative": only == 0}.get(entry.needs, True)
    try:
        found = entry.of(labels, chances, calls)
    except metrics_error() as error:
        assert not expected
        assert "class" in str(error)
        return
    assert math.isfinite(found) == expected


def metrics_error() -> type[Exception]:
    from plainfilm.errors import MetricError

    return MetricError


@names
@pytest.mark.parametrize("n", [2, 3, 5])
def test_tiny_sets_give_a_number_or_nothing_but_never_nonsense(name: str, n: int) -> None:
    entry = TABLE[name]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = np.r_[0.0, 1.0, rng.integers(0, 2, n - 2)]
        chances = np.round(rng.random(n), 1)
        found = entry.of(labels, chances, rng.integers(0, 2, n).astype(float))
        assert math.isnan(found) or math.isfinite(found)
        if name in ("roc_auc_score", "delong", "brier_score_loss", "accuracy_score"):
            assert 0 <= found <= 1

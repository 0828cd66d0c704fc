"""Compares counts, rates, areas and curves with scikit-learn."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from plainfilm import metrics
from plainfilm.errors import MetricError

Case = tuple[NDArray[np.float64], NDArray[np.float64]]


def random_cases() -> list[Case]:
    """Return labels and scores of every awkward kind: ties, tiny, rare, saturated."""
    rng = np.random.default_rng(7)
    cases = []
    for _ in range(150):
        n = int(rng.integers(2, 60))
        prevalence = rng.choice([0.03, 0.3, 0.5, 0.97])
        labels = (rng.random(n) < prevalence).astype(float)
        labels[:2] = [0, 1]
        scores = np.clip(rng.normal(labels * rng.choice([0, 0.3, 2]), 0.5) + 0.3, 0, 1)
        if rng.random() < 0.5:
            scores = np.round(scores, int(rng.integers(0, 3)))
        cases.append((labels, scores))
    return cases


CASES = random_cases()

CALLED: list[tuple[Callable[..., float], Callable[..., float]]] = [
    (metrics.accuracy_score, reference.accuracy_score),
    (metrics.balanced_accuracy_score, reference.balanced_accuracy_score),
    (metrics.sensitivity_score, reference.recall_score),
    (metrics.f1_score, reference.f1_score),
    (metrics.matthews_corrcoef, reference.matthews_corrcoef),
    (metrics.specificity_score, lambda y, c: reference.recall_score(1 - y, 1 - c)),
]


@pytest.mark.parametrize(("ours", "theirs"), CALLED)
def test_rates_equal_scikit_learn(ours: Callable[..., float], theirs: Callable[..., float]) -> None:
    for labels, scores in CASES:
        calls = (scores >= 0.5).astype(float)
        assert ours(labels, calls) == pytest.approx(theirs(labels, calls), abs=1e-12)


def test_predictive_values_and_likelihood_ratios_equal_scikit_learn() -> None:
    seen = 0
    for labels, scores in CASES:
        calls = (scores >= 0.5).astype(float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = [
                reference.precision_score(labels, calls, zero_division=np.nan),
                reference.precision_score(1 - labels, 1 - calls, zero_division=np.nan),
                *reference.class_likelihood_ratios(labels, calls),
            ]
        ours = [
            metrics.ppv_score(labels, calls),
            metrics.npv_score(labels, calls),
            *metrics.likelihood_ratios(labels, calls),
        ]
        for one, other in zip(ours, theirs, strict=True):
            if not math.isnan(one) and not math.isnan(other):
                assert one == pytest.approx(other, abs=1e-12)
                seen += 1
            elif math.isnan(one):
                assert math.isnan(other) or not math.isfinite(other)
    assert seen > 300


def test_confusion_equals_scikit_learn() -> None:
    for labels, scores in CASES:
        calls = scores >= 0.4
        tn, fp, fn, tp = reference.confusion_matrix(labels, calls, labels=[0, 1]).ravel()
        assert metrics.confusion(labels, calls) == metrics.Confusion(tp=tp, fp=fp, tn=tn, fn=fn)


@pytest.mark.parametrize("weighted", [False, True])
def test_areas_equal_scikit_learn(weighted: bool) -> None:
    rng = np.random.default_rng(3)
    for labels, scores in CASES:
        weights = rng.exponential(size=len(labels)) if weighted else None
        assert metrics.roc_auc_score(labels, scores, sample_weight=weights) == pytest.approx(
            reference.roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
        )
        assert metrics.average_precision_score(
            labels, scores, sample_weight=weights
        ) == pytest.approx(
            reference.average_precision_score(labels, scores, sample_weight=weights), abs=1e-12
        )


@pytest.mark.parametrize("drop", [True, False])
def test_curves_equal_scikit_learn(drop: bool) -> None:
    for labels, scores in CASES:
        ours = metrics.roc_curve(labels, scores, drop_intermediate=drop)
        theirs = reference.roc_curve(labels, scores, drop_intermediate=drop)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        pairs = zip(
            metrics.precision_recall_curve(labels, scores),
            reference.precision_recall_curve(labels, scores),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_allclose(one, other, atol=1e-12)


labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=40).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)


@settings(max_examples=150, deadline=None)
@given(labelled)
def test_what_must_not_matter_does_not(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([truth for truth, _ in rows], dtype=float)
    scores = np.array([score for _, score in rows], dtype=float)
    area = metrics.roc_auc_score(labels, scores)
    precision = metrics.average_precision_score(labels, scores)
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    assert metrics.roc_auc_score(labels[order], scores[order]) == pytest.approx(area)
    assert metrics.roc_auc_score(labels, np.exp(scores / 3)) == pytest.approx(area)
    assert metrics.roc_auc_score(1 - labels, scores) == pytest.approx(1 - area)
    assert metrics.roc_auc_score(1 - labels, -scores) == pytest.approx(area)
    twice = np.tile(labels, 2), np.tile(scores, 2)
    assert metrics.roc_auc_score(*twice) == pytest.approx(area)
    assert metrics.average_precision_score(*twice) == pytest.approx(precision)
    weighted = metrics.average_precision_score(
        labels, scores, sample_weight=np.full(len(rows), 3.5)
    )
    assert weighted == pytest.approx(precision)


def test_unknown_labels_are_left_out() -> None:
    rng = np.random.default_rng(0)
    for labels, scores in CASES[:40]:
        hidden = np.r_[labels, np.full(5, np.nan)]
        shown = np.r_[scores, rng.random(5)]
        assert metrics.roc_auc_score(hidden, shown) == metrics.roc_auc_score(labels, scores)
        assert metrics.brier_score_loss(hidden, shown) == metrics.brier_score_loss(labels, scores)
        assert metrics.confusion(hidden, shown > 0.5) == metrics.confusion(labels, scores > 0.5)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [np.nan, 1, 1], [np.nan] * 3])
def test_one_class_gives_no_number(labels: list[float]) -> None:
    assert math.isnan(metrics.roc_auc_score(labels, [0.1, 0.2, 0.3]))
    counts = metrics.confusion(labels, [0, 1, 1])
    for name in ("auroc", "balanced_accuracy", "mcc"):
        assert "no" in (metrics.why_undefined(name, counts) or "")
    assert math.isnan(metrics.balanced_accuracy_score(labels, [0, 1, 1]))
    assert math.isnan(metrics.matthews_corrcoef(labels, [0, 1, 1]))


def test_why_undefined_agrees_with_the_numbers() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        counts = metrics.Confusion(*(int(n) for n in rng.integers(0, 3, 4)))
        values = metrics.rates(counts.tp, counts.fp, counts.tn, counts.fn)
        for name, value in zip(metrics.RATES, values, strict=True):
            why = metrics.why_undefined(name, counts)
            assert (why is not None) == (not np.isfinite(value)), (name, counts, value)


def test_no_positive_call_has_no_ppv() -> None:
    assert math.isnan(metrics.ppv_score([0, 1], [0, 0]))
    assert metrics.f1_score([0, 1], [0, 0]) == 0
    assert metrics.matthews_corrcoef([0, 1], [0, 0]) == 0


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [0.1, np.nan], "finite"),
        ([0, np.nan], [0.1, np.nan], "finite"),
        ([0, 1], [0.1, np.inf], "finite"),
        ([0, 2], [0.1, 0.2], "1, 0 or NaN"),
        ([0, 0.5], [0.1, 0.2], "1, 0 or NaN"),
        ([0, 1], [0.1, 0.2, 0.3], "same shape"),
        ([[0, 1]], [[0.1, 0.2]], "dimension"),
        (["a", "b"], [0.1, 0.2], "numbers"),
    ],
)
def test_bad_input_is_refused(labels: object, scores: object, words: str) -> None:
    for function in (
        metrics.roc_auc_score,
        metrics.average_precision_score,
        metrics.brier_score_loss,
        metrics.roc_curve,
    ):
        with pytest.raises(MetricError, match=words):
            function(labels, scores)  # type: ignore[operator]


def test_probabilities_and_calls_have_their_range() -> None:
    with pytest.raises(MetricError, match="between 0 and 1"):
        metrics.brier_score_loss([0, 1], [0.1, 1.01])
    with pytest.raises(MetricError, match="between 0 and 1"):
        metrics.log_loss([0, 1], [-0.1, 0.5])
    with pytest.raises(MetricError, match="predicted classes must be 0 or 1"):
        metrics.accuracy_score([0, 1], [0.3, 0.7])
    with pytest.raises(MetricError, match="weights"):
        metrics.roc_auc_score([0, 1], [0.3, 0.7], sample_weight=[-1, 1])


def test_nothing_known_gives_empty_curves() -> None:
    assert all(part.size == 0 for part in metrics.roc_curve([np.nan], [0.5]))
    assert all(part.size == 0 for part in metrics.precision_recall_curve([np.nan], [0.5]))
    assert math.isnan(metrics.accuracy_score([], []))


def test_no_public_name_is_hidden_by_a_module() -> None:
    # A function named like a file of its package is replaced by that file once it is imported.
    for name in metrics.__all__:
        assert not isinstance(getattr(metrics, name), ModuleType), name
    assert len(set(metrics.__all__)) == len(metrics.__all__)

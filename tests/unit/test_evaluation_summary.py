"""The summary of an evaluation: its shape, its numbers, and the reasons of missing numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn import metrics as reference

from plainfilm import metrics
from plainfilm._json import to_json
from plainfilm.errors import MetricError
from plainfilm.evaluation.document import Summary
from plainfilm.evaluation.summary import summarise
from plainfilm.records import OperatingPoint, Task

Array = NDArray[np.float64]

BINARY = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))
FOUR = Task("multiclass", tuple("abcd"), tuple("abcd"))
THREE = Task("multilabel", tuple("abc"), tuple("abc"))
POINTS = (
    OperatingPoint("balanced", "balanced", "PNEUMONIA", 0.5, "a rule"),
    OperatingPoint("rule-out", "rule-out", "PNEUMONIA", 0.2, "another rule"),
)
DEFAULT = [
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "mcc",
    "lr_positive",
    "lr_negative",
]
NAMES = ["auroc", "average_precision", "partial_auroc", "brier", "log_loss", *DEFAULT]


def binary_data(n: int = 400, each: int = 2) -> tuple[Array, Array, list[str]]:
    rng = np.random.default_rng(0)
    labels = np.repeat((np.arange(n // each) % 3 > 0).astype(float), each)[:, None]
    return labels, expit(rng.normal(3 * labels - 1.5, 1.5)), [str(i // each) for i in range(n)]


def walk(value: Any, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collect every interval in a tree."""
    if isinstance(value, dict):
        if {"value", "low", "high"} <= set(value):
            found.append(value)
        else:
            for part in value.values():
                walk(part, found)
    return found


def check_tree(answer: Summary) -> None:
    """Assert that a summary becomes JSON and that whatever is missing has a reason."""
    tree = to_json(answer)
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    intervals = walk(tree, [])
    assert intervals
    for one in intervals:
        assert one["method"]
        if None in (one["value"], one["low"], one["high"]):
            assert one["reason"]
        else:
            assert one["low"] <= one["value"] <= one["high"]
            assert one["low"] < one["high"], "no interval is without a width"


def test_a_binary_summary_has_the_metrics_of_its_label() -> None:
    labels, chances, patients = binary_data()
    answer = summarise(labels, chances, BINARY, patients, POINTS, n_bootstrap=200)
    check_tree(answer)
    assert (answer.n, answer.patients) == (400, 200)
    results = answer.labels["PNEUMONIA"]
    assert (results.n, results.patients, results.unknown) == (400, 200, 0)
    assert results.prevalence == pytest.approx(labels.mean())
    assert list(answer.metrics) == NAMES
    assert answer.metrics == results.metrics
    assert set(results.operating_points) == {"balanced", "rule-out"}
    assert results.default_point is results.operating_points["balanced"]
    assert results.operating_points["balanced"].metrics == {
        name: answer.metrics[name] for name in DEFAULT
    }


def test_binary_numbers_equal_scikit_learn() -> None:
    labels, chances, patients = binary_data()
    answer = summarise(labels, chances, BINARY, patients, POINTS, n_bootstrap=50)
    truth, shown = labels[:, 0], chances[:, 0]
    expected = {
        "auroc": reference.roc_auc_score(truth, shown),
        "average_precision": reference.average_precision_score(truth, shown),
        "brier": reference.brier_score_loss(truth, shown),
        "log_loss": reference.log_loss(truth, shown),
        "f1": reference.f1_score(truth, shown >= 0.5),
        "mcc": reference.matthews_corrcoef(truth, shown >= 0.5),
        "ppv": reference.precision_score(truth, shown >= 0.5),
    }
    for name, value in expected.items():
        assert answer.metrics[name].value == pytest.approx(value)
    point = answer.labels["PNEUMONIA"].operating_points["rule-out"]
    tn, fp, fn, tp = reference.confusion_matrix(truth, shown >= 0.2).ravel()
    assert point.confusion == metrics.Confusion(tp=tp, fp=fp, tn=tn, fn=fn)
    assert point.metrics["sensitivity"].value == pytest.approx(tp / (tp + fn))
    error = answer.labels["PNEUMONIA"].curves.calibration.error.value
    assert error == pytest.approx(metrics.expected_calibration_error(truth, shown))


def test_intervals_are_over_patients_only_where_patients_repeat() -> None:
    labels, chances, patients = binary_data()
    several = summarise(labels, chances, BINARY, patients, POINTS, n_bootstrap=100)
    assert "over patients" in several.metrics["auroc"].method
    assert "over patients" in several.metrics["accuracy"].method
    one = summarise(labels, chances, BINARY, [str(i) for i in range(400)], POINTS, n_bootstrap=100)
    assert one.metrics["auroc"] == metrics.delong(labels[:, 0], chances[:, 0])
    counts = metrics.confusion(labels[:, 0], chances[:, 0] >= 0.5)
    assert one.metrics["sensitivity"] == metrics.wilson(counts.tp, counts.tp + counts.fn)
    assert one.metrics["ppv"] == metrics.wilson(counts.tp, counts.tp + counts.fp)
    assert "over images" in one.metrics["brier"].method


def test_copies_of_images_do_not_narrow_the_intervals() -> None:
    labels, chances, _ = binary_data(150, 1)
    patients = [str(i) for i in range(150)]
    alone = summarise(labels, chances, BINARY, patients, POINTS)
    copied = summarise(
        np.tile(labels, (5, 1)), np.tile(chances, (5, 1)), BINARY, patients * 5, POINTS
    )
    for name in ("auroc", "brier", "f1", "accuracy", "specificity"):
        widths = [run.metrics[name].high - run.metrics[name].low for run in (alone, copied)]
        assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_curves_are_thinned_and_whole() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((5000, 1)) < 0.5).astype(float)
    chances = expit(rng.normal(labels, 1))
    patients = [str(i) for i in range(5000)]
    summary = summarise(labels, chances, BINARY, patients, POINTS, n_bootstrap=20)
    curves = summary.labels["PNEUMONIA"].curves
    roc, precision_recall = curves.roc, curves.precision_recall
    for columns in (
        (roc.fpr, roc.tpr, roc.threshold),
        (precision_recall.recall, precision_recall.precision),
    ):
        assert 400 < len(columns[0]) <= 500
        assert len({len(column) for column in columns}) == 1
    assert (roc.fpr[0], roc.tpr[0], roc.fpr[-1], roc.tpr[-1]) == (0, 0, 1, 1)
    assert math.isinf(roc.threshold[0])
    area = reference.auc(roc.fpr, roc.tpr)
    assert area == pytest.approx(reference.roc_auc_score(labels, chances), abs=1e-3)
    assert sum(one.count for one in curves.calibration.bins) == 5000
    assert sum(map(sum, curves.scores.counts.values())) == 5000
    assert list(curves.scores.counts) == ["NORMAL", "PNEUMONIA"]


@pytest.mark.parametrize("only", [0.0, 1.0, np.nan])
def test_one_class_gives_reasons_not_numbers(only: float) -> None:
    labels = np.full((30, 1), only)
    chances = np.linspace(0, 1, 30)[:, None]
    for patients in ([str(i) for i in range(30)], [str(i // 2) for i in range(30)]):
        answer = summarise(labels, chances, BINARY, patients, POINTS, n_bootstrap=30)
        check_tree(answer)
        rate = {0.0: "specificity", 1.0: "sensitivity"}.get(only)
        for name, metric in answer.metrics.items():
            if name in (rate, "calibration_error"):
                continue
            assert math.isnan(metric.value), name
            assert "no" in (metric.reason or "")
        if rate is not None:
            assert 0 < answer.metrics[rate].low < answer.metrics[rate].high < 1
            point = answer.labels["PNEUMONIA"].operating_points["balanced"]
            assert math.isnan(point.metrics["accuracy"].value)
            assert point.metrics[rate] == answer.metrics[rate]
    assert math.isnan(answer.labels["PNEUMONIA"].prevalence) == math.isnan(only)


def test_perfect_scores_keep_a_width() -> None:
    labels, _, patients = binary_data(200)
    for keys in (patients, [str(i) for i in range(200)]):
        answer = summarise(labels, labels, BINARY, keys, POINTS, n_bootstrap=50)
        check_tree(answer)
        for name in NAMES:
            one = answer.metrics[name]
            if name not in ("brier", "log_loss", "lr_positive", "lr_negative"):
                assert one.value == one.high == 1
                assert one.low < 1


@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("scores", ["perfect", "all wrong", "constant"])
def test_small_sets_keep_a_width_or_say_why_not(n: int, scores: str) -> None:
    labels = np.r_[np.ones(n), np.zeros(n)][:, None]
    chances = {"perfect": labels, "all wrong": 1 - labels, "constant": np.full_like(labels, 0.5)}
    for keys in ([str(i) for i in range(2 * n)], [str(i % n) for i in range(2 * n)]):
        answer = summarise(labels, chances[scores], BINARY, keys, POINTS, n_bootstrap=50)
        check_tree(answer)
        error = answer.labels["PNEUMONIA"].curves.calibration.error
        assert error.low < error.high
    three = np.hstack([labels] * 3)
    check_tree(summarise(three, np.hstack([chances[scores]] * 3), THREE, keys, (), n_bootstrap=50))


def test_unknown_labels_are_left_out_label_by_label() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random((300, 3)) < 0.3).astype(float)
    chances = expit(rng.normal(2 * labels - 1, 1))
    labels[:100, 0] = np.nan
    labels[200:, 2] = np.nan
    points = [OperatingPoint("balanced", "balanced", name, 0.4, "r") for name in "abc"]
    patients = [str(i // 2) for i in range(300)]
    answer = summarise(labels, chances, THREE, patients, points, n_bootstrap=100)
    check_tree(answer)
    assert [answer.labels[name].unknown for name in "abc"] == [100, 0, 100]
    assert [answer.labels[name].n for name in "abc"] == [200, 300, 200]
    expected = []
    for column, name in enumerate("abc"):
        known = ~np.isnan(labels[:, column])
        area = reference.roc_auc_score(labels[known, column], chances[known, column])
        assert answer.labels[name].metrics["auroc"].value == pytest.approx(area)
        expected.append(area)
    assert answer.macro["auroc"].value == pytest.approx(np.mean(expected))
    accuracies = [answer.labels[name].metrics["accuracy"].value for name in "abc"]
    assert answer.macro["accuracy"].value == pytest.approx(np.mean(accuracies))
    assert set(answer.micro) == {"auroc", "average_precision"}


def test_macro_average_names_the_labels_it_leaves_out() -> None:
    rng = np.random.default_rng(3)
    labels = (rng.random((200, 3)) < 0.3).astype(float)
    labels[:, 1] = 0
    chances = rng.random((200, 3))
    patients = [str(i) for i in range(200)]
    answer = summarise(labels, chances, THREE, patients, [], n_bootstrap=50)
    check_tree(answer)
    assert "without b" in (answer.macro["auroc"].reason or "")
    assert answer.macro["auroc"].value == pytest.approx(
        reference.roc_auc_score(labels[:, [0, 2]], chances[:, [0, 2]])
    )
    assert math.isnan(answer.macro["sensitivity"].value)
    assert "no operating point" in (answer.macro["sensitivity"].reason or "")


@pytest.mark.parametrize("each", [1, 3])
def test_multiclass_has_overall_accuracy_and_a_matrix(each: int) -> None:
    rng = np.random.default_rng(4)
    n = 300
    classes = rng.integers(0, 4, n)
    labels = np.eye(4)[classes]
    chances = softmax(rng.normal(size=(n, 4)) + 1.5 * labels, axis=1)
    labels[:10] = np.nan
    patients = [str(i // each) for i in range(n)]
    answer = summarise(labels, chances, FOUR, patients, [], n_bootstrap=100)
    check_tree(answer)
    called = chances.argmax(axis=1)
    matrix = reference.confusion_matrix(classes[10:], called[10:])
    assert answer.confusion_matrix == tuple(map(tuple, matrix.tolist()))
    accuracy = answer.metrics["accuracy"]
    assert accuracy.value == pytest.approx(np.trace(matrix) / 290)
    if each == 1:
        assert accuracy == metrics.wilson(int(np.trace(matrix)), 290)
    assert answer.macro["auroc"].value == pytest.approx(
        reference.roc_auc_score(classes[10:], chances[10:], multi_class="ovr")
    )
    assert answer.macro["sensitivity"].value == pytest.approx(
        reference.balanced_accuracy_score(classes[10:], called[10:])
    )
    assert answer.macro["f1"].value == pytest.approx(
        reference.f1_score(classes[10:], called[10:], average="macro")
    )


def test_perfect_multiclass_keeps_a_width() -> None:
    labels = np.eye(4)[np.arange(80) % 4]
    patients = [str(i) for i in range(80)]
    answer = summarise(labels, labels, FOUR, patients, [], n_bootstrap=50)
    check_tree(answer)
    assert answer.macro["auroc"].low < 1 == answer.macro["auroc"].high


def test_seed_decides() -> None:
    labels, chances, patients = binary_data()
    runs = [
        summarise(labels, chances, BINARY, patients, POINTS, seed=seed, n_bootstrap=50)
        for seed in (1, 1, 2)
    ]
    first, again, other = map(to_json, runs)
    assert first == again
    assert first != other


def test_float32_probabilities_are_called_as_the_predictor_calls_them() -> None:
    labels, chances, patients = binary_data()
    small = chances.astype(np.float32)
    point = OperatingPoint("balanced", "balanced", "PNEUMONIA", float(small[7, 0]), "r")
    answer = summarise(labels, small, BINARY, patients, [point], n_bootstrap=20)
    counts = answer.labels["PNEUMONIA"].operating_points["balanced"].confusion
    assert counts.tp + counts.fp == int((small >= small[7, 0]).sum())


def test_bad_input_is_refused() -> None:
    labels, chances, patients = binary_data()
    with pytest.raises(MetricError, match="one column per label"):
        summarise(np.tile(labels, 2), np.tile(chances, 2), BINARY, patients, POINTS)
    with pytest.raises(MetricError, match="no image"):
        summarise(np.empty((0, 1)), np.empty((0, 1)), BINARY, [], POINTS)
    with pytest.raises(MetricError, match="patient key"):
        summarise(labels, chances, BINARY, patients[:-1], POINTS)
    with pytest.raises(MetricError, match="label that the task does not have"):
        strange = OperatingPoint("balanced", "balanced", "OTHER", 0.5, "r")
        summarise(labels, chances, BINARY, patients, [strange])
    with pytest.raises(MetricError, match="exactly one 1"):
        summarise(np.ones((3, 4)), np.full((3, 4), 0.25), FOUR, ["a", "b", "c"], [])
    with pytest.raises(MetricError, match="finite"):
        summarise(labels, np.full_like(chances, np.nan), BINARY, patients, POINTS)


def test_unknown_labels_keep_images_with_their_patients() -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random((300, 3)) < 0.4).astype(float)
    chances = expit(rng.normal(2 * labels - 1, 1))
    labels[rng.random((300, 3)) < 0.4] = np.nan
    # Patients of very different size, so that a shift by a few images would show.
    patients = [str(int(i**0.7)) for i in range(300)]
    answer = summarise(labels, chances, THREE, patients, [], seed=4, n_bootstrap=300)
    for column, name in enumerate("abc"):
        for metric in ("brier", "log_loss", "auroc", "average_precision"):
            # The same seed draws the same patients, label by label or all at once.
            alone = metrics.clustered_bootstrap(
                metric, labels[:, column], chances[:, column], patients, n_bootstrap=300, seed=4
            )
            found = answer.labels[name].metrics[metric]
            for part in ("value", "low", "high"):
                assert getattr(found, part) == pytest.approx(getattr(alone, part), rel=1e-9)


def test_calibration_error_covers_the_truth() -> None:
    rng = np.random.default_rng(6)
    patients = [str(i) for i in range(300)]
    for offset, truth in ((0.0, 0.0), (0.15, 0.15)):
        covered, above = [], []
        for _ in range(60):
            chances = rng.uniform(0.2, 0.8, (300, 1))
            labels = (rng.random((300, 1)) < chances - offset).astype(float)
            answer = summarise(labels, chances, BINARY, patients, POINTS, n_bootstrap=200)
            error = answer.labels["PNEUMONIA"].curves.calibration.error
            covered.append(error.low <= truth <= error.high)
            above.append(error.low > 0)
            assert error.value > 0
        assert np.mean(covered) > 0.87
        # The interval distinguishes a biased model from a calibrated one.
        assert np.mean(above) > 0.8 if truth else np.mean(above) < 0.13

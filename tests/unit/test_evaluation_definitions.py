"""Numbers of several classes and labels are those of scikit-learn's function of that name."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn import metrics as reference

from plainfilm import metrics
from plainfilm.evaluation.document import Summary
from plainfilm.evaluation.summary import summarise
from plainfilm.records import OperatingPoint, Task

Array = NDArray[np.float64]
NAMES = tuple("abcde")
CLOSE = 1e-9


def several_classes(seed: int, n: int = 300, classes: int = 5) -> tuple[NDArray[np.intp], Array]:
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, n, p=rng.dirichlet(np.full(classes, 3.0)))
    logits = rng.normal(size=(n, classes)) + rng.uniform(0.3, 2) * np.eye(classes)[true]
    return true, softmax(logits, axis=1)


def summarise_classes(
    true: NDArray[np.intp], chances: Array, *, each: int = 2, points: bool = True
) -> Summary:
    names = NAMES[: chances.shape[1]]
    own = [OperatingPoint("balanced", "balanced", name, 0.1, "r") for name in names if points]
    patients = [str(row // each) for row in range(len(true))]
    labels = np.eye(len(names))[true]
    task = Task("multiclass", names, names)
    return summarise(labels, chances, task, patients, own, n_bootstrap=30)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("points", [True, False])
def test_several_classes(seed: int, points: bool) -> None:
    true, chances = several_classes(seed)
    found = summarise_classes(true, chances, points=points)
    called = chances.argmax(axis=1)
    binarised = np.eye(5)[true]
    expected = {
        "accuracy": reference.accuracy_score(true, called),
        "balanced_accuracy": reference.balanced_accuracy_score(true, called),
        "mcc": reference.matthews_corrcoef(true, called),
        "kappa": reference.cohen_kappa_score(true, called),
        "log_loss": reference.log_loss(true, chances),
        "brier": ((chances - binarised) ** 2).sum(axis=1).mean(),
    }
    assert {name: one.value for name, one in found.metrics.items()} == pytest.approx(
        expected, abs=CLOSE
    )
    options = {"average": "macro", "zero_division": np.nan}
    macro = {
        "sensitivity": reference.recall_score(true, called, **options),
        "ppv": reference.precision_score(true, called, **options),
        "f1": reference.f1_score(true, called, average="macro"),
        "auroc": reference.roc_auc_score(true, chances, multi_class="ovr", average="macro"),
        "average_precision": reference.average_precision_score(binarised, chances, average="macro"),
    }
    for name, value in macro.items():
        assert found.macro[name].value == pytest.approx(value, abs=CLOSE), name
    micro = {
        "auroc": reference.roc_auc_score(true, chances, multi_class="ovr", average="micro"),
        "average_precision": reference.average_precision_score(binarised, chances, average="micro"),
    }
    assert {name: one.value for name, one in found.micro.items()} == pytest.approx(micro, abs=CLOSE)
    assert not set(found.macro) & set(found.metrics), "no name has two definitions"
    # The rates of a class are of the most probable class, whatever its operating point.
    recalls = reference.recall_score(true, called, average=None)
    for name, recall in zip(NAMES, recalls, strict=True):
        assert found.labels[name].metrics["sensitivity"].value == pytest.approx(recall, abs=CLOSE)
    for one in (*found.metrics.values(), *found.macro.values()):
        assert one.low < one.value < one.high


def test_brier_score_is_that_of_scikit_learn() -> None:
    true, chances = several_classes(9)
    try:
        expected = reference.brier_score_loss(true, chances)
    except ValueError:
        pytest.skip("this version of scikit-learn has no Brier score of several classes")
    assert summarise_classes(true, chances).metrics["brier"].value == pytest.approx(expected)


def test_a_class_without_images_is_left_out_as_in_scikit_learn() -> None:
    true, chances = several_classes(3)
    keep = true != 2
    found = summarise_classes(true[keep], chances[keep])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.balanced_accuracy_score(true[keep], chances[keep].argmax(axis=1))
    balanced = found.metrics["balanced_accuracy"]
    assert balanced.value == pytest.approx(expected, abs=CLOSE)
    assert "without c" in (balanced.reason or "")
    assert found.metrics["mcc"].value == pytest.approx(
        reference.matthews_corrcoef(true[keep], chances[keep].argmax(axis=1)), abs=CLOSE
    )


def test_few_errors_and_one_class_keep_a_width_or_say_why_not() -> None:
    true = np.arange(60) % 3
    perfect = summarise_classes(true, np.eye(3)[true], points=False)
    for name in ("accuracy", "balanced_accuracy", "mcc", "kappa"):
        one = perfect.metrics[name]
        assert (one.value, one.high) == (1, pytest.approx(1))
        assert one.low < 0.95
    guessed = summarise_classes(true, np.tile([0.5, 0.3, 0.2], (60, 1)), points=False)
    assert guessed.metrics["mcc"].value == 0
    assert guessed.metrics["kappa"].value == pytest.approx(0)
    alone = summarise_classes(np.zeros(20, int), several_classes(1, 20, 3)[1])
    assert math.isnan(alone.metrics["kappa"].value)
    assert "one class" in (alone.metrics["mcc"].reason or "")


@pytest.mark.parametrize("unknown", [False, True])
def test_several_labels(unknown: bool) -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((400, 5)) < rng.uniform(0.1, 0.6, 5)).astype(float)
    chances = expit(rng.normal(2 * labels - 1, 1))
    if unknown:
        labels[rng.random((400, 5)) < 0.1] = np.nan
    thresholds = rng.uniform(0.3, 0.6, 5)
    points = [
        OperatingPoint("balanced", "balanced", name, float(threshold), "r")
        for name, threshold in zip(NAMES, thresholds, strict=True)
    ]
    patients = [str(row // 3) for row in range(400)]
    task = Task("multilabel", NAMES, NAMES)
    found = summarise(labels, chances, task, patients, points, n_bootstrap=30)
    called = (chances >= thresholds).astype(float)
    whole = ~np.isnan(labels).any(axis=1)
    exact = found.metrics["exact_match"]
    assert list(found.metrics) == ["exact_match"]
    assert exact.value == pytest.approx(
        reference.accuracy_score(labels[whole], called[whole]), abs=CLOSE
    )
    assert exact.low < exact.value < exact.high
    columns = [(labels[:, column], chances[:, column], called[:, column]) for column in range(5)]
    kept = [tuple(one[~np.isnan(own[0])] for one in own) for own in columns]
    expected = {
        "accuracy": [reference.accuracy_score(y, c) for y, _, c in kept],
        "balanced_accuracy": [reference.balanced_accuracy_score(y, c) for y, _, c in kept],
        "sensitivity": [reference.recall_score(y, c) for y, _, c in kept],
        "ppv": [reference.precision_score(y, c) for y, _, c in kept],
        "f1": [reference.f1_score(y, c) for y, _, c in kept],
        "mcc": [reference.matthews_corrcoef(y, c) for y, _, c in kept],
        "auroc": [reference.roc_auc_score(y, p) for y, p, _ in kept],
        "average_precision": [reference.average_precision_score(y, p) for y, p, _ in kept],
        "brier": [reference.brier_score_loss(y, p) for y, p, _ in kept],
        "log_loss": [reference.log_loss(y, p) for y, p, _ in kept],
    }
    for name, values in expected.items():
        assert found.macro[name].value == pytest.approx(np.mean(values), abs=CLOSE), name
    if not unknown:
        assert 1 - found.macro["accuracy"].value == pytest.approx(
            reference.hamming_loss(labels, called)
        )
        options = {"average": "macro"}
        assert found.macro["f1"].value == pytest.approx(
            reference.f1_score(labels, called, **options)
        )
        assert found.micro["auroc"].value == pytest.approx(
            reference.roc_auc_score(labels, chances, average="micro"), abs=CLOSE
        )


def test_exact_match_needs_a_threshold_of_every_label() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random((60, 5)) < 0.5).astype(float)
    points = [OperatingPoint("balanced", "balanced", "a", 0.5, "r")]
    task = Task("multilabel", NAMES, NAMES)
    patients = [str(row) for row in range(60)]
    found = summarise(labels, rng.random((60, 5)), task, patients, points, n_bootstrap=20)
    assert math.isnan(found.metrics["exact_match"].value)
    assert found.metrics["exact_match"].reason


def test_overall_rates_of_weighted_matrices() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        matrix = rng.integers(0, 20, (4, 4))
        true, called = np.repeat(np.indices((4, 4)).reshape(2, -1), matrix.ravel(), axis=1)
        found = metrics.overall_rates(matrix)
        assert found == pytest.approx(
            [
                reference.accuracy_score(true, called),
                reference.balanced_accuracy_score(true, called),
                reference.matthews_corrcoef(true, called),
                reference.cohen_kappa_score(true, called),
            ],
            abs=CLOSE,
        )

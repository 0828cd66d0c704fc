"""Loss, weights and accuracy against scikit-learn and plain numpy; unknown labels have no loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras")

from keras import ops
from scipy.special import expit, log_expit, log_softmax
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.class_weight import compute_sample_weight

from plainfilm.records import Task
from plainfilm.training.class_weights import class_weights
from plainfilm.training.losses import DistilLoss, MaskedAccuracy, MaskedLoss
from plainfilm.training.networks import head_of, outputs_of

BINARY = Task("binary", ("sick",), ("well", "sick"))
THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
MANY = Task("multilabel", ("a", "b", "c"), ("a", "b", "c"))
NAN = math.nan


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def ones(labels: int) -> NDArray[np.float32]:
    return np.ones((2, labels), np.float32)


def value(loss: MaskedLoss, truth: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    return float(ops.convert_to_numpy(loss(truth, logits)))


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def one_hot(classes: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    return np.eye(n, dtype=np.float32)[classes]


def test_binary_sigmoid_is_log_loss() -> None:
    truth = rng().integers(0, 2, (50, 1)).astype(np.float32)
    logits = rng().normal(0, 3, (50, 1)).astype(np.float32)
    expected = log_loss(truth[:, 0], sigmoid(logits[:, 0].astype(float)))
    assert value(MaskedLoss("sigmoid", ones(1), 0.0), truth, logits) == pytest.approx(
        expected, 1e-5
    )


def test_binary_softmax_is_log_loss() -> None:
    truth = rng().integers(0, 2, (50, 1)).astype(np.float32)
    logits = rng().normal(0, 3, (50, 2)).astype(np.float32)
    expected = log_loss(truth[:, 0], softmax(logits.astype(float)))
    assert value(MaskedLoss("softmax", ones(1), 0.0), truth, logits) == pytest.approx(
        expected, 1e-5
    )


def test_multiclass_softmax_is_log_loss() -> None:
    classes = rng().integers(0, 3, 60)
    logits = rng().normal(0, 2, (60, 3)).astype(np.float32)
    expected = log_loss(classes, softmax(logits.astype(float)), labels=[0, 1, 2])
    made = value(MaskedLoss("softmax", ones(3), 0.0), one_hot(classes, 3), logits)
    assert made == pytest.approx(expected, 1e-5)


def test_multilabel_is_the_mean_of_the_labels() -> None:
    truth = rng().integers(0, 2, (40, 3)).astype(np.float32)
    logits = rng().normal(0, 2, (40, 3)).astype(np.float32)
    chances = sigmoid(logits.astype(float))
    expected = np.mean([log_loss(truth[:, i], chances[:, i]) for i in range(3)])
    assert value(MaskedLoss("sigmoid", ones(3), 0.0), truth, logits) == pytest.approx(
        expected, 1e-5
    )


def test_the_loss_of_large_logits_is_finite() -> None:
    truth = np.array([[1.0], [0.0]], np.float32)
    logits = np.array([[-500.0], [500.0]], np.float32)
    assert value(MaskedLoss("sigmoid", ones(1), 0.0), truth, logits) == pytest.approx(500)
    both = np.array([[500.0, -500.0], [-500.0, 500.0]], np.float32)
    assert value(MaskedLoss("softmax", ones(1), 0.0), truth, both) == pytest.approx(1000)


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_weights_of_the_two_classes(head: str) -> None:
    truth = (rng().random((80, 1)) < 0.2).astype(np.float32)
    width = 1 if head == "sigmoid" else 2
    logits = rng().normal(0, 2, (80, width)).astype(np.float32)
    chances = (
        sigmoid(logits[:, 0].astype(float)) if width == 1 else softmax(logits.astype(float))[:, 1]
    )
    weights = np.array([[0.6], [3.0]], np.float32)
    each = np.where(truth[:, 0] == 1, 3.0, 0.6)
    expected = log_loss(truth[:, 0], chances, sample_weight=each) * each.mean()
    loss = MaskedLoss(head, weights, 0.0)  # type: ignore[arg-type]
    assert value(loss, truth, logits) == pytest.approx(expected, 1e-5)


def test_weights_of_several_classes() -> None:
    classes = rng().choice(3, 90, p=[0.6, 0.3, 0.1])
    truth = one_hot(classes, 3)
    logits = rng().normal(0, 2, (90, 3)).astype(np.float32)
    weights = class_weights(truth, THREE, balanced=True)
    each = compute_sample_weight("balanced", classes)
    expected = log_loss(classes, softmax(logits.astype(float)), sample_weight=each)
    made = value(MaskedLoss("softmax", weights, 0.0), truth, logits)
    assert made == pytest.approx(expected, 1e-5)


def test_an_unknown_label_has_no_loss() -> None:
    truth = rng().integers(0, 2, (40, 3)).astype(np.float32)
    logits = rng().normal(0, 2, (40, 3)).astype(np.float32)
    holes = rng().random((40, 3)) < 0.3
    truth[holes] = NAN
    chances = sigmoid(logits.astype(float))
    cells = [
        log_loss([truth[i, j]], [chances[i, j]], labels=[0, 1])
        for i in range(40)
        for j in range(3)
        if not holes[i, j]
    ]
    loss = MaskedLoss("sigmoid", ones(3), 0.0)
    assert value(loss, truth, logits) == pytest.approx(sum(cells) / 120, 1e-5)
    # The logit of an unknown label has no effect.
    logits[holes] = 77.0
    assert value(loss, truth, logits) == pytest.approx(sum(cells) / 120, 1e-5)


@pytest.mark.parametrize(("head", "width", "labels"), [("sigmoid", 1, 1), ("softmax", 2, 1)])
def test_an_unknown_image_has_no_loss(head: str, width: int, labels: int) -> None:
    truth = np.array([[1.0], [NAN], [0.0]], np.float32)
    logits = rng().normal(0, 1, (3, width)).astype(np.float32)
    loss = MaskedLoss(head, ones(labels), 0.0)  # type: ignore[arg-type]
    known = value(loss, truth[[0, 2]], logits[[0, 2]])
    assert value(loss, truth, logits) == pytest.approx(known * 2 / 3, 1e-5)


def test_gradients_with_unknown_labels_are_finite() -> None:
    keras = pytest.importorskip("keras")
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    network.compile("sgd", MaskedLoss("sigmoid", ones(2), 0.0))
    truth = np.array([[1.0, NAN], [NAN, NAN], [NAN, 0.0]], np.float32)
    network.train_on_batch(rng().normal(size=(3, 2)).astype(np.float32), truth)
    assert all(np.isfinite(w).all() for w in network.get_weights())


def test_label_smoothing() -> None:
    truth = rng().integers(0, 2, (30, 1)).astype(np.float32)
    logits = rng().normal(0, 2, (30, 1)).astype(np.float32)
    chance = sigmoid(logits.astype(float))
    target = truth * 0.8 + 0.1
    expected = float(np.mean(-target * np.log(chance) - (1 - target) * np.log(1 - chance)))
    assert value(MaskedLoss("sigmoid", ones(1), 0.2), truth, logits) == pytest.approx(
        expected, 1e-5
    )
    both = np.concatenate([np.zeros_like(logits), logits], axis=1)
    assert value(MaskedLoss("softmax", ones(1), 0.2), truth, both) == pytest.approx(expected, 1e-5)


def test_label_smoothing_of_several_classes() -> None:
    classes = rng().integers(0, 3, 30)
    logits = rng().normal(0, 2, (30, 3)).astype(np.float32)
    target = one_hot(classes, 3) * 0.7 + 0.1
    expected = float(-np.mean((target * np.log(softmax(logits.astype(float)))).sum(axis=1)))
    made = value(MaskedLoss("softmax", ones(3), 0.3), one_hot(classes, 3), logits)
    assert made == pytest.approx(expected, 1e-5)


def test_balanced_weights_give_both_classes_the_same_total() -> None:
    truth = np.array([1, 1, 1, 0, NAN, NAN], np.float32)[:, None]
    weights = class_weights(truth, BINARY, balanced=True)
    np.testing.assert_allclose(weights[:, 0], [2.0, 2 / 3])
    each = compute_sample_weight("balanced", [1, 1, 1, 0])
    np.testing.assert_allclose(np.where(truth[:4, 0] == 1, weights[1], weights[0]), each, rtol=1e-6)


def test_balanced_weights_of_several_labels() -> None:
    truth = np.array([[1, 0, 1], [0, 0, NAN], [0, 0, NAN], [0, 0, 1]], np.float32)
    weights = class_weights(truth, MANY, balanced=True)
    np.testing.assert_allclose(weights[:, 0], [4 / 6, 4 / 2])
    np.testing.assert_array_equal(weights[:, 1], [1, 1])  # only zeros: nothing to balance
    np.testing.assert_array_equal(weights[:, 2], [1, 1])  # only ones


def test_balanced_weights_of_several_classes() -> None:
    classes = np.array([0] * 6 + [1] * 3 + [2] * 1)
    weights = class_weights(one_hot(classes, 3), THREE, balanced=True)
    np.testing.assert_allclose(weights[1], [10 / 18, 10 / 9, 10 / 3], rtol=1e-6)
    assert weights[1][classes].mean() == pytest.approx(1)


@pytest.mark.parametrize("task", [BINARY, MANY])
def test_without_balance_all_weights_are_1(task: Task) -> None:
    truth = np.array([[1.0, 0.0, 0.0]] * 3 + [[0.0, 1.0, 0.0]], np.float32)[:, : len(task.labels)]
    assert (class_weights(truth, task, balanced=False) == 1).all()


def accuracy(head: str, truth: object, logits: object) -> float:
    metric = MaskedAccuracy(head)  # type: ignore[arg-type]
    metric.update_state(np.asarray(truth, np.float32), np.asarray(logits, np.float32))
    return float(ops.convert_to_numpy(metric.result()))


def test_accuracy_of_known_labels() -> None:
    truth = rng().integers(0, 2, (30, 3)).astype(np.float32)
    logits = rng().normal(0, 1, (30, 3)).astype(np.float32)
    holes = rng().random((30, 3)) < 0.4
    expected = accuracy_score(truth[~holes], logits[~holes] > 0)
    truth[holes] = NAN
    assert accuracy("sigmoid", truth, logits) == pytest.approx(expected)


def test_accuracy_of_classes() -> None:
    classes = rng().integers(0, 3, 30)
    logits = rng().normal(0, 1, (30, 3)).astype(np.float32)
    expected = accuracy_score(classes, logits.argmax(axis=1))
    assert accuracy("softmax", one_hot(classes, 3), logits) == pytest.approx(expected)
    truth = one_hot(classes, 3)
    truth[::2] = NAN
    expected = accuracy_score(classes[1::2], logits[1::2].argmax(axis=1))
    assert accuracy("softmax", truth, logits) == pytest.approx(expected)


def test_accuracy_of_a_binary_softmax() -> None:
    assert accuracy("softmax", [[1], [0], [1], [NAN]], [[0, 1], [0, 1], [0, 1], [0, 1]]) == (
        pytest.approx(2 / 3)
    )


def test_accuracy_adds_up_over_batches_by_images() -> None:
    metric = MaskedAccuracy("sigmoid")
    metric.update_state(np.float32([[1], [1], [1]]), np.float32([[1], [1], [1]]))
    metric.update_state(np.float32([[1]]), np.float32([[-1]]))
    assert float(ops.convert_to_numpy(metric.result())) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("task", "loss", "head", "outputs"),
    [
        (BINARY, "auto", "sigmoid", 1),
        (BINARY, "sigmoid", "sigmoid", 1),
        (BINARY, "softmax", "softmax", 2),
        (THREE, "auto", "softmax", 3),
        (THREE, "softmax", "softmax", 3),
        (MANY, "auto", "sigmoid", 3),
        (MANY, "softmax", "sigmoid", 3),  # its labels do not exclude each other
    ],
)
def test_heads(task: Task, loss: str, head: str, outputs: int) -> None:
    chosen = head_of(task, loss)
    assert chosen == head
    assert outputs_of(task, chosen) == outputs


def test_weights_are_tensors_since_a_gpu_takes_no_numpy_arrays() -> None:
    loss = MaskedLoss("sigmoid", np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), 0.0)
    zeros, ones_ = loss._weights()
    assert ops.is_tensor(zeros) and ops.is_tensor(ones_)
    assert ops.convert_to_numpy(zeros).tolist() == [1.0, 2.0]
    assert ops.convert_to_numpy(ones_).tolist() == [3.0, 4.0]


def distilled(
    head: str, truth: NDArray[np.float32], taught: NDArray[np.float32], logits: NDArray[np.float32]
) -> float:
    """Return the loss with a share of 0.25 at temperature 3 and weights 0.5 and 2."""
    weights = np.array([[0.5] * truth.shape[1], [2.0] * truth.shape[1]], np.float32)
    loss = DistilLoss(head, weights, 0.0, 0.25, 3.0)  # type: ignore[arg-type]
    hard = MaskedLoss(head, weights, 0.0)  # type: ignore[arg-type]
    both = value(loss, np.concatenate([truth, taught], axis=1), logits)
    return (both - 0.75 * value(hard, truth, logits)) / 0.25


def test_distillation_of_labels_equals_scipy() -> None:
    truth = rng().integers(0, 2, (6, 3)).astype(np.float32)
    taught, logits = rng().normal(0, 3, (2, 6, 3)).astype(np.float32)
    truth[0, 1] = truth[3] = np.nan
    target, found = expit(taught / 3), logits / 3
    entropy = -target * log_expit(found) - (1 - target) * log_expit(-found)
    share = np.where(np.isnan(truth), expit(taught), truth)
    expected = 9 * np.mean((0.5 + 1.5 * share) * entropy)
    assert distilled("sigmoid", truth, taught, logits) == pytest.approx(expected, rel=1e-4)
    # A softmax of two classes has the loss of the difference of its logits.
    one, both = logits[:, :1], np.concatenate([logits[:, 1:2], logits[:, 1:2] + logits[:, :1]], 1)
    sigmoid = distilled("sigmoid", truth[:, :1], taught[:, :1], one)
    assert distilled("softmax", truth[:, :1], taught[:, :1], both) == pytest.approx(
        sigmoid, rel=1e-4
    )


def test_distillation_of_classes_equals_scipy() -> None:
    truth = one_hot(rng().integers(0, 4, 6), 4)
    taught, logits = rng().normal(0, 3, (2, 6, 4)).astype(np.float32)
    truth[2] = np.nan
    entropy = -(softmax(taught / 3) * log_softmax(logits / 3, axis=1)).sum(axis=1)
    expected = 9 * np.mean(2 * entropy)  # all classes have one weight
    assert distilled("softmax", truth, taught, logits) == pytest.approx(expected, rel=1e-4)


def test_a_student_that_predicts_as_its_teacher_has_the_least_loss() -> None:
    loss = DistilLoss("sigmoid", ones(1), 0.0, 1.0, 2.0)
    logits = np.array([[0.7], [-2.0]], np.float32)
    truth = np.concatenate([np.array([[1.0], [NAN]], np.float32), logits], axis=1)
    for step in (-0.1, 0.1):
        assert value(loss, truth, logits + np.float32(step)) > value(loss, truth, logits)


def test_accuracy_ignores_what_follows_the_labels() -> None:
    accuracy = MaskedAccuracy("softmax", 2)
    accuracy.update_state(np.array([[1.0, 0.0, 0.0, 9.0]]), np.array([[2.0, 1.0]]))
    assert float(accuracy.result()) == 1.0

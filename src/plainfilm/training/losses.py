"""Loss and accuracy that ignore unknown labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from plainfilm.training.networks import Head


class MaskedLoss(keras.losses.Loss):  # type: ignore[misc]
    """Weighted cross-entropy of logits; the loss of a NaN label is 0.

    ``weights`` (2, labels) are those of `class_weights`, ``smoothing`` of labels is 0 to 1.
    """

    def __init__(self, head: Head, weights: NDArray[np.float32], smoothing: float) -> None:
        super().__init__(name="loss", reduction="sum_over_batch_size")
        self.head, self.weights, self.smoothing = head, weights, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,)."""
        known = ops.logical_not(ops.isnan(y_true))
        y_true = ops.where(known, y_true, 0.0)
        mask = ops.cast(known, "float32")
        logits = ops.cast(y_pred, "float32")
        if self.head == "softmax":
            return self._softmax(y_true, mask, logits)
        zeros, ones = self._weights()
        weight = mask * (y_true * ones + (1.0 - y_true) * zeros)
        target = y_true * (1.0 - self.smoothing) + 0.5 * self.smoothing
        entropy = ops.softplus(logits) - target * logits
        return ops.sum(weight * entropy, axis=-1) / max(1, self.weights.shape[1])

    def _weights(self) -> tuple[Any, Any]:
        """Return the weights of 0 and 1 as tensors: on a GPU, PyTorch takes no NumPy arrays."""
        weights = ops.convert_to_tensor(self.weights)
        return weights[0], weights[1]

    def _softmax(self, y_true: Any, mask: Any, logits: Any) -> Any:
        zeros, ones = self._weights()
        if self.weights.shape[1] == 1:
            weight = (y_true * ones + (1.0 - y_true) * zeros)[:, 0]
            y_true = ops.concatenate([1.0 - y_true, y_true], axis=-1)
        else:
            weight = ops.sum(y_true * ones, axis=-1)
        classes = logits.shape[-1]
        target = y_true * (1.0 - self.smoothing) + self.smoothing / classes
        entropy = -ops.sum(target * ops.log_softmax(logits, axis=-1), axis=-1)
        return ops.min(mask, axis=-1) * weight * entropy


class DistilLoss(MaskedLoss):
    """The loss of labels and of a teacher's predictions, see `plainfilm.config.DistilConfig`.

    ``y_true`` has the labels, followed by the log odds of the teacher, or by its logits for the
    classes of a softmax. The weight of an image is that of its labels; where a label is unknown,
    that of the teacher's probability.
    """

    def __init__(
        self,
        head: Head,
        weights: NDArray[np.float32],
        smoothing: float,
        share: float,
        temperature: float,
    ) -> None:
        super().__init__(head, weights, smoothing)
        self.share, self.temperature = share, temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,)."""
        count = self.weights.shape[1]
        labels, taught = y_true[:, :count], y_true[:, count:]
        logits = ops.cast(y_pred, "float32")
        if count == 1 and self.head == "softmax":  # the difference of two classes
            soft = self._sigmoid(labels, taught, logits[:, 1:] - logits[:, :1])
        elif self.head == "softmax":
            soft = self._classes(labels, taught, logits)
        else:
            soft = self._sigmoid(labels, taught, logits)
        hard = super().call(labels, y_pred)
        return (1.0 - self.share) * hard + self.share * self.temperature**2 * soft

    def _sigmoid(self, labels: Any, taught: Any, logits: Any) -> Any:
        zeros, ones = self._weights()
        share = ops.where(ops.isnan(labels), ops.sigmoid(taught), labels)
        weight = share * ones + (1.0 - share) * zeros
        cool = logits / self.temperature
        entropy = ops.softplus(cool) - ops.sigmoid(taught / self.temperature) * cool
        return ops.sum(weight * entropy, axis=-1) / self.weights.shape[1]

    def _classes(self, labels: Any, taught: Any, logits: Any) -> Any:
        _, ones = self._weights()
        weight = ops.sum(ops.where(ops.isnan(labels), ops.softmax(taught), labels) * ones, axis=-1)
        target = ops.softmax(taught / self.temperature)
        cool = ops.log_softmax(logits / self.temperature, axis=-1)
        return -weight * ops.sum(target * cool, axis=-1)


class MaskedAccuracy(keras.metrics.Mean):  # type: ignore[misc]
    """Share of known labels (sigmoid) or images (softmax) that are predicted correctly.

    Columns of ``y_true`` beyond the number of ``labels``, if that is given, are ignored.
    """

    def __init__(self, head: Head, labels: int | None = None) -> None:
        super().__init__(name="accuracy")
        self.head, self.labels = head, labels

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; ``sample_weight`` is not used."""
        del sample_weight
        y_true = y_true[:, : self.labels]
        known = ops.cast(ops.logical_not(ops.isnan(y_true)), "float32")
        if self.head == "sigmoid":
            correct = ops.equal(y_pred > 0, y_true > 0.5)
        else:
            target = y_true[:, 0] > 0.5 if y_true.shape[-1] == 1 else ops.argmax(y_true, axis=-1)
            predicted = ops.argmax(y_pred, axis=-1)
            correct = ops.equal(ops.cast(target, "int32"), ops.cast(predicted, "int32"))
            known = ops.min(known, axis=-1)
        super().update_state(ops.cast(correct, "float32"), sample_weight=known)

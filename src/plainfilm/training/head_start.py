"""Fits the last layer of a network with pretrained weights, before the first training step.

A random last layer would send random gradients into the pretrained weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from plainfilm._progress import Progress
from plainfilm.models.head import fit_head
from plainfilm.models.layers import FeatureScaling
from plainfilm.training.feed import Batch
from plainfilm.training.networks import Head

_PENALTY = 30.0  # of the squared coefficients; that of hundreds of features, which are correlated
_MOST = 8192  # images; more would not change the start


def below_last_layer(network: Any) -> Any:
    """Return the model of the features that enter the last layer, before scaling and dropout."""
    features = network.layers[-1].input
    while isinstance(features._keras_history.operation, layers.Dropout | FeatureScaling):
        features = features._keras_history.operation.input
    return keras.Model(network.inputs, features)


def start_last_layer(
    network: Any,
    features: Any,
    batches: Iterable[Batch],
    count: int,
    head: Head,
    weights: NDArray[np.float32],
    progress: Progress,
) -> None:
    """Fit the last layer of a network by logistic regression.

    ``features`` is the model from the input of a batch to the features, ``count`` the number of
    different images in ``batches``, and ``weights`` those of `class_weights`.
    """
    count = min(count, _MOST)
    rows: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.float32]] = []
    done = 0
    for batch in batches:
        inputs = batch.images, batch.transforms, batch.tones
        found = features.predict_on_batch([ops.convert_to_tensor(part) for part in inputs])
        rows.append(np.asarray(found, np.float32))
        labels.append(batch.labels)
        done = min(count, done + len(batch.labels))
        progress("fitting the last layer", done, count)
        if done == count:
            break
    fitted = fit_head(
        np.concatenate(rows)[:count],
        np.concatenate(labels)[:count],
        head=head,
        weights=weights,
        penalty=_PENALTY,
    )
    last, kernel, bias = network.layers[-1], fitted.kernel, fitted.bias
    scaling = [layer for layer in network.layers if isinstance(layer, FeatureScaling)]
    if scaling:
        scaling[0].mean.assign(fitted.mean)
        scaling[0].deviation.assign(fitted.deviation)
    else:
        kernel = kernel / fitted.deviation[:, None]
        bias = bias - fitted.mean @ kernel
    last.kernel.assign(kernel)
    last.bias.assign(bias)

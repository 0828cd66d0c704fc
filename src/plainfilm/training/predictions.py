"""What a network says of many images, without compiling anything twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["answers_of", "answers_of_all"]

_BATCH = 128


def answers_of(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what a network with one output says of images (n, size, size): (n, outputs)."""
    # As even as they can be, batches are filled up with hardly anything.
    batches = -(-len(images) // _BATCH)
    [answers] = answers_of_all(network, images, -(-len(images) // batches))
    return answers


def answers_of_all(
    network: Any, images: NDArray[np.uint8], batch: int = _BATCH
) -> list[NDArray[np.float64]]:
    """Return what each output of a Keras model says of images (n, size, size), n > 0.

    All batches are of one shape, the last filled up: a backend compiles anew for every shape that
    it meets, which takes longer than some hundreds of images.
    """
    parts = []
    for at in range(0, len(images), batch):
        some = images[at : at + batch]
        full = np.resize(some, (batch, *some.shape[1:]))
        given = network.predict_on_batch(full[..., None])
        outputs = given if isinstance(given, list | tuple) else [given]
        parts.append([np.asarray(output, np.float64)[: len(some)] for output in outputs])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]

"""What each step is fed: a pure function of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import memory_bytes
from plainfilm.config import AugmentConfig
from plainfilm.data import Cache
from plainfilm.models import draw_augmentation
from plainfilm.training.backend import has_accelerator

__all__ = ["Batch", "Feed", "Gather", "images_of"]

_ON_DEVICE = 2 << 30  # bytes

Gather = Callable[[NDArray[np.int64]], Any]
"""From indices (k,) to images uint8 (k, side, side): an array, or a tensor of the backend."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input.

    Attributes
    ----------
    images
        uint8 (batch, side, side, 1), an array or a tensor.
    transforms, tones
        From `plainfilm.models.draw_augmentation`.
    labels
        float32 (batch, labels), 1, 0 or NaN.
    """

    images: Any
    transforms: NDArray[np.float32]
    tones: NDArray[np.float32]
    labels: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Feed:
    """Shuffled, augmented batches.

    Attributes
    ----------
    gather
        Where the images come from.
    labels
        float32 (n, labels).
    augment
        Strengths of the augmentation.
    size
        Side of the images after augmentation.
    batch
        Images a step.
    seed
        Of the run.
    """

    gather: Gather
    labels: NDArray[np.float32]
    augment: AugmentConfig
    size: int
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Return the steps of an epoch."""
        return -(-len(self.labels) // self.batch)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from ``first_step`` on.

        All batches are of one size: the last is filled up with the epoch's first images, so that
        nothing is compiled twice and no image is left out.
        """
        n = len(self.labels)
        rng = np.random.default_rng([self.seed, epoch])
        order = np.resize(rng.permutation(n), self.steps * self.batch)
        # All of the epoch is drawn at once: a few numbers an image, whatever the first step.
        transforms, tones = draw_augmentation(self.augment, rng, len(order), self.size)
        for step in range(first_step, self.steps):
            part = slice(step * self.batch, (step + 1) * self.batch)
            chosen = order[part]
            yield Batch(
                self.gather(chosen)[..., None], transforms[part], tones[part], self.labels[chosen]
            )


def images_of(cache: Cache, backend: str) -> Gather:
    """Return where the images of a cache come from while a network learns from them.

    From memory where they take at most a quarter of it, else from the shards. Where the backend
    computes on a device of its own, and they take at most 2 GiB, they are copied there once: a step
    then sends a few numbers an image over, not the pixels.
    """
    needed = len(cache) * cache.spec.size**2
    if needed > (memory_bytes() or 2**32) // 4:
        return cache.gather
    images = cache.all()
    if needed <= _ON_DEVICE and has_accelerator(backend):
        from keras import ops

        there = ops.convert_to_tensor(images)
        return lambda indices: ops.take(there, ops.convert_to_tensor(indices), axis=0)
    return lambda indices: images[indices]

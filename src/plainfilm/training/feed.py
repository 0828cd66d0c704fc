"""Yields the training batches: a pure function of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import memory_bytes
from plainfilm.config import AugmentConfig
from plainfilm.data import Cache
from plainfilm.models import apply_augmentation, draw_augmentation
from plainfilm.training.backend import has_accelerator
from plainfilm.training.distil import Teacher, map_ahead

_MAX_ON_DEVICE = 2 << 30  # bytes

Gather = Callable[[NDArray[np.int64]], Any]
"""Function from indices (k,) to images uint8 (k, side, side), an array or tensor."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of one step: images uint8 (batch, side, side, 1), what `draw_augmentation` drew for
    them, and labels float32 (batch, labels), followed by the teacher's log odds, if there is one.
    """

    images: Any
    transforms: NDArray[np.float32]
    tones: NDArray[np.float32]
    labels: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Feed:
    """Shuffled batches of images, augmented to a side of ``size``, with labels (n, labels).

    With a ``teacher`` the images of a batch are augmented already, because it predicts on them.
    ``rows`` are those of each batch of ``batch`` images that this process computes, None
    for all.
    """

    gather: Gather
    labels: NDArray[np.float32]
    augment: AugmentConfig
    size: int
    batch: int
    seed: int
    teacher: Teacher | None = None
    rows: slice | None = None

    @property
    def on_device(self) -> AugmentConfig:
        """Return the augmentation that remains for the device."""
        return self.augment if self.teacher is None else AugmentConfig()

    @property
    def steps(self) -> int:
        """Return the number of steps in an epoch."""
        return -(-len(self.labels) // self.batch)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from ``first_step`` on.

        All batches have the same size, so that the backend compiles only once. The last one is
        filled up with the first images of the epoch.
        """
        batches = self._draw(epoch, first_step)
        return batches if self.teacher is None else map_ahead(self._teach, batches)

    def _teach(self, batch: Batch) -> Batch:
        """Augment the images of a batch, and add the predictions of the teacher to its labels."""
        assert self.teacher is not None
        images = apply_augmentation(
            self.augment,
            batch.images[..., 0],
            batch.transforms,
            batch.tones,
            size=self.size,
            seed=self.seed,
        )
        labels = np.concatenate([batch.labels, self.teacher.log_odds(images)], axis=1)
        return replace(batch, images=images[..., None], labels=labels)

    def _draw(self, epoch: int, first_step: int) -> Iterator[Batch]:
        n = len(self.labels)
        rng = np.random.default_rng([self.seed, epoch])
        order = np.resize(rng.permutation(n), self.steps * self.batch)
        # Drawn for the whole epoch, so that a step does not depend on the first step.
        transforms, tones = draw_augmentation(self.augment, rng, len(order), self.size)
        for step in range(first_step, self.steps):
            part = np.arange(step * self.batch, (step + 1) * self.batch)[self.rows or slice(None)]
            chosen = order[part]
            yield Batch(
                self.gather(chosen)[..., None], transforms[part], tones[part], self.labels[chosen]
            )


def images_of(cache: Cache, backend: str | None, processes: int = 1) -> Gather:
    """Return the function by which `Feed` gets the images of a cache.

    Images that take at most a quarter of the memory, with all ``processes`` of this machine, are
    held in memory, others are read from the cache. Up to 2 GiB are copied to an accelerator of the
    ``backend`` once, so that a step sends no pixels; None leaves them on the host.
    """
    size = len(cache) * cache.spec.size**2
    if size * processes > (memory_bytes() or 2**32) // 4:
        return cache.gather
    images = cache.all()
    if backend and size <= _MAX_ON_DEVICE and has_accelerator(backend):
        from keras import ops

        tensor = ops.convert_to_tensor(images)
        return lambda indices: ops.take(tensor, ops.convert_to_tensor(indices), axis=0)
    return lambda indices: images[indices]

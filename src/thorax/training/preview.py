"""What augmented training images look like."""

from __future__ import annotations

import numpy as np
from keras import ops
from numpy.typing import NDArray

from thorax.config import AugmentConfig
from thorax.models import Augment, draw_augmentation

__all__ = ["augmented_images"]

_CHUNK = 256


def augmented_images(
    config: AugmentConfig, size: int, images: NDArray[np.uint8], seed: int = 0
) -> NDArray[np.uint8]:
    """Return images as one epoch of training shows them to the network.

    Parameters
    ----------
    config
        Strengths of the augmentation.
    size
        Side of the network's input.
    images
        uint8 (n, side, side); the side is ``size``, or ``config.crop_from``.
    seed
        Of the draw.

    Returns
    -------
    uint8 (n, size, size)
    """
    augment = Augment(config, size, seed)
    transforms, tones = draw_augmentation(config, np.random.default_rng(seed), len(images), size)
    made = [
        ops.convert_to_numpy(augment(images[part, ..., None], transforms[part], tones[part]))
        for part in (slice(at, at + _CHUNK) for at in range(0, len(images), _CHUNK))
    ]
    levels: NDArray[np.float32] = np.concatenate(made)[..., 0]
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)

"""Augments images outside of training, without a training framework."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig
from plainfilm.models import apply_augmentation, draw_augmentation


def augmented_images(
    config: AugmentConfig, size: int, images: NDArray[np.uint8], seed: int = 0
) -> NDArray[np.uint8]:
    """Return images as the network receives them in one epoch of training.

    Parameters
    ----------
    config
        Strengths of the augmentation.
    size
        Side of the network's input.
    images
        uint8 (n, side, side); the side is ``size``, or ``config.crop_from`` unless that is 0.
    seed
        Seed of the random draw.

    Returns
    -------
    uint8 (n, size, size)
    """
    transforms, tones = draw_augmentation(config, np.random.default_rng(seed), len(images), size)
    return apply_augmentation(config, images, transforms, tones, size=size, seed=seed)

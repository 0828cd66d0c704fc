"""Makes augmented images to look at, and imports Keras for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig
from plainfilm.training.backend import use_backend

_CHUNK = 1 << 20  # pixels; as floats, all images would take four times their memory


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

    Raises
    ------
    MissingExtraError
        If no training framework is installed.
    """
    use_backend()
    from keras import ops

    from plainfilm.models import Augment, draw_augmentation

    augment = Augment(config, size, seed)
    transforms, tones = draw_augmentation(config, np.random.default_rng(seed), len(images), size)
    result = np.empty((len(images), size, size), np.uint8)
    step = max(1, _CHUNK // size**2)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        augmented = augment(images[part, ..., None], transforms[part], tones[part])
        result[part] = np.clip(np.rint(ops.convert_to_numpy(augmented)[..., 0]), 0, 255)
    return result

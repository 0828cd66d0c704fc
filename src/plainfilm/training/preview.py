"""What augmented training images look like. Keras is imported when they are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig
from plainfilm.training.backend import use_backend

__all__ = ["augmented_images"]

_AT_ONCE = 1 << 20  # pixels; as floats, all images would take four times their memory


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
    shown = np.empty((len(images), size, size), np.uint8)
    step = max(1, _AT_ONCE // size**2)
    for at in range(0, len(images), step):
        part = slice(at, at + step)
        made = augment(images[part, ..., None], transforms[part], tones[part])
        shown[part] = np.clip(np.rint(ops.convert_to_numpy(made)[..., 0]), 0, 255)
    return shown

"""Augmentation: drawn on the host as a few numbers an image, applied on the device in one pass.

Flip, turn, rotation, shift, zoom, shear and crop compose into one matrix, so an image is resampled
once however much is done to it. The numbers come from an explicit generator, so any step of any
epoch can be drawn again alone: that is what lets a run that was killed continue exactly.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig
from plainfilm.models.resample import resample

__all__ = ["Augment", "draw_augmentation"]

Array = NDArray[np.float32]

_BANK = 64  # images full of noise
_NOISE = 0x6E6F  # tells this use of the seed from others


def draw_augmentation(
    config: AugmentConfig, rng: np.random.Generator, n: int, size: int
) -> tuple[Array, Array]:
    """Draw what happens to each of ``n`` images.

    Parameters
    ----------
    config
        Strengths.
    rng
        Where the numbers come from.
    n
        Number of images.
    size
        Side of the images that come out; ``config.crop_from`` is that of those that go in.

    Returns
    -------
    transforms : float32 (n, 8)
        Projective maps from output to input pixels, in the form of
        `keras.ops.image.affine_transform`.
    tones : float32 (n, 5)
        Contrast factor, brightness in grey values, noise level in grey values, and the two rows of
        the layer's bank of noise where this image's begins (whole numbers).
    """

    def spread(limit: float) -> NDArray[np.float64]:
        return rng.uniform(-limit, limit, n)

    angle = np.deg2rad(spread(config.rotation))
    if config.quarter_turns:
        angle += rng.integers(0, 3, n) * (np.pi / 2)
    zoom = np.exp(spread(np.log1p(config.zoom)))
    aspect = np.exp(spread(np.log1p(config.aspect)) / 2)
    shear = np.tan(np.deg2rad(spread(config.shear)))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0) if config.flip else np.ones(n)
    source = config.crop_from or size
    if config.crop_from:
        corner = rng.integers(0, config.crop_from - size + 1, (n, 2)).astype(np.float64)
    else:
        corner = np.zeros((n, 2))
    shift = np.stack([spread(config.shift), spread(config.shift)], 1) * size

    # Output pixel p comes from input pixel M (p - centre) + centre + corner + shift.
    along, across = zoom * aspect, zoom / aspect
    cos, sin = np.cos(angle), np.sin(angle)
    m00 = cos * along * mirror
    m01 = (cos * shear - sin) * across
    m10 = sin * along * mirror
    m11 = (sin * shear + cos) * across
    centre = (size - 1) / 2
    offset_x = centre - centre * (m00 + m01) + corner[:, 0] + shift[:, 0]
    offset_y = centre - centre * (m10 + m11) + corner[:, 1] + shift[:, 1]
    zero = np.zeros(n)
    transforms = np.stack([m00, m01, offset_x, m10, m11, offset_y, zero, zero], 1)

    contrast = np.exp(spread(np.log1p(config.contrast)))
    brightness = 255 * spread(config.brightness)
    # Squared, so that most images stay almost clean.
    noise = 255 * config.noise * rng.random(n) ** 2
    rows = rng.integers(0, _BANK * size, (n, 2)) if config.noise else np.zeros((n, 2))
    assert source >= size
    tones = np.column_stack([contrast, brightness, noise, rows])
    return transforms.astype(np.float32), tones.astype(np.float32)


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Apply what `draw_augmentation` drew, on the device.

    Parameters
    ----------
    config
        Says which parts are needed at all; a part whose strength is zero costs nothing.
    size
        Side of the images that come out.
    seed
        Of the bank of noise.

    Drawing a normal number for every pixel takes a twentieth of a step. So some images full of them
    are drawn once, and the noise of an image is the difference of two windows of that bank (over
    the root of 2, so that its level stays): one of millions, and the same on every backend.
    """

    def __init__(self, config: AugmentConfig, size: int, seed: int) -> None:
        super().__init__(name="augment", dtype="float32")
        self.config = config
        self.size = size
        self.seed = seed
        self.moves = bool(
            config.flip
            or config.quarter_turns
            or config.crop_from
            or any((config.rotation, config.shift, config.zoom, config.aspect, config.shear))
        )

    def build(self, *_: Any) -> None:
        """Draw the bank of noise, rows of pixels."""
        if self.config.noise:
            rng = np.random.default_rng([self.seed, _NOISE])
            rows = rng.standard_normal(((_BANK + 1) * self.size, self.size), np.float32)
            self.bank = self.add_weight(
                shape=rows.shape,
                initializer=lambda *_, **__: ops.convert_to_tensor(rows / np.float32(np.sqrt(2))),
                trainable=False,
                name="bank",
            )
        super().build(None)

    def call(self, images: Any, transforms: Any, tones: Any) -> Any:
        """Return the images (n, size, size, 1), float32, 0 to 255 but for the noise."""
        x = ops.cast(images, "float32")
        if self.moves:
            x = resample(x, transforms, self.size, nearest=self.config.fill == "nearest")
        tones = tones[:, None, None, :]
        if self.config.contrast or self.config.brightness:
            x = ops.clip((x - 128.0) * tones[..., 0:1] + (128.0 + tones[..., 1:2]), 0.0, 255.0)
        if self.config.noise:
            rows = ops.cast(tones[:, 0, 0, 3:5], "int32")
            x = x + tones[..., 2:3] * (self._window(rows[:, 0]) - self._window(rows[:, 1]))
        return x

    def _window(self, first: Any) -> Any:
        """Return noise (n, size, size, 1) from rows ``first`` (n,) of the bank on."""
        rows = first[:, None] + ops.arange(self.size, dtype="int32")[None]
        return ops.take(self.bank, rows, axis=0)[..., None]

    def compute_output_shape(
        self, images_shape: Any, transforms_shape: Any, tones_shape: Any
    ) -> tuple[Any, int, int, int]:
        """Return (n, size, size, 1)."""
        return (images_shape[0], self.size, self.size, 1)

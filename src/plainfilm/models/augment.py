"""Augments images: a few numbers for each image are drawn on the host and applied on the device.

Flip, rotation, shift, zoom, shear and crop are combined in one matrix, so that an image is
resampled only once. The numbers come from an explicit random generator, so that any step of any
epoch can be drawn again. An interrupted run therefore continues exactly.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig

Array = NDArray[np.float32]

_BANK = 64  # number of images in the noise bank
_NOISE = 0x6E6F  # separates this use of the seed from others


def draw_augmentation(
    config: AugmentConfig, rng: np.random.Generator, n: int, size: int
) -> tuple[Array, Array]:
    """Draw the augmentation of ``n`` images to a side of ``size``, as float32 arrays.

    The transforms (n, 8) are affine maps from output to input pixels, as in
    `keras.ops.image.affine_transform`. The tones (n, 5) are contrast factor, brightness and noise
    level in grey values, and the first rows of the image's two windows of the noise bank.
    """

    def symmetric(limit: float) -> NDArray[np.float64]:
        return rng.uniform(-limit, limit, n)

    angle = np.deg2rad(symmetric(config.rotation))
    if config.quarter_turns:
        angle += rng.integers(0, 3, n) * (np.pi / 2)
    zoom = np.exp(symmetric(np.log1p(config.zoom)))
    aspect = np.exp(symmetric(np.log1p(config.aspect)) / 2)
    shear = np.tan(np.deg2rad(symmetric(config.shear)))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0) if config.flip else np.ones(n)
    corner = np.zeros((n, 2))
    if config.crop_from:
        corner += rng.integers(0, config.crop_from - size + 1, (n, 2))
    shift = np.stack([symmetric(config.shift), symmetric(config.shift)], 1) * size

    # Output pixel p is input pixel M (p - centre) + centre + corner + shift.
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

    contrast = np.exp(symmetric(np.log1p(config.contrast)))
    brightness = 255 * symmetric(config.brightness)
    # Squared, so that most images have little noise.
    noise = 255 * config.noise * rng.random(n) ** 2
    rows = rng.integers(0, _BANK * size, (n, 2)) if config.noise else np.zeros((n, 2))
    tones = np.column_stack([contrast, brightness, noise, rows])
    return transforms.astype(np.float32), tones.astype(np.float32)


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Applies what `draw_augmentation` drew, on the device; parts of zero strength are omitted.

    Drawing a normal number for every pixel takes a twentieth of a step. Therefore a bank of noise
    is drawn once, from ``seed``. The noise of an image is the difference of two windows of the
    bank, divided by the square root of 2 to keep its level. This gives millions of noise images,
    the same on every backend.
    """

    def __init__(self, config: AugmentConfig, size: int, seed: int) -> None:
        super().__init__(name="augment", dtype="float32")
        self.config = config
        self.size = size
        self.seed = seed
        moves = (config.flip, config.quarter_turns, config.crop_from, config.rotation)
        self.moves = any((*moves, config.shift, config.zoom, config.aspect, config.shear))

    def build(self, *_: Any) -> None:
        """Draw the noise bank, rows of pixels."""
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
        """Return augmented images (n, size, size, 1), float32, 0 to 255 before noise is added."""
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
        """Return noise (n, size, size, 1) from the bank's rows that start at ``first`` (n,)."""
        rows = first[:, None] + ops.arange(self.size, dtype="int32")[None]
        return ops.take(self.bank, rows, axis=0)[..., None]

    def compute_output_shape(
        self, images_shape: Any, transforms_shape: Any, tones_shape: Any
    ) -> tuple[Any, int, int, int]:
        """Return (n, size, size, 1)."""
        return (images_shape[0], self.size, self.size, 1)


def resample(images: Any, transforms: Any, size: int, *, nearest: bool) -> Any:
    """Resample images (n, side, side, 1) with their own affine maps (n, 8), bilinearly.

    A map takes (x, y) of output to (ax + by + c, dx + ey + f) of input pixels. Pixels outside have
    the value of the ``nearest`` pixel, or 0. Keras's operation is one kernel on TensorFlow and one
    compiled loop on JAX. On PyTorch it is a dozen small operations for each image, which take as
    long as the rest of a training step, so PyTorch's `grid_sample` is used instead.
    """
    if keras.backend.backend() == "torch":
        return _resample_torch(images, transforms, size, "border" if nearest else "zeros")
    resampled = ops.image.affine_transform(
        images,
        transforms,
        interpolation="bilinear",
        data_format="channels_last",
        fill_mode="nearest" if nearest else "constant",
    )
    return resampled[:, :size, :size, :]


def _resample_torch(images: Any, transforms: Any, size: int, outside: str) -> Any:
    import torch

    side = images.shape[1]
    steps = torch.arange(size, dtype=images.dtype, device=images.device)
    a, b, c, d, e, f = transforms[:, :6, None, None].unbind(1)
    x, y = steps[None, None, :], steps[None, :, None]
    pixels = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)
    # Coordinates of grid_sample go from -1, the centre of the first pixel, to 1, that of the last.
    grid = pixels * (2 / (side - 1)) - 1
    channels_first = images.permute(0, 3, 1, 2)
    resampled = torch.nn.functional.grid_sample(
        channels_first, grid, mode="bilinear", padding_mode=outside, align_corners=True
    )
    return resampled.permute(0, 2, 3, 1)

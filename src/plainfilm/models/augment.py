"""The augmentation before the network: applies on the device what was drawn on the host."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig
from plainfilm.models.augment_draw import LEAST_EXPONENT, Tone, noise_bank, text_bank

_LOG_255 = float(np.log(255))


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Applies what `draw_augmentation` drew, on the device; parts of zero strength are omitted."""

    def __init__(self, config: AugmentConfig, size: int, seed: int) -> None:
        super().__init__(name="augment", dtype="float32")
        self.config = config
        self.size = size
        self.seed = seed

    def build(self, *_: Any) -> None:
        """Draw the banks of noise and text."""
        if self.config.noise:
            self.noise = self._constant("bank", noise_bank(self.size, self.seed))
        if self.config.text:
            self.text = self._constant("text", text_bank(self.size, self.seed))
        super().build(None)

    def _constant(self, name: str, values: NDArray[Any]) -> Any:
        return self.add_weight(
            shape=values.shape,
            initializer=lambda *_, **__: ops.convert_to_tensor(values.copy()),
            dtype=values.dtype.name,
            trainable=False,
            name=name,
        )

    def call(self, images: Any, transforms: Any, tones: Any) -> Any:
        """Return augmented images (n, size, size, 1), float32, 0 to 255 before noise is added."""

        def tone(column: Tone) -> Any:
            return tones[:, None, None, column : column + 1]

        config = self.config
        x = ops.cast(images, "float32")
        if config.moves:
            x = resample(x, transforms, self.size, nearest=config.fill == "nearest")
        if config.blur or config.sharpen:
            blurred = _blur(x, tones[:, Tone.SIGMA], self.size)
            x = ops.clip(x + tone(Tone.SHARPNESS) * (x - blurred), 0.0, 255.0)
        if config.side_bars:
            x = self._with_bars(x, tone)
        if config.text:
            chosen = ops.take(self.text, ops.cast(tones[:, Tone.TEXT], "int32"), axis=0)
            letters = ops.cast(chosen, "float32")[..., None] * tone(Tone.TEXT_LEVEL)
            x = ops.maximum(x, letters)
        if config.gamma:
            # Exponential and logarithm take a third of the time of ops.power.
            gamma = tone(Tone.GAMMA)
            x = ops.exp(gamma * ops.log(ops.maximum(x, 1e-30)) + (1.0 - gamma) * _LOG_255)
        if config.contrast or config.brightness:
            shift = 128.0 + tone(Tone.BRIGHTNESS)
            x = ops.clip((x - 128.0) * tone(Tone.CONTRAST) + shift, 0.0, 255.0)
        if config.noise:
            rows = ops.cast(tones[:, Tone.FIRST_ROW : Tone.SECOND_ROW + 1], "int32")
            x = x + tone(Tone.NOISE) * (self._window(rows[:, 0]) - self._window(rows[:, 1]))
        if config.border or config.box:
            x = self._with_covers(x, tone)
        if config.inversion:
            x = ops.where(tone(Tone.INVERTED) > 0.5, 255.0 - x, x)
        return x

    def _window(self, first: Any) -> Any:
        """Return noise (n, size, size, 1) from the bank's rows that start at ``first`` (n,)."""
        rows = first[:, None] + ops.arange(self.size, dtype="int32")[None]
        return ops.take(self.noise, rows, axis=0)[..., None]

    def _with_bars(self, x: Any, tone: Any) -> Any:
        columns = ops.arange(self.size, dtype="float32")[None, None, :, None]
        outside = self.size - tone(Tone.BAR_RIGHT)
        covered = ops.logical_or(columns < tone(Tone.BAR_LEFT), columns >= outside)
        return ops.where(covered, tone(Tone.BAR_GREY), x)

    def _with_covers(self, x: Any, tone: Any) -> Any:
        """Return images with the black border and the grey box."""
        steps = ops.arange(self.size, dtype="float32")
        rows, columns = steps[None, :, None, None], steps[None, None, :, None]
        if self.config.border:
            distance = ops.minimum(steps, self.size - 1 - steps)
            distance = ops.minimum(distance[None, :, None, None], distance[None, None, :, None])
            x = ops.where(distance < tone(Tone.BORDER), 0.0, x)
        if self.config.box:
            down, right = rows - tone(Tone.BOX_TOP), columns - tone(Tone.BOX_LEFT)
            side = tone(Tone.BOX_SIDE)
            high = ops.logical_and(down >= 0, down < side)
            wide = ops.logical_and(right >= 0, right < side)
            x = ops.where(ops.logical_and(high, wide), tone(Tone.BOX_GREY), x)
        return x

    def compute_output_shape(
        self, images_shape: Any, transforms_shape: Any, tones_shape: Any
    ) -> tuple[Any, int, int, int]:
        """Return (n, size, size, 1)."""
        return (images_shape[0], self.size, self.size, 1)


def _blur(images: Any, sigma: Any, size: int) -> Any:
    """Return images (n, size, size, 1) blurred with their own standard deviations, in pixels.

    A product with a matrix along each axis takes the same time for every width of the blur.
    """
    steps = np.arange(size, dtype=np.float32)
    distances = ops.convert_to_tensor((steps - steps[:, None]) ** 2)
    exponents = distances[None] * (-0.5 / sigma**2)[:, None, None]
    kernel = ops.exp(ops.maximum(exponents, LEAST_EXPONENT))
    kernel = kernel / ops.sum(kernel, axis=2, keepdims=True)
    blurred = ops.matmul(kernel, ops.matmul(images[..., 0], ops.transpose(kernel, (0, 2, 1))))
    return blurred[..., None]


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

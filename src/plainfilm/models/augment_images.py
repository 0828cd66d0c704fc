"""Applies augmentations in NumPy, equal to the layer `plainfilm.models.augment.Augment`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig
from plainfilm.models.augment_draw import LEAST_EXPONENT, Array, Tone, noise_bank, text_bank


def apply_augmentation(
    config: AugmentConfig,
    images: NDArray[np.uint8],
    transforms: Array,
    tones: Array,
    *,
    size: int,
    seed: int,
) -> NDArray[np.uint8]:
    """Return images (n, size, size) augmented as `draw_augmentation` drew, rounded to grey values.

    They differ by at most one grey value from those of the layer with the same ``config``, ``size``
    and ``seed``.

    Parameters
    ----------
    config
        The augmentation that was drawn.
    images
        uint8 (n, side, side).
    transforms, tones
        The rows that were drawn for these images.
    size
        Side of the result.
    seed
        Seed of the banks of noise and text.
    """
    result = np.empty((len(images), size, size), np.uint8)
    noise = noise_bank(size, seed) if config.noise else None
    text = text_bank(size, seed) if config.text else None
    for image, transform, tone, augmented in zip(images, transforms, tones, result, strict=True):
        x = (
            _resample(image, transform, size, nearest=config.fill == "nearest")
            if config.moves
            else image.astype(np.float32)
        )
        if tone[Tone.SHARPNESS]:
            x = _sharpen(x, tone[Tone.SIGMA], tone[Tone.SHARPNESS])
        _draw_bars(x, tone)
        if text is not None and tone[Tone.TEXT_LEVEL]:
            np.maximum(x, text[int(tone[Tone.TEXT])] * tone[Tone.TEXT_LEVEL], out=x)
        _change_tones(x, config, tone)
        if noise is not None:
            first, second = int(tone[Tone.FIRST_ROW]), int(tone[Tone.SECOND_ROW])
            x += tone[Tone.NOISE] * (noise[first : first + size] - noise[second : second + size])
        _cover(x, tone)
        np.clip(np.rint(x, out=x), 0, 255, out=x)
        augmented[:] = 255 - x if tone[Tone.INVERTED] else x
    return result


def _resample(image: NDArray[np.uint8], transform: Array, size: int, *, nearest: bool) -> Array:
    """Resample an image (side, side) bilinearly; outside are 0s or the ``nearest`` pixels."""
    side = len(image)
    width = side + 3
    framed = np.zeros((width, width), np.float32)
    framed[1 : side + 1, 1 : side + 1] = image
    steps = np.arange(size, dtype=np.float32)
    a, b, c, d, e, f = transform[:6]
    x = a * steps + (b * steps[:, None] + (c + np.float32(1)))
    y = d * steps + (e * steps[:, None] + (f + np.float32(1)))
    low, high = (1, side) if nearest else (0, side + 1)
    np.clip(x, low, high, out=x)
    np.clip(y, low, high, out=y)
    row, column = y.astype(np.intp), x.astype(np.intp)
    y -= row
    x -= column
    at = row * width + column
    pixels = framed.ravel()
    slopes = np.diff(pixels, append=np.float32(0))
    upper: Array = pixels.take(at, mode="clip") + x * slopes.take(at, mode="clip")
    at += width
    lower = pixels.take(at, mode="clip") + x * slopes.take(at, mode="clip")
    upper += y * (lower - upper)
    return upper


def _sharpen(x: Array, sigma: np.float32, amount: np.float32) -> Array:
    """Return the image plus ``amount`` times its difference from a blurred one."""
    steps = np.arange(len(x), dtype=np.float32)
    exponents = (steps - steps[:, None]) ** 2 * (-0.5 / sigma**2)
    kernel = np.exp(np.maximum(exponents, LEAST_EXPONENT))
    kernel /= kernel.sum(axis=1, keepdims=True)
    blurred = kernel @ x @ kernel.T
    sharpened: Array = x + amount * (x - blurred)
    return np.clip(sharpened, 0, 255, out=sharpened)


def _draw_bars(x: Array, tone: Array) -> None:
    left, right = int(tone[Tone.BAR_LEFT]), int(tone[Tone.BAR_RIGHT])
    x[:, :left] = tone[Tone.BAR_GREY]
    x[:, len(x) - right :] = tone[Tone.BAR_GREY]


def _change_tones(x: Array, config: AugmentConfig, tone: Array) -> None:
    if config.gamma:
        x /= 255
        np.maximum(x, 0, out=x)
        np.power(x, tone[Tone.GAMMA], out=x)
        x *= 255
    if config.contrast or config.brightness:
        x -= 128
        x *= tone[Tone.CONTRAST]
        x += 128 + tone[Tone.BRIGHTNESS]
        np.clip(x, 0, 255, out=x)


def _cover(x: Array, tone: Array) -> None:
    """Draw the black border and the grey box."""
    if width := int(tone[Tone.BORDER]):
        x[:width] = x[-width:] = 0
        x[:, :width] = x[:, -width:] = 0
    top, left, side = (int(tone[one]) for one in (Tone.BOX_TOP, Tone.BOX_LEFT, Tone.BOX_SIDE))
    x[top : top + side, left : left + side] = tone[Tone.BOX_GREY]

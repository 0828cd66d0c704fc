"""Draws augmentations: a few numbers for each image, and banks of noise and text.

Flip, rotation, shift, zoom, shear and crop are combined in one matrix, so that an image is
resampled only once. The numbers come from an explicit random generator, so that any step of any
epoch can be drawn again. An interrupted run therefore continues exactly.
"""

from __future__ import annotations

from enum import IntEnum, auto
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import AugmentConfig

Array = NDArray[np.float32]

_BANK = 64  # number of images in each bank
_NOISE = 0x6E6F  # separates these uses of the seed from others
_TEXT = 0x7478
_SHARPNESS = 0.0064  # standard deviation of the blur that is subtracted to sharpen
_COARSE = 128  # pixels; standard deviations are shares of the side, or of this if it is larger

LEAST_EXPONENT = -30.0
"""Least logarithm of a blur's weights: products of smaller ones are denormal and slow."""


class Tone(IntEnum):
    """Columns of the tones; lengths are in pixels, levels and greys in grey values."""

    CONTRAST = 0
    BRIGHTNESS = auto()
    NOISE = auto()
    FIRST_ROW = auto()
    SECOND_ROW = auto()
    GAMMA = auto()
    SIGMA = auto()
    SHARPNESS = auto()  # -1 blurs, a positive value sharpens, 0 does neither
    BAR_LEFT = auto()
    BAR_RIGHT = auto()
    BAR_GREY = auto()
    TEXT = auto()
    TEXT_LEVEL = auto()
    BORDER = auto()
    BOX_TOP = auto()
    BOX_LEFT = auto()
    BOX_SIDE = auto()
    BOX_GREY = auto()
    INVERTED = auto()


TONES = len(Tone)
"""Number of tones of an image."""


def draw_augmentation(
    config: AugmentConfig, rng: np.random.Generator, n: int, size: int
) -> tuple[Array, Array]:
    """Draw the augmentation of ``n`` images to a side of ``size``, as float32 arrays.

    The transforms (n, 8) are affine maps from output to input pixels, as in
    `keras.ops.image.affine_transform`. The tones (n, TONES) have the columns of `Tone`.
    """
    transforms = _draw_transforms(config, rng, n, size)  # the order of drawing is fixed
    contrast = np.exp(_symmetric(rng, np.log1p(config.contrast), n))
    brightness = 255 * _symmetric(rng, config.brightness, n)
    # Squared, so that most images have little noise.
    noise = 255 * config.noise * rng.random(n) ** 2
    rows = rng.integers(0, _BANK * size, (n, 2)) if config.noise else np.zeros((n, 2))
    gamma = np.exp(_symmetric(rng, np.log1p(config.gamma), n))
    others = _draw_sharpness(config, rng, n, size) + _draw_overlays(config, rng, n, size)
    columns = [contrast, brightness, noise, *rows.T, gamma, *others]
    tones = np.empty((n, TONES), np.float32)
    for tone, values in zip(Tone, columns, strict=True):
        tones[:, tone] = values
    return transforms, tones


def _symmetric(rng: np.random.Generator, limit: float, n: int) -> NDArray[np.float64]:
    return rng.uniform(-limit, limit, n)


def _draw_transforms(config: AugmentConfig, rng: np.random.Generator, n: int, size: int) -> Array:
    angle = np.deg2rad(_symmetric(rng, config.rotation, n))
    if config.quarter_turns:
        angle += rng.integers(0, 3, n) * (np.pi / 2)
    widest = np.log1p(config.zoom)
    zoom = np.exp(rng.uniform(-(widest + np.log1p(config.enlarge)), widest, n))
    aspect = np.exp(_symmetric(rng, np.log1p(config.aspect), n) / 2)
    shear = np.tan(np.deg2rad(_symmetric(rng, config.shear, n)))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0) if config.flip else np.ones(n)
    corner = np.zeros((n, 2))
    if config.crop_from:
        corner += rng.integers(0, config.crop_from - size + 1, (n, 2))
    shift = np.stack([_symmetric(rng, config.shift, n) for _ in range(2)], 1) * size

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
    transforms = np.zeros((n, 8), np.float32)
    for column, values in enumerate([m00, m01, offset_x, m10, m11, offset_y]):
        transforms[:, column] = values
    return transforms


def _draw_sharpness(
    config: AugmentConfig, rng: np.random.Generator, n: int, size: int
) -> list[NDArray[np.float64]]:
    """Draw the columns ``SIGMA`` and ``SHARPNESS``."""
    chosen = rng.random(n)
    scale = max(size, _COARSE)
    sigma = scale * np.exp(rng.uniform(np.log(0.004), np.log(0.013), n))
    amount = rng.uniform(0.3, 1.5, n)
    blurred = chosen < config.blur
    sharpened = ~blurred & (chosen < config.blur + config.sharpen)
    amount = np.where(blurred, -1.0, np.where(sharpened, amount, 0.0))
    return [np.where(blurred, sigma, _SHARPNESS * scale), amount]


def _draw_overlays(
    config: AugmentConfig, rng: np.random.Generator, n: int, size: int
) -> list[NDArray[np.float64]]:
    """Draw the columns from ``BAR_LEFT`` on: widths, levels and places of 0 where there is none."""

    def width(largest: float) -> NDArray[np.float64]:
        return 1 + np.floor(rng.random(n) * max(1, round(largest * size)))

    bars, where = rng.random(n) < config.side_bars, rng.random(n)
    left = width(0.16) * (bars & (where < 0.77))
    right = width(0.16) * (bars & (where >= 0.23))
    bar_grey = 255 * rng.random(n) ** 4 * bars  # mostly dark
    written = rng.random(n) < config.text
    text = rng.integers(0, _BANK, n) * written
    level = 255 * rng.uniform(0.75, 1.0, n) * written
    border = (rng.random(n) < config.border) * width(0.11)
    boxed, side = rng.random(n) < config.box, round(0.3 * size)
    top, edge = rng.integers(0, size - side + 1, (2, n)) * boxed
    box_grey = 255 * rng.random(n) * boxed
    inverted = rng.random(n) < config.inversion
    return [left, right, bar_grey, text, level, border, top, edge, side * boxed, box_grey, inverted]


@lru_cache(maxsize=1)
def noise_bank(size: int, seed: int) -> Array:
    """Return rows of noise, ((64 + 1) * size, size), with a standard deviation of 1 / sqrt(2).

    Drawing a normal number for every pixel takes a twentieth of a step. Therefore a bank of noise
    is drawn once, from ``seed``. The noise of an image is the difference of two windows of the
    bank. This gives millions of noise images, the same on every backend.
    """
    rng = np.random.default_rng([seed, _NOISE])
    rows = rng.standard_normal(((_BANK + 1) * size, size), np.float32)
    bank: Array = rows / np.float32(np.sqrt(2))
    bank.flags.writeable = False
    return bank


@lru_cache(maxsize=1)
def text_bank(size: int, seed: int) -> NDArray[np.uint8]:
    """Return masks (64, size, size) of random characters: 1 where a character is.

    Characters are blocks of 3 x 5 cells, a cell 1/128 to 3/128 of the side wide. Each mask has one
    to three rows of up to five characters near a corner.
    """
    rng = np.random.default_rng([seed, _TEXT])
    bank = np.zeros((_BANK, size, size), np.uint8)
    for mask in bank:
        for _ in range(rng.integers(1, 4)):
            scale = int(rng.integers(1, 4))
            count = int(rng.integers(1, 6)) if scale < 3 else 1
            cells = rng.random((5, 4 * count)) < 0.55
            cells[:, 3::4] = False  # the space between two characters
            cell = max(1, round(scale * size / 128))
            block = cells.repeat(cell, 0).repeat(cell, 1)[: size // 3, : size // 2]
            height, width = block.shape
            top, left = int(rng.integers(0, size // 6 + 1)), int(rng.integers(0, size // 5 + 1))
            if rng.random() < 0.4:
                top = size - height - top // 2
            if rng.random() < 0.5:
                left = size - width - left // 2
            mask[top : top + height, left : left + width] |= block
    bank.flags.writeable = False
    return bank

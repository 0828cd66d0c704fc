"""Disturbs radiographs as detectors, transfer and viewers do, at graded strengths.

The strengths of all kinds are comparable: the first is hardly visible, the third is clearly visible
without affecting the diagnosis, and with the fifth a radiograph would be repeated.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from plainfilm.evaluation.view import Floats

Pixels = NDArray[np.uint8]
Apply = Callable[[Pixels, float, np.random.Generator], Pixels]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One kind of disturbance, with strengths from mild to severe.

    ``apply`` takes an image (s, s), a strength and a generator, and returns the image (s, s).
    """

    name: str
    description: str
    unit: str
    strengths: tuple[float, ...]
    apply: Apply


def _through_table(change: Callable[[Floats, float], Floats]) -> Apply:
    """Return the disturbance that changes each grey level, by a table of 256 levels."""

    def apply(image: Pixels, strength: float, _: np.random.Generator) -> Pixels:
        levels = change(np.arange(256, dtype=np.float64), strength)
        table: Pixels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return table[image]

    return apply


_exposure = _through_table(lambda levels, gamma: 255 * (levels / 255) ** gamma)
_contrast = _through_table(lambda levels, factor: 128 + factor * (levels - 128))
_invert = _through_table(lambda levels, _: 255 - levels)


def _noise(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    noisy = image + strength * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _blur(image: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    radius = strength / 100 * len(image)
    return np.asarray(Pillow.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _rotate(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    angle = strength if rng.random() < 0.5 else -strength
    return np.asarray(Pillow.fromarray(image).rotate(angle, Pillow.Resampling.BILINEAR))


def _shift(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    step = round(strength / 100 * len(image))
    direction = 2 * np.pi * rng.random()
    right, down = round(step * np.cos(direction)), round(step * np.sin(direction))
    moved = Pillow.new("L", image.shape[::-1], 0)
    moved.paste(Pillow.fromarray(image), (right, down))
    return np.asarray(moved)


def _jpeg(image: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "JPEG", quality=int(strength))
    return np.asarray(Pillow.open(file))


def _coarse(image: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    side = max(1, round(strength / 100 * len(image)))
    small = Pillow.fromarray(image).resize((side, side), Pillow.Resampling.BOX)
    return np.asarray(small.resize(image.shape[::-1], Pillow.Resampling.BILINEAR))


def _mask_border(image: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    width = round(strength / 100 * len(image))
    inside = slice(width, len(image) - width)
    return np.pad(image[inside, inside], width)


def _mask_corners(image: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    side = max(1, round(strength / 100 * len(image)))
    ends = np.r_[:side, -side:0]
    masked = image.copy()
    masked[np.ix_(ends, ends)] = 0
    return masked


DISTURBANCES: tuple[Disturbance, ...] = (
    Disturbance("noise", "Noise", "grey levels", (4, 8, 16, 32, 64), _noise),
    Disturbance("blur", "Blur", "% of side", (0.25, 0.5, 1, 2, 4), _blur),
    Disturbance("brighter", "Brighter exposure", "gamma", (0.8, 0.65, 0.5, 0.4, 0.3), _exposure),
    Disturbance("darker", "Darker exposure", "gamma", (1.25, 1.5, 2, 2.5, 3.3), _exposure),
    Disturbance("less-contrast", "Less contrast", "factor", (0.8, 0.6, 0.4, 0.25, 0.15), _contrast),
    Disturbance("more-contrast", "More contrast", "factor", (1.25, 1.5, 2, 3, 4), _contrast),
    Disturbance("rotation", "Rotation", "°", (2, 4, 8, 12, 20), _rotate),
    Disturbance("shift", "Shift", "% of side", (2, 4, 8, 12, 20), _shift),
    Disturbance("jpeg", "JPEG compression", "quality", (75, 50, 25, 10, 5), _jpeg),
    Disturbance("coarse", "Lower resolution", "% of pixels", (50, 25, 15, 10, 6), _coarse),
    Disturbance("border", "Border masked", "% of side", (3, 6, 10, 15, 20), _mask_border),
    Disturbance("corners", "Corners masked", "% of side", (10, 15, 20, 25, 30), _mask_corners),
    Disturbance("inversion", "Inversion", "black for white", (1,), _invert),
)
"""All kinds of disturbance."""

"""Draws side markers, collimation and cables."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from plainfilm.phantom.projection import Field, Plane

_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "R": [
        [(0, 1), (0, 0), (0.45, 0), (0.62, 0.12), (0.62, 0.36), (0.45, 0.5), (0, 0.5)],
        [(0.3, 0.5), (0.64, 1)],
    ],
    "L": [[(0, 0), (0, 1), (0.6, 1)]],
}


def stamp_letter(
    picture: Field, letter: str, corner: tuple[float, float], height: float, value: float
) -> Field:
    """Return an image (height, width), 0 to 1, with the lead letter ``R`` or ``L``.

    ``corner``, the left and upper edge, and ``height`` are relative to the size of the image;
    ``value`` is the brightness, 0 to 1.
    """
    rows, columns = picture.shape
    canvas = Image.new("L", (columns * 2, rows * 2))
    pen = ImageDraw.Draw(canvas)
    tall = height * rows * 2
    left, top = corner[0] * columns * 2, corner[1] * rows * 2
    for line in _LETTERS[letter]:
        dots = [(left + u * tall, top + v * tall) for u, v in line]
        pen.line(dots, fill=255, width=max(1, round(tall * 0.15)), joint="curve")
    small = canvas.resize((columns, rows), Image.Resampling.BOX)
    mask = np.asarray(small, dtype=np.float32) * np.float32(value / 255)
    marked: Field = np.maximum(picture, mask)
    return marked


def collimate(rng: np.random.Generator, picture: Field) -> Field:
    """Return an image with dark, slightly crooked collimator edges."""
    rows, columns = picture.shape
    v, u = np.meshgrid(
        np.linspace(0, 1, rows, dtype=np.float32),
        np.linspace(0, 1, columns, dtype=np.float32),
        indexing="ij",
    )
    open_field = np.ones_like(picture)
    level = rng.uniform(0.0, 0.08)
    soft = rng.uniform(60.0, 200.0)
    for distance in (u, 1 - u, v, 1 - v):
        if rng.random() < 0.55:
            across = v if distance is u else u
            depth = rng.uniform(0.01, 0.06) + rng.normal(0, 0.01) * across
            open_field *= np.clip((distance - depth) * np.float32(soft) + 0.5, 0.0, 1.0)
    return picture * open_field + np.float32(level) * (1.0 - open_field)


def cables(rng: np.random.Generator, plane: Plane) -> Field:
    """Return one or two monitoring cables with electrodes, as attenuation 0 to 1."""
    lines, widths = [], []
    s = np.linspace(0.0, 1.0, 14)
    for _ in range(int(rng.integers(1, 3))):
        begin = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.5, 0.4)])
        end = np.array([begin[0] + rng.normal(0, 0.3), rng.choice([-1.2, 1.2])])
        path = begin + (end - begin) * s[:, None]
        path[:, 0] += rng.normal(0, 0.15) * np.sin(np.pi * s)
        electrode = np.linspace(begin, begin + 0.02, 14)
        lines += [path, electrode]
        widths += [0.011, 0.035]
    return plane.strokes(np.stack(lines), widths, np.ones(len(lines)))

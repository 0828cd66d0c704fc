"""Encodes images for display on a screen."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Display = Literal["png", "pgm"]
"""Format of a whole image for display: PNG for a browser, or PGM, which takes no time to read."""

LONGEST = {"png": 2048, "pgm": 1024}
"""Longest side of an image for display, in pixels; few screens have more than 2048."""


def encode_display(picture: Pillow.Image, form: Display) -> bytes:
    """Return a grey picture in a format for display, reduced to its longest side."""
    longest, longer = LONGEST[form], max(picture.size)
    if longer > longest:
        width, height = (max(1, round(side * longest / longer)) for side in picture.size)
        picture = picture.resize((width, height), Pillow.Resampling.BILINEAR, reducing_gap=2.0)
    out = io.BytesIO()
    if form == "png":
        picture.save(out, "PNG", compress_level=1)
    else:
        picture.save(out, "PPM")
    return out.getvalue()


def read_pgm(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels (h, w) of :func:`encode_display`'s PGM."""
    kind, sides, _, pixels = data.split(b"\n", 3)
    if kind != b"P5":
        raise ValueError("not a PGM of bytes")
    width, height = map(int, sides.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of pixels (h, w) or (h, w, 4), compressed for speed rather than size."""
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()

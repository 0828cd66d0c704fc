"""Encodes images for display on a screen."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

LONGEST = 2048
"""Longest side of an image for display, in pixels; few screens have more."""


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of pixels (h, w) or (h, w, 4), compressed for speed rather than size."""
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce pixels (h, w) so that neither side is longer than :data:`LONGEST`."""
    longer = max(pixels.shape)
    if longer <= LONGEST:
        return pixels
    height, width = (max(1, round(side * LONGEST / longer)) for side in pixels.shape)
    picture = Pillow.fromarray(pixels)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.BILINEAR, reducing_gap=2.0))

"""The part of the whole image that the input of a network shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from plainfilm.pixels import read_image_and_whole
from plainfilm.records import PixelSpec

BLACK = 60  # pixels of a border at the left


def film(turn: int, kind: str) -> bytes:
    """Draw a lopsided image with a border on one side and a bright square, to be turned."""
    pixels = np.random.default_rng(0).integers(60, 90, (300, 400), np.uint8)
    pixels[:, :BLACK] = 0
    pixels[110:140, 230:260] = 255
    exif = Pillow.Exif()
    exif[0x0112] = turn
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, kind, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
def test_a_place_in_the_input_is_the_same_place_in_the_whole_image(
    geometry: str, trim: bool, kind: str
) -> None:
    for turn in range(1, 9):
        spec = PixelSpec(64, geometry, trim)  # type: ignore[arg-type]
        image, whole = read_image_and_whole(film(turn, kind), spec)
        left, top, right, bottom = whole.region
        width, height = whole.picture.size
        shown = centre(image.pixels) / 64
        place = (
            (left + shown[0] * (right - left)) * width,
            (top + shown[1] * (bottom - top)) * height,
        )
        np.testing.assert_allclose(place, centre(np.asarray(whole.picture)), atol=2)
        if not trim:
            spans = {"squash": (1, 1), "pad": (1, 4 / 3), "crop": (3 / 4, 1)}[geometry]
            size = (bottom - top, right - left) if turn >= 5 else (right - left, bottom - top)
            np.testing.assert_allclose(size, spans, rtol=0.01)
            np.testing.assert_allclose((left + right, top + bottom), (1, 1), atol=1e-9)


def centre(pixels: np.ndarray) -> np.ndarray:
    """Return the centre (x, y) of the bright pixels."""
    y, x = np.nonzero(pixels > 160)
    return np.array([x.mean() + 0.5, y.mean() + 0.5])

"""Turns a grey image into the square input of a network."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm.pixels.histogram import match_histogram
from plainfilm.pixels.raster import GreyImage, Need
from plainfilm.records import PixelSpec

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}

_TOLERANCE = 10  # grey levels around that of the border: JPEG noise stays below
_STRAY = 0.005  # share of a line of the border that may differ
_LEAST_BORDER = 0.02  # of a side: a narrower border is kept
_LEAST_CONTENT = 0.25  # of a side: nothing is cut off if less would remain


def _target(width: float, height: float, spec: PixelSpec) -> tuple[int, int]:
    """Return width and height of an image of this shape within the square."""
    if spec.geometry != "pad":
        return spec.size, spec.size
    scale = spec.size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def cover(spec: PixelSpec, share: tuple[float, float] = (1.0, 1.0)) -> Need:
    """Return the function of the size at which an image must be decoded to be never scaled up.

    ``share`` is the part of the width and of the height, 0 to 1, that remains without borders.
    """

    def need(width: int, height: int) -> tuple[int, int]:
        wide, high = width * share[0], height * share[1]
        if spec.geometry == "crop":
            scale = spec.size / min(wide, high)
            target = width * scale, height * scale
        else:
            inner = _target(wide, high, spec)
            target = inner[0] / share[0], inner[1] / share[1]
        # A value just above an integer is that integer with a rounding error.
        return max(1, math.ceil(target[0] - 1e-6)), max(1, math.ceil(target[1] - 1e-6))

    return need


def fit(decoded: GreyImage, spec: PixelSpec, box: Box | None = None) -> Pillow.Image:
    """Return the upright square image, made by one antialiased resize, with the spec's histogram.

    ``box`` is the part of the image to use, in its own pixels; None uses all.
    """
    picture = decoded.picture
    if box is None:
        left, top, right, bottom = 0.0, 0.0, *decoded.size
    else:
        # Crop to whole pixels: otherwise the filter would reach into the border.
        x, across = _whole(box[0], box[2], picture.width)
        y, down = _whole(box[1], box[3], picture.height)
        picture = picture.crop((x, y, x + across, y + down))
        left, top, right, bottom = 0.0, 0.0, float(across), float(down)
    if spec.geometry == "crop":
        side = min(right - left, bottom - top)
        left, top = (left + right - side) / 2, (top + bottom - side) / 2
        right, bottom = left + side, top + side
    target = _target(right - left, bottom - top, spec)
    if picture.size != target or (left, top, right, bottom) != (0, 0, *target):
        picture = picture.resize(target, Pillow.Resampling.BILINEAR, (left, top, right, bottom))
    picture = upright(picture, decoded.orientation)
    if picture.size != (spec.size, spec.size):
        square = Pillow.new("L", (spec.size, spec.size), 0)
        square.paste(picture, ((spec.size - picture.width) // 2, (spec.size - picture.height) // 2))
        picture = square
    if spec.histogram == "matched":
        picture = Pillow.fromarray(match_histogram(np.asarray(picture)))
    return picture


def _whole(start: float, stop: float, limit: int) -> tuple[int, int]:
    """Return first pixel and number of pixels, at least one, nearest to an interval."""
    first = min(round(start), limit - 1)
    return first, max(1, min(round(stop), limit) - first)


def upright(picture: Pillow.Image, orientation: int) -> Pillow.Image:
    """Turn an image upright by its EXIF orientation, 1 to 8."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def find_borders(decoded: GreyImage) -> Box:
    """Return the part of an image that remains without wide uniform borders, in its pixels.

    A line is part of a border if all but 0.5 % of its pixels are within 10 grey levels of the
    median of the outermost line, which may be black, white or grey. Borders narrower than 2 % of
    the side are kept. Nothing is cut off if less than a quarter of a side would remain, as for a
    uniform image.
    """
    pixels = np.asarray(decoded.picture)
    height, width = pixels.shape
    top, bottom = _content(pixels)
    left, right = _content(pixels[top:bottom].T)
    limit_x, limit_y = decoded.size
    if right - left < _LEAST_CONTENT * width or bottom - top < _LEAST_CONTENT * height:
        return 0.0, 0.0, limit_x, limit_y
    return float(left), float(top), min(right, limit_x), min(bottom, limit_y)


def _content(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the first row that is no border, and the row after the last."""
    count = len(pixels)
    least = max(1, math.ceil(_LEAST_BORDER * count))
    before = _border(pixels)
    after = _border(pixels[::-1])
    if before + after >= count:
        return 0, count
    return before if before >= least else 0, count - after if after >= least else count


def _border(lines: NDArray[np.uint8]) -> int:
    level = int(np.median(lines[0]))
    allowed = _STRAY * lines.shape[1]
    for index, line in enumerate(lines):
        if np.count_nonzero(np.abs(line.astype(np.int16) - level) > _TOLERANCE) > allowed:
            return index
    return len(lines)

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
    (x, y, across, down), (left, top, right, bottom) = _part(decoded, spec, box)
    picture = decoded.picture
    if box is not None:
        # Crop to whole pixels: otherwise the filter would reach into the border.
        picture = picture.crop((x, y, x + across, y + down))
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


def find_region(decoded: GreyImage, spec: PixelSpec, box: Box | None = None) -> Box:
    """Return the part of the whole upright image that the square of :func:`fit` shows.

    The unit is the width and the height of the whole image. The square shows more than the image,
    from below 0 to above 1, where it has borders.
    """
    (x, y, _, _), (left, top, right, bottom) = _part(decoded, spec, box)
    target = _target(right - left, bottom - top, spec)
    width, height = decoded.size
    corners = ((x + left) / width, (y + top) / height), ((x + right) / width, (y + bottom) / height)
    if (turn := decoded.orientation) >= 5:
        target = target[1], target[0]
    (x1, y1), (x2, y2) = (_turn(*corner, turn) for corner in corners)
    left, right = _with_border(min(x1, x2), max(x1, x2), target[0], spec.size)
    top, bottom = _with_border(min(y1, y2), max(y1, y2), target[1], spec.size)
    return left, top, right, bottom


def _turn(x: float, y: float, orientation: int) -> tuple[float, float]:
    """Return where a point is after :func:`upright`, in the unit of `find_region`."""
    if orientation >= 5:
        x, y = y, x
    return 1 - x if orientation in (2, 3, 6, 7) else x, 1 - y if orientation in (3, 4, 7, 8) else y


def _with_border(start: float, stop: float, inner: int, side: int) -> tuple[float, float]:
    """Extend an interval that fills ``inner`` pixels in the middle of a side to the whole side."""
    pixel = (stop - start) / inner
    first = start - (side - inner) // 2 * pixel
    return first, first + side * pixel


def _part(
    decoded: GreyImage, spec: PixelSpec, box: Box | None
) -> tuple[tuple[int, int, int, int], Box]:
    """Return the whole pixels to crop to (x, y, width, height), and the part of these to resize."""
    width, height = decoded.picture.size
    pixels, (right, bottom) = (0, 0, width, height), decoded.size
    if box is not None:
        x, across = _whole(box[0], box[2], width)
        y, down = _whole(box[1], box[3], height)
        pixels, right, bottom = (x, y, across, down), float(across), float(down)
    left = top = 0.0
    if spec.geometry == "crop":
        side = min(right, bottom)
        left, top = (right - side) / 2, (bottom - side) / 2
        right, bottom = left + side, top + side
    return pixels, (left, top, right, bottom)


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

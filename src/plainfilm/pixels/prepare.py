"""Geometry: a grey picture of any size to the square that a network sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm.pixels.raster import Decoded, Need
from plainfilm.records import PixelSpec

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; right and bottom are outside."""

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}

_TOLERANCE = 10  # grey levels around the border's own: JPEG noise stays below
_STRAY = 0.005  # part of a line that may differ and the line still be border
_LEAST_BORDER = 0.02  # of a side: narrower ones are left alone
_LEAST_CONTENT = 0.25  # of a side: where less would be left, nothing is cut


def _target(width: float, height: float, spec: PixelSpec) -> tuple[int, int]:
    """Return the width and height that a picture of this shape takes within the square."""
    if spec.geometry != "pad":
        return spec.size, spec.size
    scale = spec.size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def cover(spec: PixelSpec, share: tuple[float, float] = (1.0, 1.0)) -> Need:
    """Say how large a whole picture must be decoded so that nothing is scaled up later.

    Parameters
    ----------
    spec
        What it is to become.
    share
        Part of the width and of the height that is left once borders are cut, 0 to 1.
    """

    def need(width: int, height: int) -> tuple[int, int]:
        wide, high = width * share[0], height * share[1]
        if spec.geometry == "crop":
            scale = spec.size / min(wide, high)
            wanted = width * scale, height * scale
        else:
            target = _target(wide, high, spec)
            wanted = target[0] / share[0], target[1] / share[1]
        # A hair below the next integer is the integer.
        return max(1, math.ceil(wanted[0] - 1e-6)), max(1, math.ceil(wanted[1] - 1e-6))

    return need


def fit(decoded: Decoded, spec: PixelSpec, box: Box | None = None) -> Pillow.Image:
    """Return the upright picture of ``spec.size`` squared, by one antialiased resize.

    Parameters
    ----------
    decoded
        The picture as stored.
    spec
        What it is to become.
    box
        The part of it to take, in its pixels; None takes all.
    """
    picture = decoded.picture
    if box is None:
        left, top, right, bottom = 0.0, 0.0, *decoded.size
    else:
        # Cut it out, to whole pixels: the filter would otherwise reach into the border.
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
    if picture.size == (spec.size, spec.size):
        return picture
    square = Pillow.new("L", (spec.size, spec.size), 0)
    square.paste(picture, ((spec.size - picture.width) // 2, (spec.size - picture.height) // 2))
    return square


def _whole(start: float, stop: float, limit: int) -> tuple[int, int]:
    """Return the first pixel and the number of pixels, at least one, nearest to an interval."""
    first = min(round(start), limit - 1)
    return first, max(1, min(round(stop), limit) - first)


def upright(picture: Pillow.Image, orientation: int) -> Pillow.Image:
    """Turn a picture by its EXIF orientation, 1 to 8."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def find_borders(decoded: Decoded) -> Box:
    """Find what is left once wide uniform borders are cut off.

    A line belongs to a border where all but 0.5 % of its pixels lie within 10 grey levels of the
    outermost line's median, whatever that is: black, white or grey. Borders narrower than 2 % of
    the side are left alone, and so is a picture of which less than a quarter of a side would be
    left (one that is uniform, say).

    Returns
    -------
    box
        The content, in pixels of the decoded picture.
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
    """Return the first and the last-but-one row that is no border."""
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

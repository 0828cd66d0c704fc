"""Finds lines of text that were burnt into an image: letters on an even background near an edge.

A line is a row of narrow strokes with sharp edges, brighter or darker than their surroundings.
Bones, cables and body contours have fewer strokes or softer edges. A side marker of one letter is
not a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from plainfilm.pixels.components import find_components

SIDE = 256
"""Side of the square images that are searched, in pixels."""
SHAPE = (8, 32)
"""Rows and columns of the shape of a line."""

_ZONE = SIDE // 4  # text is searched for in the outer quarter on each side
_RADIUS = 6  # of the surroundings with which a stroke is compared
_INK = 30  # grey levels by which a stroke differs from its surroundings, or more in a noisy image
_NOISE = 2.6  # times the third quartile of the steps between pixels, 4 standard deviations
_GAP = 4  # half the largest gap between the letters of a line
_LOWEST, _HIGHEST = 4, SIDE // 8  # pixels
_NARROWEST, _WIDEST = 1.2, 20  # width relative to the height
_STROKES = 2.2  # mean number of strokes in a row of pixels: R and most bones have fewer than 2
_EDGE = 20.0  # mean difference of neighbouring pixels at the edge of a stroke: bones have 4 to 16
_FRAME = 2  # pixels around a line that must be free of other strokes
_COVERED = 0.02  # share of the frame that other strokes may cover
_CONTRAST = 25  # grey levels between the strokes and the frame
_DARK_STROKES = 5  # strokes in the row with most of them; the shadows of ribs have fewer
_LONG = 6  # the same; A-P has 5

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text.

    Attributes
    ----------
    box
        Left, top, right and bottom, in pixels of an image of `SIDE` pixels.
    strokes
        Number of vertical strokes in the row of pixels with most of them.
    dark
        Whether the letters are darker than their surroundings.
    shape
        The strokes at `SHAPE` pixels, one bit each, in hexadecimal digits.
    """

    box: Box
    strokes: int
    dark: bool
    shape: str

    @property
    def is_long(self) -> bool:
        """Return whether the line has about three letters or more, beyond a side marker."""
        return self.strokes >= _LONG


def find_text(image: Grey) -> tuple[TextLine, ...]:
    """Find the lines of text in an image (256, 256), from top to bottom."""
    picture = Pillow.fromarray(image)
    around = np.asarray(picture.filter(ImageFilter.BoxBlur(_RADIUS)), np.int16)
    levels = image.astype(np.int16)
    steps = np.abs(np.diff(levels, axis=1))
    least = max(_INK, _NOISE * float(np.quantile(steps[::4, ::4], 0.75)))
    lines: list[TextLine] = []
    for dark, excess in ((False, levels - around), (True, around - levels)):
        found = _lines(excess > least, levels, steps, dark)
        # Bright letters with a dark outline are one line.
        lines += [line for line in found if not any(_meet(line.box, one.box) for one in lines)]
    return tuple(sorted(lines, key=lambda line: (line.box[1], line.box[0])))


def _meet(first: Box, second: Box) -> bool:
    """Return whether two boxes have a pixel in common."""
    return all(max(first[n], second[n]) < min(first[n + 2], second[n + 2]) for n in (0, 1))


def _lines(
    ink: Mask, levels: NDArray[np.int16], steps: NDArray[np.int16], dark: bool
) -> Iterator[TextLine]:
    zone = ink.copy()
    zone[_ZONE:-_ZONE, _ZONE:-_ZONE] = False
    fewest = _DARK_STROKES if dark else _STROKES
    if np.count_nonzero(zone[:, 1:] & (steps > _EDGE)) < _LOWEST * fewest:
        return
    found = find_components(_widened(zone))
    height = found.boxes[:, 3] - found.boxes[:, 1]
    width = found.boxes[:, 2] - found.boxes[:, 0] - 2 * _GAP
    fits = (height >= _LOWEST) & (height <= _HIGHEST)
    fits &= (width >= _NARROWEST * height) & (width <= _WIDEST * height)
    for number in np.flatnonzero(fits).tolist():
        left, top, right, bottom = found.boxes[number].tolist()
        own = zone[top:bottom, left:right] & found.mask(number)
        inked = np.flatnonzero(own.any(axis=0))
        left, right = left + int(inked[0]), left + int(inked[-1]) + 1
        own = own[:, inked[0] : inked[-1] + 1]
        counts = _count_strokes(own)
        if counts.mean() < _STROKES or (dark and counts.max() < _DARK_STROKES):
            continue
        if _sharpness(own, steps[top:bottom, left : right - 1]) < _EDGE:
            continue
        box = (left, top, right, bottom)
        if _stands_free(box, own, ink, levels, dark):
            yield TextLine(box, int(counts.max()), dark, _shape(own))


def _stands_free(box: Box, own: Mask, ink: Mask, levels: NDArray[np.int16], dark: bool) -> bool:
    """Return whether the pixels around a box have no other strokes, and another grey level."""
    left, top, right, bottom = box
    strokes = float(np.median(levels[top:bottom, left:right][own]))
    near, covered = _ring(box, 0, levels), _ring(box, 0, ink)
    if not len(near) or covered.mean() > _COVERED:
        return False
    if not dark:
        return strokes - float(np.median(near)) >= _CONTRAST
    # Around dark letters nothing is brighter than what is further away, as bright letters would be.
    far = float(np.median(_ring(box, 3 * _FRAME, levels)))
    return far - strokes >= _CONTRAST and float(np.quantile(near, 0.9)) - far < _CONTRAST


def _ring(box: Box, distance: int, plane: NDArray[np.int16] | Mask) -> NDArray[np.int16] | Mask:
    """Return the pixels of a frame around a box, at this distance from it."""
    left, top, right, bottom = box
    low, high = distance, distance + _FRAME
    rows = slice(max(0, top - high), bottom + high)
    columns = slice(max(0, left - high), right + high)
    part = plane[rows, columns]
    frame = np.ones(part.shape, bool)
    inner_top, inner_left = max(0, top - low) - rows.start, max(0, left - low) - columns.start
    frame[inner_top : bottom + low - rows.start, inner_left : right + low - columns.start] = False
    return part[frame]


def _widened(ink: Mask) -> Mask:
    """Return ink that is `_GAP` pixels wider on the left and on the right."""
    wide = ink.copy()
    for shift in range(1, _GAP + 1):
        wide[:, shift:] |= ink[:, :-shift]
        wide[:, :-shift] |= ink[:, shift:]
    return wide


def _count_strokes(own: Mask) -> NDArray[np.intp]:
    """Return the number of strokes in each row of pixels."""
    begins = own.copy()
    begins[:, 1:] &= ~own[:, :-1]
    return np.asarray(begins.sum(axis=1))


def _sharpness(own: Mask, steps: NDArray[np.int16]) -> float:
    edges = own[:, 1:] != own[:, :-1]
    return float(steps[edges].mean()) if edges.any() else 0.0


def _shape(own: Mask) -> str:
    picture = Pillow.fromarray(own.astype(np.uint8) * 255)
    small = picture.resize(SHAPE[::-1], Pillow.Resampling.BOX)
    return np.packbits(np.asarray(small) > 96).tobytes().hex()


def write_lines(lines: Sequence[TextLine]) -> str:
    """Return lines as JSON, for the metadata of an image."""
    return json.dumps([[*one.box, one.strokes, int(one.dark), one.shape] for one in lines])


def read_lines(text: str) -> tuple[TextLine, ...]:
    """Return the lines that `write_lines` wrote."""
    return tuple(
        TextLine((left, top, right, bottom), strokes, bool(dark), shape)
        for left, top, right, bottom, strokes, dark, shape in json.loads(text)
    )

"""Maps pixels of an image to body coordinates, and draws shapes there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from plainfilm.phantom.anatomy import Pose, Profile

Field = NDArray[np.floating[Any]]

_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Plane:
    """The pixel grid of one image in body coordinates."""

    x: Field  # of each pixel, (height, width)
    y: Field
    pixels: float  # in one body unit
    pose: Pose

    def locate(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the pixel coordinates (x, y) of body points, both (n, 2)."""
        xy = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        pose = self.pose
        # The tilt is inverted to first order; the error is less than a pixel.
        y = xy[:, 1] - pose.tilt * xy[:, 1] ** 2 - pose.centre[1]
        x = xy[:, 0] - pose.centre[0]
        cos, sin = np.cos(pose.angle), np.sin(pose.angle)
        height, width = self.x.shape
        columns = (cos * x + sin * y) * self.pixels + width / 2
        rows = (-sin * x + cos * y) * self.pixels + height / 2
        return np.stack([columns, rows], axis=1)

    def around(self, x: float, y: float, radius: float) -> tuple[slice, slice]:
        """Return the rows and columns that contain a disc, to compute small shapes only there."""
        column, row = self.locate((x, y))[0]
        # Larger by the stretch from the tilt of the beam.
        reach = (1.15 * radius + 0.06) * self.pixels
        height, width = self.x.shape
        rows = slice(max(0, int(row - reach)), min(height, max(0, int(row + reach) + 1)))
        columns = slice(max(0, int(column - reach)), min(width, max(0, int(column + reach) + 1)))
        return rows, columns

    def rows_above(self, y: float) -> slice:
        """Return the rows with a pixel above ``y``, from the top."""
        return slice(0, int((self.y.min(axis=1) < y).sum()))

    def columns_within(self, x: float) -> slice:
        """Return the columns with a pixel less than ``x`` from the midline."""
        columns = np.flatnonzero(np.abs(self.x).min(axis=0) < x)
        return slice(int(columns[0]), int(columns[-1]) + 1) if columns.size else slice(0, 0)

    def strokes(self, points: ArrayLike, widths: ArrayLike, values: ArrayLike) -> Field:
        """Draw n polygonal lines, later ones over earlier ones; return (height, width), 0 to 1.

        ``points`` (n, corners, 2) and ``widths`` are in body units, ``values`` are 0 to 1.
        """
        canvas, pen = self._canvas()
        corners = np.asarray(points, dtype=np.float64)
        lines = self.locate(corners).reshape(len(corners), -1) * _OVERSAMPLING
        wide = np.asarray(widths, dtype=np.float64) * self.pixels * _OVERSAMPLING
        # Lines thinner than a pixel are drawn fainter.
        fills = np.asarray(values) * np.clip(wide, 0.0, 1.0)
        for line, width, fill in zip(
            lines.tolist(), np.rint(wide).astype(int).tolist(), fills.tolist(), strict=True
        ):
            pen.line(line, fill=int(255 * fill), width=max(1, width))
        return self._field(canvas)

    def polygons(self, shapes: Iterable[tuple[Sequence[tuple[float, float]], float]]) -> Field:
        """Fill polygons given as (corners in body units, value 0 to 1); return (height, width)."""
        canvas, pen = self._canvas()
        for corners, value in shapes:
            outline = [tuple(p) for p in (self.locate(corners) * _OVERSAMPLING).tolist()]
            pen.polygon(outline, fill=int(255 * value))
        return self._field(canvas)

    def _canvas(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        height, width = self.x.shape
        canvas = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
        return canvas, ImageDraw.Draw(canvas)

    def _field(self, canvas: Image.Image) -> Field:
        height, width = self.x.shape
        small = canvas.resize((width, height), Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float32) * np.float32(1 / 255)


def make_plane(pose: Pose, height: int, width: int) -> Plane:
    """Return the plane of an image with this pose."""
    pixels = height / pose.zoom
    rows = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / pixels
    columns = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / pixels
    cos, sin = float(np.cos(pose.angle)), float(np.sin(pose.angle))
    x = cos * columns[None, :] - sin * rows[:, None] + pose.centre[0]
    y = sin * columns[None, :] + cos * rows[:, None] + pose.centre[1]
    y = y + pose.tilt * y * y
    return Plane(x.astype(np.float32), y.astype(np.float32), pixels, pose)


def along(profile: Profile, y: Field) -> Field:
    """Interpolate a profile, whose ``y`` must be evenly spaced."""
    knots, values = profile
    step = float(knots[1] - knots[0])
    position = np.clip((y - knots[0]) * np.float32(1 / step), 0, len(knots) - 1.001)
    floor = np.floor(position)
    index = floor.astype(np.int32)
    low = values[index]
    between: Field = low + (values[index + 1] - low) * (position - floor)
    return between


def ramp(distance: Field, softness: float) -> Field:
    """Return a smooth step from 0 to 1 at distance 0, of about ``softness`` on each side."""
    # In place, since this is half of the work on an image.
    t: Field = distance * np.float32(0.5 / softness)
    t += np.float32(0.5)
    np.clip(t, 0.0, 1.0, out=t)
    bend: Field = t * np.float32(-2.0)
    bend += np.float32(3.0)
    bend *= t
    bend *= t
    return bend


def chord(squared: Field) -> Field:
    """Return the relative length of a ray through a ball at a squared relative distance."""
    rest: Field = np.float32(1.0) - squared
    np.maximum(rest, 0.0, out=rest)
    return np.sqrt(rest, out=rest)


def tube(t: Field, hollow: float = 0.78, marrow: float = 0.3) -> Field:
    """Return the attenuation of a hollow bone at relative distance ``t`` from its axis.

    Outside the relative radius ``hollow`` is dense cortex; the marrow inside has the relative
    density ``marrow``.
    """
    squared = t * t
    inner = np.sqrt(np.clip(hollow * hollow - squared, 0.0, None))
    return chord(squared) - np.float32(1.0 - marrow) * inner

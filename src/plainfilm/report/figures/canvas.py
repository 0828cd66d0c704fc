"""What every figure is drawn on: style, axes from 0 to 1, and the way to SVG and PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plainfilm.report.figures.style import STYLE, Drawing, finish_svg
from plainfilm.report.html.markup import visible

__all__ = [
    "HEIGHT",
    "WIDTH",
    "Values",
    "drawing",
    "numbers",
    "shorten",
    "square",
    "styled",
    "unit",
]

WIDTH, HEIGHT = 4.8, 4.15
_DPI = 200

Values = Sequence[float | None] | NDArray[np.floating[Any]]


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Draw in the report's style, whatever the user's own settings are."""
    with warnings.catch_warnings():
        # A label may be in a script that the measuring font lacks; the browser has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE | {"svg.hashsalt": name})
            yield


def shorten(text: str, length: int) -> str:
    """Return a foreign name as text that a figure has room for."""
    text = visible(text)
    half = (length - 1) // 2
    # The middle goes: file names differ at their ends.
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def numbers(values: Values) -> NDArray[np.float64]:
    """Return values as an array; None, which JSON has for infinite thresholds, becomes NaN."""
    return np.asarray([math.nan if v is None else float(v) for v in values], dtype=np.float64)


def square() -> tuple[Any, Any]:
    """Return a figure and its axes, both from 0 to 1."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    unit(axes)
    return figure, axes


def unit(axes: Any) -> None:
    """Let both axes go from 0 to 1."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def drawing(figure: Any, name: str, title: str) -> Drawing:
    """Write a figure without a date or a maker, so that it is the same every time."""
    page = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_svg(page, metadata=nothing)
    figure.set_facecolor("white")
    figure.set_dpi(_DPI)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})
    return Drawing.of(finish_svg(page.getvalue(), name, title), picture.getvalue())

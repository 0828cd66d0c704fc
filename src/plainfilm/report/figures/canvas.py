"""The canvas of every figure: style, axes from 0 to 1, and SVG and PNG output."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plainfilm.report.figures.printing import render_printable
from plainfilm.report.figures.style import STYLE, Drawing, finish_svg
from plainfilm.report.html.markup import visible

WIDTH, HEIGHT = 4.8, 4.15
_DPI = 200
_PRINTED: ContextVar[float | None] = ContextVar("printed", default=None)

Values = Sequence[float | None] | NDArray[np.floating[Any]]


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Apply the style of the report, independent of the user's matplotlib settings."""
    with warnings.catch_warnings():
        # The font that measures text may lack a script that the browser has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE | {"svg.hashsalt": name})
            yield


def shorten(text: str, length: int) -> str:
    """Return a name, shortened to ``length`` characters; the middle is left out."""
    text = visible(text)
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def numbers(values: Values) -> NDArray[np.float64]:
    """Return values as an array; None becomes NaN."""
    return np.asarray([math.nan if v is None else float(v) for v in values], dtype=np.float64)


def new_axes(width: float = WIDTH, height: float = HEIGHT) -> tuple[Any, Any]:
    """Return a figure and its axes; the size is in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def unit(axes: Any) -> None:
    """Set the range of both axes to 0 to 1."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


@contextmanager
def printed(width: float) -> Iterator[None]:
    """Render every figure for print as well, ``width`` mm wide."""
    token = _PRINTED.set(width)
    try:
        yield
    finally:
        _PRINTED.reset(token)


def drawing(figure: Any, name: str, title: str) -> Drawing:
    """Return a figure without date and creator, so that its bytes are reproducible."""
    page = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_svg(page, metadata=nothing)
    figure.set_facecolor("white")
    figure.set_dpi(_DPI)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})
    width = _PRINTED.get()
    printable = None if width is None else render_printable(figure, width)
    return Drawing(finish_svg(page.getvalue(), name, title), picture.getvalue(), printable)

"""Renders figures for print: PDF and SVG of a given width, with letters that stay readable."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import Op, PdfFile, RendererPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG

_PAGE = 180.0  # mm
_LEAST = 0.65  # scale below which letters of 9 points would be smaller than 6 points
_MM = 25.4
_NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True, slots=True)
class Printable:
    """A figure of a given width, as SVG and as PDF with embedded fonts."""

    svg: str
    pdf: bytes


def render_printable(figure: Any, width: float) -> Printable:
    """Return a figure whose width is ``width`` mm; its size in inches may change.

    A wider figure than the original is drawn larger with letters of the same size. A narrower one
    is scaled; if its letters became too small, it has the width of a page.
    """
    native = figure.get_size_inches()
    if width / _MM < _LEAST * native[0]:
        width = max(width, _PAGE)
    scale = width / _MM / native[0]
    if scale > 1:
        figure.set_size_inches(*(native * scale))
        scale = 1.0
    return Printable(_svg(figure, scale), _pdf(figure, scale))


def _svg(figure: Any, scale: float) -> str:
    page = io.StringIO()
    FigureCanvasSVG(figure).print_svg(page, metadata=_NOTHING)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", page.getvalue(), flags=re.DOTALL)
    width, height = (size * scale * _MM for size in figure.get_size_inches())
    size = rf'<svg\1width="{width:.2f}mm" height="{height:.2f}mm"'
    return re.sub(r'<svg([^>]*?)width="[^"]*" height="[^"]*"', size, text, count=1)


def _pdf(figure: Any, scale: float) -> bytes:
    """Return a PDF of one page; matplotlib itself has no scale."""
    page = io.BytesIO()
    figure.set_dpi(72)
    width, height = figure.get_size_inches()
    file = PdfFile(page, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    file.newPage(width * scale, height * scale)
    file.width, file.height = width, height  # what is outside is left out, before the scale
    file.output(scale, 0, 0, scale, 0, 0, Op.concat_matrix)
    renderer = MixedModeRenderer(figure, width, height, 72, RendererPdf(file, 72, height, width))
    figure.draw(renderer)
    renderer.finalize()
    file.finalize()
    file.close()
    return page.getvalue()

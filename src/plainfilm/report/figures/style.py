"""Typography and colours of the figures, for light and dark pages."""

from __future__ import annotations

import html
import re
from typing import Any

from plainfilm.report.figures.printing import Printable

# Blue and vermilion of Okabe and Ito, distinct for colour-blind readers, darkened for text on white
# and lightened for text on black: (light page, dark page).
INK = ("#1f2730", "#e8eaed")
QUIET = ("#66707c", "#a3acb8")
GRID = ("#dfe3e8", "#343b45")
FIRST = ("#0a6aa8", "#62b6ec")
SECOND = ("#c2500f", "#f2955a")
_PAIRS = (INK, QUIET, GRID, FIRST, SECOND)

_FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.color": INK[0],
    "text.parse_math": False,
    "axes.edgecolor": QUIET[0],
    "axes.facecolor": "none",
    "axes.labelcolor": INK[0],
    "axes.labelpad": 6.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "normal",
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "grid.color": GRID[0],
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,  # fonts that journals accept
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "xtick.color": QUIET[0],
    "xtick.labelcolor": QUIET[0],
    "xtick.major.size": 0.0,
    "xtick.major.pad": 6.0,
    "ytick.color": QUIET[0],
    "ytick.labelcolor": QUIET[0],
    "ytick.major.size": 0.0,
    "ytick.major.pad": 6.0,
}


class Drawing(str):
    """A figure as SVG text; ``png`` is the same at 200 dots per inch on white.

    ``printable`` is the figure for a paper, or None if it was not asked for.
    """

    __slots__ = ("png", "printable")
    png: bytes
    printable: Printable | None

    def __new__(cls, svg: str, png: bytes, printable: Printable | None = None) -> Drawing:
        """Return a drawing from its forms."""
        drawing = super().__new__(cls, svg)
        drawing.png, drawing.printable = png, printable
        return drawing


def finish_svg(text: str, name: str, title: str) -> str:
    """Return an SVG from matplotlib as an element that is valid alone and within HTML.

    ``name`` is the prefix of every id, so that ids are unique in a page; ``title`` is the text
    alternative for screen readers.
    """
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    text = text.replace(" font-family: 'DejaVu Sans';", "")
    root = f'<svg role="img" aria-label="{html.escape(title)}" style="font-family: {_FONTS}" '
    text = text.replace("<svg ", root, 1)
    end = text.index(">") + 1
    return f"{text[:end]}\n <style>{_dark_rules()}</style>{text[end:]}"


def _dark_rules() -> str:
    """Return the CSS rule that replaces each colour on a dark page."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in _PAIRS
        for what in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme:dark){{{rules}}}"

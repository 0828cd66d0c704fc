"""The typography and colours of the figures, on a light page and on a dark one."""

from __future__ import annotations

import html
import re
from typing import Any

__all__ = ["FIRST", "GRID", "INK", "QUIET", "SECOND", "STYLE", "Drawing", "finish_svg"]

# Okabe and Ito's blue and vermilion, which colour-blind eyes tell apart, each darkened for text on
# white and lightened for text on black: (light page, dark page).
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
    """A figure as SVG text that stands in a page, which also knows itself as a picture.

    Attributes
    ----------
    png
        The same figure at 200 dots an inch, in the light page's colours on white.
    """

    __slots__ = ("png",)
    png: bytes

    @classmethod
    def of(cls, svg: str, png: bytes) -> Drawing:
        """Return both as one."""
        made = cls(svg)
        made.png = png
        return made


def finish_svg(text: str, name: str, title: str) -> str:
    """Make an SVG fit to stand in a page with others: ids, fonts, name, colours of a dark page.

    Parameters
    ----------
    text
        SVG as matplotlib writes it.
    name
        Put before every id, so that two figures of one page never share one.
    title
        What is read out in place of the figure.

    Returns
    -------
    The SVG element, without the XML prolog, valid alone and within HTML.
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
    """Return the rule that swaps each colour on a dark page; other viewers ignore it."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in _PAIRS
        for what in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme:dark){{{rules}}}"

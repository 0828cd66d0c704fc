"""Figures as they stand in a page: numbered, read out, and panned where they are too wide."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plainfilm.report.html.markup import Html, element, join, visible

if TYPE_CHECKING:
    from plainfilm.report.figures import Drawing

__all__ = ["Numbering", "Plot", "inline", "pannable"]


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure: its file name without ending, SVG, caption, and what is read out for it."""

    name: str
    svg: Drawing
    caption: str
    words: str


class Numbering:
    """Counts figures in the order in which they are laid out."""

    def __init__(self) -> None:
        self.last = 0

    def figure(self, body: Html, caption: str, kind: str) -> Html:
        """Return the next figure."""
        self.last += 1
        words = element("figcaption", element("b", f"Figure {self.last}."), " ", caption)
        return element("figure", body, words, class_=kind)

    def plots(self, plots: Iterable[Plot]) -> Html:
        """Return plots in rows of two; where one would be left alone, the last row has three."""
        figures = [self.figure(inline(plot), plot.caption, "plot") for plot in plots]
        pairs = len(figures) - 3 if len(figures) > 1 and len(figures) % 2 else len(figures)
        rows = [element("div", *figures[:pairs], class_="plots")] if pairs else []
        if figures[pairs:]:
            rows.append(element("div", *figures[pairs:], class_="plots three"))
        return join(rows)


def inline(plot: Plot) -> Html:
    """Return a plot as it stands in a page, with what is read out for it."""
    words = f'aria-label="{html.escape(visible(plot.words))}"'
    return Html(re.sub(r'aria-label="[^"]*"', lambda _: words, plot.svg, count=1))


def pannable(plot: Plot) -> Html:
    """Return a wide plot that is panned on a narrow screen, where it would shrink past reading."""
    found = re.search(r'viewBox="0 0 ([\d.]+)', plot.svg)
    # Its letters are then two thirds of their size on a desktop.
    least = f"--least: {0.93 * float(found[1]) / 16:.1f}rem" if found else None
    return element(
        "div", inline(plot), class_="pan", role="region", tabindex="0",
        aria_label=plot.caption, style=least,
    )  # fmt: skip

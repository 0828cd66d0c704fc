"""Pages: sections of text, tables and numbered figures, the files they leave, and the frame."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import count
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from plainfilm._files import write_bytes, write_text
from plainfilm.report.html.markup import Html, element, folded, join, visible
from plainfilm.report.html.table import Table, write_tables

if TYPE_CHECKING:
    from plainfilm.report.figures import Drawing


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure: file name without ending, drawing, caption, and text for screen readers.

    A wide figure may be wider than a column of text and is panned on narrow screens.
    """

    name: str
    drawing: Drawing
    caption: str
    description: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Plots:
    """Figures in rows of two; if one would be left over, the last row has three."""

    plots: Sequence[Plot]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Images with a common caption, numbered as one figure."""

    tiles: Html
    caption: str


@dataclass(frozen=True, slots=True)
class Folded:
    """Content that a reader unfolds."""

    summary: str
    parts: Sequence[Html | Table]


Part = Html | Table | Plot | Plots | Sheet | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its title and its content from top to bottom."""

    title: str
    parts: Sequence[Part]


def render_sections(sections: Iterable[Section]) -> list[tuple[str, Html]]:
    """Return title and body of each section; figures are numbered from 1."""
    numbers = count(1)
    return [
        (section.title, join(_render(part, numbers) for part in section.parts))
        for section in sections
    ]


def save_parts(sections: Iterable[Section], folder: Path) -> None:
    """Write each figure as SVG and PNG to ``figures`` and each table as CSV to ``tables``."""
    parts = [part for section in sections for part in flatten_parts(section.parts)]
    for plot in parts:
        if isinstance(plot, Plot):
            write_text(folder / "figures" / f"{plot.name}.svg", plot.drawing)
            write_bytes(folder / "figures" / f"{plot.name}.png", plot.drawing.png)
    write_tables((part for part in parts if isinstance(part, Table)), folder / "tables")


def flatten_parts(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield each part, followed by the parts that it contains."""
    for part in parts:
        yield part
        if isinstance(part, Plots):
            yield from part.plots
        elif isinstance(part, Folded):
            yield from part.parts


def _render(part: Part, numbers: Iterator[int]) -> Html:
    match part:
        case Table():
            return part.to_html()
        case Plot():
            svg = describe_drawing(part.drawing, part.description)
            body = _pannable(svg, part.caption) if part.wide else svg
            return _figure(body, part.caption, "plot wide" if part.wide else "plot", numbers)
        case Plots():
            return _rows([_render(plot, numbers) for plot in part.plots])
        case Sheet():
            return _figure(part.tiles, part.caption, "sheet", numbers)
        case Folded():
            body = join(_render(own, numbers) for own in part.parts)
            return folded(part.summary, body)
    return part


def _figure(body: Html, caption: str, kind: str, numbers: Iterator[int]) -> Html:
    number = element("b", f"Figure {next(numbers)}.")
    return element("figure", body, element("figcaption", number, " ", caption), class_=kind)


def _rows(figures: list[Html]) -> Html:
    pairs = len(figures) - 3 if len(figures) > 1 and len(figures) % 2 else len(figures)
    rows = [element("div", *figures[:pairs], class_="plots")] if pairs else []
    if figures[pairs:]:
        rows.append(element("div", *figures[pairs:], class_="plots three"))
    return join(rows)


def describe_drawing(drawing: Drawing, description: str) -> Html:
    """Return an SVG with its text alternative."""
    words = f'aria-label="{html.escape(visible(description))}"'
    return Html(re.sub(r'aria-label="[^"]*"', lambda _: words, drawing, count=1))


def _pannable(svg: Html, name: str) -> Html:
    """Return a plot that is panned on a narrow screen, where it would be too small to read."""
    found = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    # Its letters are then two thirds of their size on a desktop.
    least = f"--least: {0.93 * float(found[1]) / 16:.1f}rem" if found else None
    return element(
        "div", svg, class_="pan", role="region", tabindex="0", aria_label=name, style=least
    )


def section_id(index: int) -> str:
    """Return the id of the section at ``index``, from 1, for links within the page."""
    return f"part-{index}"


def render_page(
    title: str,
    first: Html,
    sections: Iterable[tuple[str, Html]],
    footer: Html,
    *,
    styles: Iterable[str] = ("report.css",),
) -> str:
    """Return a page that loads nothing and runs nothing.

    ``first`` is the content above the table of contents, ``sections`` holds titles and bodies, and
    ``styles`` names the style sheets in ``report/html`` to embed.
    """
    entries = []
    bodies = []
    for index, (name, body) in enumerate(sections, start=1):
        place, heading = section_id(index), f"title-{index}"
        entries.append(element("li", element("a", name, href=f"#{place}")))
        head = element("h2", name, id=heading)
        bodies.append(element("section", head, body, id=place, aria_labelledby=heading))
    return Template(_read("page.html")).substitute(
        title=element("title", title),
        style="".join(map(_read, styles)),
        first=first,
        contents=element("ol", *entries),
        sections=join(bodies, "\n"),
        footer=footer,
    )


def page_header(kicker: str, title: str, *paragraphs: Html) -> Html:
    """Return the top of a page; ``kicker`` is the line above its title."""
    above = element("p", f"plainfilm · {kicker}", class_="kicker")
    return element("header", above, element("h1", title), *paragraphs, class_="top")


def _read(name: str) -> str:
    return resources.files("plainfilm.report").joinpath("html", name).read_text("utf-8")

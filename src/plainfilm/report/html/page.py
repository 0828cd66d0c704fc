"""The frame of every HTML page of this package: head, styles, contents, sections, footer."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from string import Template

from plainfilm.report.html.markup import Html, element, join


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

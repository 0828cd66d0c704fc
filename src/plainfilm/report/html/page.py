"""The frame of every HTML page of this package: head, styles, contents, sections, footer."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from string import Template

from plainfilm.report.html.markup import Html, element, join

__all__ = ["render_page", "section_id"]


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

    Parameters
    ----------
    title
        Title of the document.
    first
        Content above the table of contents.
    sections
        Title and body of each section.
    footer
        Content of the footer.
    styles
        Names of the style sheets in ``report/html``; they are embedded in this order.
    """
    entries = []
    bodies = []
    for index, (name, body) in enumerate(sections, start=1):
        place, heading = section_id(index), f"title-{index}"
        entries.append(element("li", element("a", name, href=f"#{place}")))
        bodies.append(
            element(
                "section",
                element("h2", name, id=heading),
                body,
                id=place,
                aria_labelledby=heading,
            )
        )
    return Template(_read("page.html")).substitute(
        title=element("title", title),
        style="".join(_read(name) for name in styles),
        first=first,
        contents=element("ol", *entries),
        sections=join(bodies, "\n"),
        footer=footer,
    )


def _read(name: str) -> str:
    return resources.files("plainfilm.report").joinpath("html", name).read_text("utf-8")

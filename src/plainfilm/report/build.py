"""One HTML file that shows an evaluation, and its figures as files beside it."""

from __future__ import annotations

from pathlib import Path

from plainfilm._files import write_bytes, write_text
from plainfilm.errors import UsageError
from plainfilm.report.content import (
    ReportContent,
    Sample,
    WorstCase,
    value_of,
)
from plainfilm.report.html.csv_tables import write_tables
from plainfilm.report.html.markup import Html, element
from plainfilm.report.html.page import render_page, section_id
from plainfilm.report.sections.checklist import checklist_section
from plainfilm.report.sections.listing import list_sections
from plainfilm.report.sections.plots import (
    sheets,
)
from plainfilm.report.sections.summary import first_screen, subject

__all__ = ["ReportContent", "Sample", "WorstCase", "build_report"]

SCHEMA = 1
"""Version of ``evaluation.json`` that this module reads."""


def build_report(content: ReportContent, out: Path) -> Path:
    """Write the report to ``out``; beside it every figure (``figures``) and table (``tables``).

    The page loads nothing, runs nothing, and is the same bytes for the same content.

    Parameters
    ----------
    content
        What to show.
    out
        Where the HTML file goes; folders are made as needed.

    Returns
    -------
    ``out``.

    Raises
    ------
    UsageError
        If the evaluation has a schema that this version does not read.
    StorageError
        If the disk does not take the files.
    """
    schema = content.evaluation.get("schema")
    if schema != SCHEMA:
        raise UsageError(
            "the evaluation has a schema that this version of plainfilm does not read",
            received=schema,
            remedy=f"make it again with `plainfilm evaluate`; expected schema {SCHEMA}",
        )
    sections = [section for section in list_sections(content) if section is not None]
    # Last but one, before provenance; its links need to know where everything else stands.
    titles = [title for title, _, _ in sections]
    titles.insert(len(titles) - 1, "Checklists")
    places = {title: section_id(index) for index, title in enumerate(titles, start=1)}
    checks = checklist_section(content, {**places, "What to distrust": "doubt"})
    sections.insert(len(sections) - 1, ("Checklists", checks, []))
    for _, _, plots in sections:
        for plot in plots:
            write_text(out.parent / "figures" / f"{plot.name}.svg", plot.svg)
            write_bytes(out.parent / "figures" / f"{plot.name}.png", plot.svg.png)
    for name, sheet in sheets(content).items():
        write_bytes(out.parent / "figures" / f"{name}.png", sheet)
    page = _page(content, [(title, body) for title, body, _ in sections])
    write_tables(page, out.parent / "tables")
    write_text(out, page)
    return out


def _page(content: ReportContent, sections: list[tuple[str, Html]]) -> str:
    total = value_of(content.evaluation, "n")
    images = "an unknown number of" if total is None else f"{total:.0f}"
    footer = element(
        "p",
        f"Written by plainfilm from the predictions of a sealed bundle on {images} images. This "
        "page loads nothing and runs nothing; each figure lies beside it as SVG and PNG in the "
        "folder ",
        element("code", "figures"),
        ", each table as CSV in ",
        element("code", "tables"),
        ".",
    )
    return render_page(
        f"{subject(content)} – plainfilm evaluation report",
        first_screen(content),
        sections,
        footer,
        styles=("report.css", "audit.css") if content.audit else ("report.css",),
    )

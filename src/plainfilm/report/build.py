"""Builds the HTML page of an evaluation, with its figures and tables as files."""

from __future__ import annotations

from pathlib import Path

from plainfilm._files import write_text
from plainfilm.report.content import ReportContent
from plainfilm.report.html.page import evaluation_footer, render_page
from plainfilm.report.html.section import render_sections, save_parts
from plainfilm.report.sections.summary import first_screen, subject
from plainfilm.report.wording import counted


def build_report(content: ReportContent, out: Path) -> Path:
    """Write the report to ``out``, its figures to ``figures`` and its tables to ``tables``.

    The page loads nothing, runs nothing, and has the same bytes for the same content. Missing
    folders are created.

    Raises
    ------
    StorageError
        If the files cannot be written.
    """
    # These import matplotlib.
    from plainfilm.report.sections.images import save_sheets
    from plainfilm.report.sections.section_list import list_sections

    sections = list_sections(content)
    save_parts(sections, out.parent)
    save_sheets(content, out.parent / "figures")
    page = render_page(
        f"{subject(content.evaluation)} – plainfilm evaluation report",
        first_screen(content),
        render_sections(sections),
        evaluation_footer(counted(content.evaluation.n, "image")),
        styles=("report.css", "audit.css") if content.audit else ("report.css",),
    )
    write_text(out, page)
    return out

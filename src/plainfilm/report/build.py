"""Builds the HTML pages of evaluations, with their figures and tables as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm._files import write_text
from plainfilm.evaluation import ExternalValidation
from plainfilm.report.adaptation import adaptation_first_screen, adaptation_sections
from plainfilm.report.content import ReportContent, is_synthetic
from plainfilm.report.html.markup import Html, element, lead
from plainfilm.report.html.page import (
    Section,
    page_header,
    render_page,
    render_sections,
    save_parts,
)
from plainfilm.report.sections.summary import first_screen, subject, synthetic_notice
from plainfilm.report.wording import counted

if TYPE_CHECKING:
    from plainfilm.adaptation import AdaptedBundle


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

    evaluation, sections = content.evaluation, list_sections(content)
    save_sheets(content, out.parent / "figures")
    title = f"{subject(evaluation)} – plainfilm evaluation report"
    styles = ("report.css", "audit.css") if content.audit else ("report.css",)
    return _write_page(out, title, first_screen(content), sections, evaluation.n, styles)


def write_external_page(validation: ExternalValidation, out: Path | None = None) -> Path:
    """Write ``external.html`` next to ``external.json``, with a link to each report.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    # This imports matplotlib.
    from plainfilm.report.sections.several import external_section, external_title

    document = validation.document
    links = [
        element("li", element("a", name, href=f"{own.folder.name}/report.html"))
        for own in validation.evaluations
        if (name := own.document.dataset.name)
    ]
    results = external_section(document, "Results on each data set")
    sections = [results, Section("Reports", [element("ul", *links)])]
    label = document.label or "All labels"
    notice = lead(element("strong", "For research and teaching. Not a medical device."))
    subject = external_title(document).lower()
    drawn = any(is_synthetic(own.document) for own in validation.evaluations)
    notices = [synthetic_notice(), notice] if drawn else [notice]
    first = page_header(subject, f"{label}: {subject}", *notices)
    out = out or validation.folder / "external.html"
    images = sum(row.n for row in document.rows)
    return _write_page(out, f"{label} – plainfilm {subject}", first, sections, images)


def write_adaptation_page(adapted: AdaptedBundle) -> Path:
    """Write ``adaptation.html`` next to ``adaptation.json``.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    document = adapted.document
    first, sections = adaptation_first_screen(document), adaptation_sections(document)
    images = document.adaptation.images
    images += 0 if document.held_out is None else document.held_out.images
    title = f"{document.dataset} – plainfilm adaptation"
    return _write_page(adapted.folder / "adaptation.html", title, first, sections, images)


def _write_page(
    out: Path,
    title: str,
    first: Html,
    sections: Sequence[Section],
    images: int,
    styles: Sequence[str] = ("report.css",),
) -> Path:
    """Write a page about the predictions on a number of images, its figures and its tables."""
    save_parts(sections, out.parent)
    footer = element(
        "p",
        f"Written by plainfilm from predictions on {counted(images, 'image')}. "
        "This page loads nothing and runs nothing. Each figure is "
        "also in the folder ",
        element("code", "figures"),
        " as SVG and PNG, each table in ",
        element("code", "tables"),
        " as CSV.",
    )
    write_text(out, render_page(title, first, render_sections(sections), footer, styles=styles))
    return out

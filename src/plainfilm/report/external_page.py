"""Writes the HTML page of an external validation: one model on several data sets."""

from __future__ import annotations

from pathlib import Path

from plainfilm._files import write_text
from plainfilm.evaluation import ExternalValidation
from plainfilm.report.html.markup import element
from plainfilm.report.html.page import evaluation_footer, render_page
from plainfilm.report.html.section import Section, render_sections, save_parts
from plainfilm.report.wording import counted


def write_external_page(validation: ExternalValidation, out: Path | None = None) -> Path:
    """Write ``external.html`` next to ``external.json``, with a link to each report.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    from plainfilm.report.sections.several import external_section  # imports matplotlib

    out = out or validation.folder / "external.html"
    document = validation.document
    links = [
        element("li", element("a", own.manifest.name, href=f"{own.folder.name}/report.html"))
        for own in validation.evaluations
    ]
    results = external_section(document, "Results on each data set")
    sections = [results, Section("Reports", [element("ul", *links)])]
    label = document.label or "All labels"
    notice = element("strong", "For research and teaching. Not a medical device.")
    first = element(
        "header",
        element("p", "plainfilm · external validation", class_="kicker"),
        element("h1", f"{label}: external validation"),
        element("p", notice, class_="lead"),
        class_="top",
    )
    save_parts(sections, out.parent)
    page = render_page(
        f"{label} – plainfilm external validation",
        first,
        render_sections(sections),
        evaluation_footer(counted(sum(row.n for row in document.rows), "image")),
    )
    write_text(out, page)
    return out

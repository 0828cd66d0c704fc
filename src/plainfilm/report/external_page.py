"""One HTML file that lays a model's results on several data sets side by side."""

from __future__ import annotations

from pathlib import Path

from plainfilm._files import write_bytes, write_text
from plainfilm.evaluation import ExternalValidation
from plainfilm.report.html.csv_tables import write_tables
from plainfilm.report.html.frames import pannable
from plainfilm.report.html.markup import element, join
from plainfilm.report.html.page import render_page
from plainfilm.report.sections.evaluation_sections import elsewhere_section
from plainfilm.report.wording import count

__all__ = ["write_external_page"]


def write_external_page(found: ExternalValidation, out: Path | None = None) -> Path:
    """Write ``external.html`` beside ``external.json``, with a link to each report.

    Raises
    ------
    StorageError
        If the disk does not take the file.
    """
    out = out or found.folder / "external.html"
    body, [plot] = elsewhere_section(found.values)
    write_text(out.parent / "figures" / f"{plot.name}.svg", plot.svg)
    write_bytes(out.parent / "figures" / f"{plot.name}.png", plot.svg.png)
    links = [
        element("li", element("a", f"Report on {one.manifest.name}", href=f"{name}/report.html"))
        for one in found.evaluations
        if (name := one.folder.name)
    ]
    figure = element(
        "figure", pannable(plot), element("figcaption", plot.caption), class_="plot wide"
    )
    rows = found.values["rows"]
    label = found.values.get("label") or "Every label"
    first = element(
        "header",
        element("p", "plainfilm · external validation", class_="kicker"),
        element("h1", f"{label}: how much of it travels"),
        element(
            "p",
            element("strong", "For research and teaching. Not a medical device."),
            class_="lead",
        ),
        class_="top",
    )
    body = join([figure, body, element("h3", "The reports"), element("ul", *links)])
    images = count(sum(row["n"] for row in rows))
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
    title = f"{label} – plainfilm external validation"
    page = render_page(title, first, [("Side by side", body)], footer)
    write_tables(page, out.parent / "tables")
    write_text(out, page)
    return out

"""Writes the tables and figures of a report as files for a paper."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from plainfilm._files import make_folder, write_bytes, write_text
from plainfilm.errors import UsageError
from plainfilm.report.content import ReportContent
from plainfilm.report.html.page import Plot, flatten_parts
from plainfilm.report.html.table import Table, write_tables
from plainfilm.report.paper.latex import latex_tables
from plainfilm.report.paper.markdown import markdown_tables

COLUMN = 85.0
"""Width of a column of many journals, in millimetres; the page is 180 mm wide."""
_UNITS = {"mm": 1.0, "cm": 10.0, "in": 25.4}
_RANGE = (40.0, 400.0)


@dataclass(frozen=True, slots=True)
class PaperFiles:
    """Folder of the files for a paper, and width of the figures in millimetres."""

    folder: Path
    width: float = COLUMN

    def __post_init__(self) -> None:
        if not _RANGE[0] <= self.width <= _RANGE[1]:
            raise UsageError(
                "the width of figures is out of range",
                received=f"{self.width:g} mm",
                remedy=f"give {_RANGE[0]:g}mm to {_RANGE[1]:g}mm, usually 85mm or 180mm",
            )


def parse_width(text: str) -> float:
    """Return a width in millimetres.

    Raises
    ------
    UsageError
        If the text is no number with the unit mm, cm or in.

    Examples
    --------
    >>> parse_width("85mm"), parse_width("18 cm")
    (85.0, 180.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(mm|cm|in)", text.strip().lower())
    value = float(found[1]) * _UNITS[found[2]] if found else math.nan
    if not math.isfinite(value):
        raise UsageError(
            "a width is a number with its unit", received=text, remedy="write 85mm, 18cm or 3.35in"
        )
    return value


def write_paper(content: ReportContent, files: PaperFiles) -> Path:
    """Write tables as CSV, LaTeX and Markdown, and figures as PDF and SVG of the given width.

    A figure whose letters would become too small has the width of a page.

    Raises
    ------
    StorageError
        If the files cannot be written.
    """
    # These import matplotlib.
    from plainfilm.report.figures.canvas import printed
    from plainfilm.report.sections.section_list import list_sections

    with printed(files.width):
        parts = [
            part for section in list_sections(content) for part in flatten_parts(section.parts)
        ]
    folder = make_folder(files.folder)
    tables = [part for part in parts if isinstance(part, Table)]
    write_tables(tables, folder / "tables")
    for name in dict.fromkeys(table.name for table in tables):
        own = [table for table in tables if table.name == name]
        write_text(folder / "tables" / f"{name}.tex", latex_tables(own))
        write_text(folder / "tables" / f"{name}.md", markdown_tables(own))
    for plot in parts:
        if isinstance(plot, Plot) and (printable := plot.drawing.printable):
            write_text(folder / "figures" / f"{plot.name}.svg", printable.svg)
            write_bytes(folder / "figures" / f"{plot.name}.pdf", printable.pdf)
    return folder

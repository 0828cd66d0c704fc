"""Writes tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.report.html.table import Table
from plainfilm.report.paper.plain_text import plain_text

_SPECIAL = str.maketrans({own: f"\\{own}" for own in "\\|<>*_`[]"})


def markdown_tables(tables: Sequence[Table]) -> str:
    """Return the tables as one Markdown text, each below its caption."""
    return "\n\n".join(map(_table, tables)) + "\n"


def _table(table: Table) -> str:
    grid = [[_escape(cell) for cell in line] for line in table.grid()]
    rows = [grid[0], ["---"] * len(grid[0]), *grid[1:]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"**{_escape(table.caption)}**", "", *lines])


def _escape(text: str) -> str:
    return plain_text(text).translate(_SPECIAL)

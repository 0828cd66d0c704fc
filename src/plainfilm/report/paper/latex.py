"""Writes tables as LaTeX with the rules of the package ``booktabs``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from plainfilm.report.html.table import Table
from plainfilm.report.paper.plain_text import plain_text

_LONG = 32  # characters of a cell from which its column has a fixed width and breaks lines
_ROWS = 40  # rows from which a table may span several pages

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # the end of a row takes these as its options
    "–": "--", "—": "---", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$",
    "≥": r"$\geq$", "≤": r"$\leq$", "°": r"\textdegree{}", "…": r"\ldots{}", "→": r"$\rightarrow$",
    "“": "``", "”": "''", "‘": "`", "’": "'", "\u202f": r"\,", "\u00a0": "~",
}  # fmt: skip
_CHARACTER = re.compile("|".join(map(re.escape, _SPECIAL)))


def escape_latex(text: str) -> str:
    r"""Return text in which no character has a meaning in LaTeX.

    Examples
    --------
    >>> escape_latex("95% of site_a & b")
    '95\\% of site\\_a \\& b'
    """
    return _CHARACTER.sub(lambda found: _SPECIAL[found[0]], text)


def latex_tables(tables: Sequence[Table]) -> str:
    """Return the tables as one LaTeX text, to be included with ``\\input``."""
    head = "% Requires \\usepackage{booktabs} and \\usepackage{longtable}, and UTF-8.\n"
    return head + "\n".join(map(_table, tables))


def _table(table: Table) -> str:
    grid = [[plain_text(cell) for cell in line] for line in table.grid()]
    columns = _columns(grid)
    head, *body = (" & ".join(map(escape_latex, line)) + r" \\" for line in grid)
    caption = rf"\caption{{{escape_latex(plain_text(table.caption))}}}"
    if len(body) >= _ROWS:
        lines = [
            rf"\begin{{longtable}}{{{columns}}}", caption + r" \\",
            r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot",
            *body, r"\end{longtable}",
        ]  # fmt: skip
    else:
        lines = [
            r"\begin{table}", r"\centering", r"\small", caption,
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule", head, r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}", r"\end{table}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _columns(grid: Sequence[Sequence[str]]) -> str:
    """Return the column types; columns of long text share the width that the others leave."""
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    long = [width for width in widths if width >= _LONG]
    free = max(0.4, 0.95 - 0.012 * sum(width for width in widths if width < _LONG))
    share = f"p{{{free / max(1, len(long)):.2f}\\linewidth}}"
    return "".join(share if width >= _LONG else "l" for width in widths)

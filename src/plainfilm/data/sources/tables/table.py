"""Defines a table of text cells and assembles it from rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress, islice
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.sources.identifying import looks_like_data, name_columns
from plainfilm.data.sources.tables.where import select_rows
from plainfilm.errors import SourceError

_FIRST = 50  # lines that show whether there are lines above the header


@dataclass(slots=True)
class Table:
    """The cells of a table as text, blank if missing.

    ``ragged`` has the numbers of the lines with another number of cells than the header, and
    ``notes`` says what else in the file was not used. ``partners`` says for each column of a joined
    table which rows have a partner there.
    """

    path: Path
    columns: dict[str, list[str]]
    ragged: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    partners: dict[str, list[bool]] = field(default_factory=dict)

    @property
    def names(self) -> str:
        """The names of the columns, for a message."""
        return name_columns(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def where(self, expression: str) -> Table:
        """Return the table with the rows that an expression selects (see `select_rows`)."""
        mask = select_rows(expression, self.columns)
        if not mask.any():
            raise SourceError(
                "where= selects no row",
                received=f"{expression!r} on {plural(len(self), 'row')} of {self.path}",
                remedy="compare with the values in the table, in their upper or lower case",
            )
        columns = {name: [*compress(cells, mask)] for name, cells in self.columns.items()}
        partners = {name: [*compress(rows, mask)] for name, rows in self.partners.items()}
        return replace(self, columns=columns, partners=partners)


def assemble(
    path: Path, numbered: Iterable[tuple[int, list[str]]], header: Sequence[str] | None = None
) -> Table:
    """Make a table of rows of text; the first one has the names of the columns.

    Blank rows, and lines with a single cell above the header, are skipped. Cells beyond the header
    may be blank.

    Parameters
    ----------
    numbered
        Rows with the numbers of their lines.
    header
        Names of the columns, if no row has them. A first row that is equal to them is skipped.
    """
    titles, rows = 0, iter(numbered)
    if header is None:
        names, titles, rows = _find_header(rows)
    else:
        names = [*header]
        rows = (pair for n, pair in enumerate(rows) if n or [*map(str.strip, pair[1])] != names)
    width = len(names)
    named = max((n for n, name in enumerate(names, 1) if name), default=0)
    kept: list[list[str]] = []
    ragged: list[int] = []
    sizes: Counter[int] = Counter()
    for line, row in rows:
        size = len(row)
        if not any(row):
            continue
        if size == width:
            kept.append([*map(sys.intern, row)])  # most cells are a few different texts
        elif named <= size < width:
            kept.append(row + [""] * (width - size))
        elif size > width and not any(map(str.strip, row[width:])):
            kept.append(row[:width])
        elif any(map(str.strip, row)):
            ragged.append(line)
            sizes[size] += 1
    if ragged and not kept:
        raise SourceError(
            "no line of the table has as many cells as its header",
            received=f"{path}: {plural(width, 'cell')} in the header ({name_columns(names)}), "
            f"{sizes.most_common(1)[0][0]} in most of {plural(len(ragged), 'line')}",
            remedy="correct the header, or name the delimiter with delimiter=",
        )
    cells = zip(*kept, strict=True) if kept else iter([()] * width)
    columns = [[cell.strip() for cell in column] for column in cells]
    used = [n for n in range(width) if names[n] or any(columns[n])]
    titled = [names[n] or f"column {n + 1}" for n in used]
    check_names(path, titled)
    table = Table(path, {name: columns[n] for name, n in zip(titled, used, strict=True)}, ragged)
    if titles:
        count = plural(titles, "line above the header is", "lines above the header are")
        table.notes.append(f"{count} not used")
    return table


def _find_header(
    rows: Iterator[tuple[int, list[str]]],
) -> tuple[list[str], int, Iterator[tuple[int, list[str]]]]:
    """Return the header, the number of lines of text above it, and the rows below it.

    If most of the first lines have one cell, the table has one column and no lines above.
    """
    first = [(line, row) for line, row in islice(rows, _FIRST) if any(map(str.strip, row))]
    filled = [sum(map(bool, map(str.strip, row))) for _, row in first]
    several = [at for at, cells in enumerate(filled) if cells > 1]
    one_column = not several or 2 * len(several) < len(first)
    at = 0 if one_column else several[0]
    header = [name.strip() for name in first[at][1]] if first else []
    if one_column:
        header = [*filter(None, header)]
    return header, at, chain(first[at + 1 :], rows)


def check_names(path: Path, names: list[str]) -> None:
    """Raise a `SourceError` if two columns have the same name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        private = looks_like_data(names)
        raise SourceError(
            "two columns of the table have the same name",
            received=path if private else f"{path}: {', '.join(map(repr, repeated))}",
            remedy=remedy_of_columns(names, "rename one of them"),
        )


def remedy_of_columns(names: Collection[str], usual: str) -> str:
    """Return the remedy for columns that are not as expected; a header may be a row of data."""
    if not looks_like_data(names):
        return usual
    return "if the first line is already data, name the columns with header=, such as file,label"

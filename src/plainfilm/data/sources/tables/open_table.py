"""Opens a table for its listing: reads and joins tables, selects rows, builds paths."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.sources.classes.mapping import OTHERS, map_cells
from plainfilm.data.sources.identifying import contains_identity, is_identifying_name
from plainfilm.data.sources.listing import finding
from plainfilm.data.sources.options import SourceOptions
from plainfilm.data.sources.tables.files import read_table
from plainfilm.data.sources.tables.join import join_table
from plainfilm.data.sources.tables.path_template import fill_template, is_template
from plainfilm.data.sources.tables.table import Table
from plainfilm.data.sources.tables.where import find_not_numbers
from plainfilm.errors import SourceError
from plainfilm.records import Finding


def open_table(path: Path, options: SourceOptions) -> tuple[Table, list[Finding]]:
    """Return the table as the options describe it, and findings about its rows.

    The paths of a template become a column with the template as its name.
    """
    findings: list[Finding] = []
    header = options.get("header")
    if isinstance(header, str):
        header = [name.strip() for name in header.split(",")]
    table = _read(path, options, header)
    labels = options.get("labels") or ()
    labels = (labels,) if isinstance(labels, str) else labels
    for path_of_other in as_paths(options.get("join")):
        table, found = join_table(table, _read_joined(path_of_other, options), labels)
        findings += found
    if expression := options.get("where"):
        rows = len(table)
        for name, cells in find_not_numbers(expression, table.columns).items():
            private = is_identifying_name(name) or any(map(contains_identity, set(cells)))
            shown = "" if private else f" ({', '.join(sorted(set(cells))[:3])})"
            findings.append(
                finding(
                    "cells-not-numbers",
                    "warning",
                    f"{plural(len(cells), 'cell is', 'cells are')} not a number{shown} in the "
                    f"column {name!r} of {path.name}, which where= compares with a number",
                    len(cells),
                    consequence="their rows are not selected, except by != and not",
                    remedy="write plain numbers with a decimal point",
                )
            )
        table = table.where(expression)
        if unused := rows - len(table):
            problem = f"{len(table):,} of {plural(rows, 'row')} of {path.name} were selected by "
            findings.append(finding("rows-selected", "note", problem + expression, unused))
    template = options.get("path_column")
    if template is not None and is_template(template, table.columns):
        table.columns[template] = fill_template(template, table.columns)
    label, class_map = options.get("labels"), options.get("class_map") or {}
    if OTHERS in class_map and isinstance(label, str) and label in table.columns:
        # Before labels are checked and read: the other cells may be anything, such as masks.
        table.columns[label] = map_cells(table.columns[label], class_map)
    return table, findings


def _read(path: Path, options: SourceOptions, header: Sequence[str] | None = None) -> Table:
    if not path.exists():
        raise SourceError("the table does not exist", received=path, remedy="check the path")
    delimiter, encoding = options.get("delimiter"), options.get("encoding")
    return read_table(path, delimiter=delimiter, encoding=encoding, header=header)


def _read_joined(path: Path, options: SourceOptions) -> Table:
    """Read a table to join, which may have another delimiter and encoding than the first one."""
    attempts: tuple[SourceOptions, ...] = ({}, {"encoding": options.get("encoding")})
    for given in attempts:
        with suppress(SourceError):
            table = _read(path, given)
            if len(table.columns) > 1:
                return table
    return _read(path, options)


def as_paths(given: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """Return one path or several as a list."""
    if given is None:
        return []
    return [Path(given)] if isinstance(given, str | Path) else [*map(Path, given)]

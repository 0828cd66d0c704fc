"""Joins tables by the columns of identifiers that both have, for ``join=``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from plainfilm._text import plural
from plainfilm.data.sources.file_names import last_part, stem_of
from plainfilm.data.sources.identifying import name_columns
from plainfilm.data.sources.listing import finding, split_of_name
from plainfilm.data.sources.patients.identifiers import normal_form
from plainfilm.data.sources.tables.files import table_name
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError
from plainfilm.records import Finding

_WORDS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")
_KEY_WORDS = frozenset(
    """
    id ids uid uids index key number nr file filename path filepath image patient subject study case
    exam accession series dicom
    """.split()  # noqa: SIM905
)
_GLUED = re.compile(
    r"(?:image|dicom|patient|subject|study|case|exam|series|instance|accession)"
    r"(?:id|uid|key|number|index|name)"
)
_MOST_KEYS = 5
_COMPARED = frozenset(
    {"label", "class", "target", "split", "partition", "set", "subset", "dataset"}
)


Columns = Sequence[Sequence[str]]
"""Cells of each of some columns."""


class _Key(NamedTuple):
    """Columns that identify a row: their names in the table and in the joined table."""

    here: tuple[str, ...]
    there: tuple[str, ...]
    rows: list[int | None]  # row of the joined table for each row of the table


def join_table(
    table: Table, other: Table, labels: Collection[str] = ()
) -> tuple[Table, list[Finding]]:
    """Add the columns of another table to the rows of a table.

    The tables are joined by the columns of identifiers that both have. As many of them are used as
    possible; together they must be unique in the other table. Identifiers are compared as text, and
    where that fails in their normal form (12, 12.0 and 000012 are equal). If no row finds a partner
    in this way, names of files are compared without folders and endings.

    Rows without a partner have blank cells. A further column with the same name but other values
    gets the name of the other table as suffix; if it is one of ``labels``, or has a usual name of
    labels or splits, a warning counts the rows that disagree.

    Raises
    ------
    SourceError
        If there is no common column, no row has a partner, or several rows have one key.
    """
    name = table_name(other.path)
    key = _choose_key(table, other)
    columns, partners = dict(table.columns), dict(table.partners)
    has_partner = [row is not None for row in key.rows]
    matched = sum(has_partner)
    renamed: list[str] = []
    findings: list[Finding] = []
    for title, cells in other.columns.items():
        if title in key.there:
            continue
        new = ["" if row is None else cells[row] for row in key.rows]
        old = columns.get(title)
        if old is None:
            columns[title], partners[title] = new, has_partner
        elif any(a != b for a, b, row in zip(old, new, key.rows, strict=True) if row is not None):
            columns[f"{title}_{name}"], partners[f"{title}_{name}"] = new, has_partner
            renamed.append(f"{title}_{name}")
            if title in labels or _plain_name(title) in _COMPARED:
                other_cells = sum(map(_disagree, old, new))
                if other_cells:
                    findings.append(_report_disagreement(title, other_cells, table, other))
    without = len(table) - matched
    problem = f"{other.path.name} was joined to {table.path.name} by {', '.join(key.here)}: " + (
        f"{plural(without, 'row has', 'rows have')} no partner"
        if without
        else "every row has a partner"
    )
    if renamed:
        problem += f"; columns of the same name are now {', '.join(renamed)}"
    found = finding(
        "tables-joined",
        "warning" if without else "note",
        problem,
        without or matched,
        consequence="their cells of the joined table are blank, and their images have no label if "
        "it is there"
        if without
        else "",
    )
    ragged = [*table.ragged]
    notes = [*table.notes, *(f"{other.path.name}: {note}" for note in other.notes)]
    if count := len(other.ragged):
        notes.append(
            f"{plural(count, 'row')} of {other.path.name} with another number of cells than the "
            "header: not joined"
        )
    joined = replace(table, columns=columns, ragged=ragged, notes=notes, partners=partners)
    return joined, [found, *findings]


def _disagree(one: str, other: str) -> bool:
    """Return whether two cells have different labels or splits; a blank one agrees with all."""
    if not one or not other:
        return False
    return (split_of_name(one) or _plain_identifier(one.casefold())) != (
        split_of_name(other) or _plain_identifier(other.casefold())
    )


def _report_disagreement(title: str, count: int, table: Table, other: Table) -> Finding:
    return finding(
        "join-disagreement",
        "warning",
        f"{plural(count, 'row has', 'rows have')} another value of {title!r} in {other.path.name} "
        f"than in {table.path.name}",
        count,
        consequence=f"the one of {table.path.name} is used unless an option names the other",
        remedy="check which is right, and remove the other column",
    )


def _choose_key(table: Table, other: Table) -> _Key:
    """Return the largest set of common columns that is unique there and finds partners."""
    common = _common_columns(table, other)
    identifiers = {name: there for name, there in common.items() if _is_key_name(name)}
    counted = {
        name
        for name, there in identifiers.items()
        if _is_row_number(table.columns[name]) and _is_row_number(other.columns[there])
    }
    if len(counted) < len(identifiers):
        identifiers = {n: there for n, there in identifiers.items() if n not in counted}
    if not identifiers:
        raise SourceError(
            "the tables to join have no column of identifiers in common",
            received=f"{table.path.name} has {table.names}; {other.path.name} has {other.names}",
            remedy="rename the columns of the identifiers, such as patient_id or filename, to the "
            "same name in both",
        )
    repeated: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    for names in _subsets(list(identifiers)[:_MOST_KEYS]):
        there = tuple(identifiers[name] for name in names)
        index = _Index(other, there)
        if index.repeats:
            repeated = repeated or names
            continue
        rows = index.find([table.columns[name] for name in names])
        if not any(row is not None for row in rows):
            rows = index.find_files([table.columns[name] for name in names])
        if any(row is not None for row in rows):
            return _Key(names, there, rows)
        unmatched = unmatched or names
    raise _no_key(table, other, repeated, unmatched)


def _common_columns(table: Table, other: Table) -> dict[str, str]:
    """Return the name in the other table of each common column; spelling may differ."""
    plain = {_plain_name(name): name for name in other.columns}
    common: dict[str, str] = {}
    for name in table.columns:
        there = name if name in other.columns else plain.get(_plain_name(name))
        if there is not None and (there == name or there not in table.columns):
            common[name] = there
    return common


def _is_key_name(name: str) -> bool:
    words = [word.casefold() for word in _WORDS.findall(name)]
    return bool(words) and (words[-1] in _KEY_WORDS or _GLUED.fullmatch("".join(words)) is not None)


def _plain_name(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    for size in range(len(names), 0, -1):
        yield from combinations(names, size)


class _Index:
    """Rows of a table by the cells of some columns."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._rows: dict[tuple[str, ...], int] = {}
        self.repeats = 0
        for row, cells in enumerate(zip(*(table.columns[n] for n in columns), strict=True)):
            first = self._rows.setdefault(cells, row)
            if first != row and all(cells):  # rows that are equal as a whole are one
                self.repeats += any(one[first] != one[row] for one in table.columns.values())
        plain = {}
        counts: Counter[tuple[str, ...]] = Counter()
        for cells, row in self._rows.items():
            normal = tuple(map(_plain_identifier, cells))
            counts[normal] += 1
            plain[normal] = row
        self._plain = {cells: row for cells, row in plain.items() if counts[cells] == 1}

    def find(self, columns: Columns) -> list[int | None]:
        """Return the row for each row of these columns; a blank cell has no partner."""
        found: list[int | None] = []
        for cells in zip(*columns, strict=True):
            row = self._rows.get(cells) if all(cells) else None
            if row is None and all(cells):
                row = self._plain.get(tuple(map(_plain_identifier, cells)))
            found.append(row)
        return found

    def find_files(self, columns: Columns) -> list[int | None]:
        """Compare names of files without folders and endings, if these do not distinguish them."""
        here = [_files(cells) for cells in columns]
        there = [_files(cells) for cells in zip(*self._rows, strict=True)]
        pairs = zip([*here, *there], [*columns, *zip(*self._rows, strict=True)], strict=True)
        if any(len(set(names)) < len(set(cells)) for names, cells in pairs):
            return [None] * len(here[0])
        rows = dict(zip(zip(*there, strict=True), self._rows.values(), strict=True))
        return [rows.get(names) if all(names) else None for names in zip(*here, strict=True)]


def _files(cells: Iterable[str]) -> list[str]:
    return [stem_of(last_part(cell.replace("\\", "/"))) for cell in cells]


def _is_row_number(cells: Sequence[str]) -> bool:
    """Return whether a column counts the rows from 0 or 1, as an exported index does."""
    start = cells[0] if cells else ""
    return start in ("0", "1") and [*cells] == [
        str(number) for number in range(int(start), int(start) + len(cells))
    ]


def _plain_identifier(cell: str) -> str:
    return normal_form(cell) or cell


def _no_key(
    table: Table, other: Table, repeated: tuple[str, ...], unmatched: tuple[str, ...]
) -> SourceError:
    if unmatched:
        return SourceError(
            "no row of the table has a partner in the table to join",
            received=f"{plural(len(table), 'row')} of {table.path.name} and "
            f"{plural(len(other), 'row')} of {other.path.name}, compared by "
            f"{name_columns(unmatched)}",
            remedy="check that both tables belong to the same data set",
        )
    return SourceError(
        "joining the tables would multiply rows",
        received=f"{other.path.name} has several rows with the same {name_columns(repeated)}",
        remedy=f"give a table with one row for each, or give {other.path.name} as the data set and "
        f"join {table.path.name} to it",
    )

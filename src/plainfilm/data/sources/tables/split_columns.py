"""Finds and reads the column of official splits of a table."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from plainfilm._text import plural
from plainfilm.data.sources.identifying import contains_identity, is_identifying_name, is_number
from plainfilm.data.sources.listing import Listing, split_of_name
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError
from plainfilm.records import Split

_CERTAIN = frozenset({"split", "splits", "partition", "fold", "datasplit"})
_POSSIBLE = frozenset({"set", "subset", "dataset", "datasettype", "subsets", "phase", "usage"})
# A column is_valid may be about quality.
_FLAG = re.compile(r"(?:(?i:is|in)[\W_]+|[iI][sn](?=[A-Z]))(?!(?i:valid$))([^\W\d_].*)")
_YES = frozenset({"1", "1.0", "true", "yes"})
_NO = frozenset({"0", "0.0", "false", "no", ""})
_MOST_NAMES = 20  # different cells of a column of splits with any name


def find_split_columns(table: Table, used: Collection[str | None]) -> list[str]:
    """Return the columns that hold names of splits; there should be one at most.

    A column called split, partition or fold needs one such name; other values are then an error. A
    column called set, subset or dataset counts if it holds nothing else or names of two splits,
    and then a column of any name if it holds only names of two splits or more, or marks a split
    with 1 and 0, such as is_test. Columns of equal splits count once.

    Parameters
    ----------
    used
        Columns that have another role.
    """
    certain, possible, others = _qualifying(table, used)
    found = certain or possible or others
    first = _lenient(table, found[0]) if found else []
    return found if any(_lenient(table, name) != first for name in found) else found[:1]


def read_splits(table: Table, column: str | None) -> Sequence[Split | None]:
    """Return the split of each row by a column."""
    if column is None:
        return [None] * len(table)
    cells = table.columns[column]
    if _flag_of(column, cells):
        return _read_flags(table)
    splits = {cell: split_of_name(cell) for cell in set(cells)}
    unknown = _unknown(cells)
    if unknown and not (_plain(column) in _POSSIBLE and _has_two_splits(cells)):
        raise SourceError(
            f"the split column {column!r} contains unknown names",
            received=_show(column, unknown),
            remedy="use train, validation, test or blank cells, or name another column with "
            "split_column=",
        )
    return [splits[cell] for cell in cells]


def report_other_cells(table: Table, column: str | None, listing: Listing) -> None:
    """Report the cells of the split column that are no names of splits."""
    if column is None:
        return
    cells = table.columns[column]
    if unknown := [] if _flag_of(column, cells) else _unknown(cells):
        different = set(unknown)
        count = sum(cell in different for cell in cells)
        listing.report(
            "images-without-split",
            "warning",
            f"{plural(count, 'row has', 'rows have')} no split, since the column {column!r} of "
            f"{table.path.name} has other values there ({_show(column, unknown)})",
            count,
            consequence="they may be used for training",
            remedy="leave them out with where=, or name another column with split_column=",
        )


def report_split_columns(
    table: Table, column: str | None, used: Collection[str | None], listing: Listing
) -> None:
    """Report columns that disagree with the one that was found, or a split column not used."""
    if column is None:
        for name, cells in table.columns.items():
            if name in used or _plain(name) not in {"split", "splits", "datasplit"}:
                continue
            unknown = _unknown(cells)
            if 0 < len(unknown) <= _MOST_NAMES and not any(map(is_number, unknown)):
                listing.report(
                    "split-column-not-used",
                    "warning",
                    f"the column {name!r} of {table.path.name} has no known name of a split "
                    f"({_show(name, unknown)}) and was not used",
                    len(table),
                    consequence="images of an official test set may be used for training",
                    remedy="write train, validation or test in it",
                )
        return
    splits = _lenient(table, column)
    for name in [name for names in _qualifying(table, used) for name in names]:
        pairs = zip(splits, _lenient(table, name), strict=True)
        if other := sum(None not in pair and pair[0] != pair[1] for pair in pairs):
            listing.report(
                "split-disagreement",
                "warning",
                f"{plural(other, 'row has', 'rows have')} another split in the column {name!r} of "
                f"{table.path.name} than in {column!r}, which was used",
                other,
                consequence="images of an official test set may be used for training",
                remedy="check which is right, and name it with split_column=",
            )


def _qualifying(
    table: Table, used: Collection[str | None]
) -> tuple[list[str], list[str], list[str]]:
    """Return the columns of splits that are called so, may be called so, and with other names."""
    certain, possible, others = [], [], []
    for name, cells in table.columns.items():
        if name in used:
            continue
        usual = _plain(name)
        if usual in _CERTAIN:
            if any(map(split_of_name, set(cells))):
                certain.append(name)
        elif usual in _POSSIBLE:
            if _has_two_splits(cells) or (any(cells) and not _unknown(cells)):
                possible.append(name)
        elif _flag_of(name, cells) in ("validation", "test") or (
            len(set(cells)) <= _MOST_NAMES and not _unknown(cells) and _has_two_splits(cells)
        ):
            others.append(name)
    return certain, possible, others


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalpha())


def _unknown(cells: Collection[str]) -> list[str]:
    return sorted(cell for cell in set(cells) if cell and split_of_name(cell) is None)


def _has_two_splits(cells: Collection[str]) -> bool:
    """Return whether cells name two splits; one of them is then validation or test."""
    return len({split_of_name(cell) for cell in set(cells)} - {None}) > 1


def _flag_of(name: str, cells: Collection[str]) -> Split | None:
    """Return the split that a column of 1 and 0 marks, such as is_test."""
    found = _FLAG.fullmatch(name)
    values = {cell.casefold() for cell in set(cells)}
    if found is None or not values & _YES or not values & _NO or not values <= _YES | _NO:
        return None
    return split_of_name(found[1])


def _read_flags(table: Table) -> Sequence[Split | None]:
    """Return the split that the columns such as is_test mark in each row."""
    splits: list[Split | None] = [None] * len(table)
    for name, cells in table.columns.items():
        if split := _flag_of(name, cells):
            for row, cell in enumerate(cells):
                if cell.casefold() not in _YES:
                    continue
                if splits[row] not in (None, split):
                    raise SourceError(
                        "a row of the table is in several splits",
                        received=f"{table.path} with 1 for {splits[row]} and in {name!r}",
                        remedy="name a column of splits with split_column=",
                    )
                splits[row] = split
    return splits


def _lenient(table: Table, column: str) -> Sequence[Split | None]:
    """Return the split of each row, and None for other values."""
    cells = table.columns[column]
    return _read_flags(table) if _flag_of(column, cells) else [*map(split_of_name, cells)]


def _show(column: str, unknown: Sequence[str]) -> str:
    private = is_identifying_name(column) or any(map(contains_identity, unknown))
    return plural(len(unknown), "name") if private else ", ".join(unknown[:5])

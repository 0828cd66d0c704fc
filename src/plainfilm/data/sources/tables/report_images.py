"""Reports which images of a table were found by name, are missing, or are ambiguous."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.identifying import contains_identity, is_identifying_name
from plainfilm.data.sources.listing import Listing, describe_unusable
from plainfilm.data.sources.tables.find_images import AMBIGUOUS, MISSING, Images
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError


def describe_row(files: Images, row: int) -> LeftOut:
    """Return why the file of a row cannot be used."""
    identity, path = files.ids[row], files.paths[row]
    if files.sizes[row] == AMBIGUOUS:
        names = files.clashes[row]
        problem = f"the name fits {plural(len(names), 'file')}, for example {names[0]}, {names[1]}"
        return LeftOut(identity, path, "ambiguous", problem)
    if not path:
        return LeftOut(identity, path, "missing", "the cell of the path is blank")
    return describe_unusable(identity, path, files.sizes[row])


def report_images(files: Images, table: Table, column: str, base: Path, listing: Listing) -> None:
    """Add findings about the files of the rows; reject a table without any."""
    rows = [row for row, size in enumerate(files.sizes) if size == MISSING]
    if len(rows) + len(files.clashes) == len(files.sizes):
        raise _nothing_found(files, table, column, base)
    if count := _count(files, files.by_name):
        other = _count(files, files.other_ending)
        more = f", {other:,} of them with another ending than in the table" if other else ""
        if files.by_number:
            more += "; numbers have other leading zeros there"
        found = sum(size >= 0 for size in files.sizes)
        mixed = found > len(files.by_name)  # the others are where the table says
        listing.report(
            "files-found",
            "warning" if mixed else "note",
            f"{plural(count, 'file')} of {table.path.name} {'was' if count == 1 else 'were'} found "
            f"by name in the folders below {base.name}{more}",
            count,
            [files.ids[row] for row in files.by_name] if mixed else (),
            consequence="they may be other images of the same name" if mixed else "",
            remedy="check these files, since the others are at their paths" if mixed else "",
        )
    if missing := _count(files, rows):
        _report_left_out(
            "missing", f"{'does' if missing == 1 else 'do'} not exist", missing, table, listing
        )
    if count := _count(files, files.clashes):
        fits = "has a name" if count == 1 else "have names"
        _report_left_out("ambiguous", f"{fits} that several files have", count, table, listing)


def _count(files: Images, rows: Iterable[int]) -> int:
    """Count the files of some rows; several rows may be about one file."""
    return len({files.paths[row] or row for row in rows})


_REMEDIES = {
    "missing": "check that the data set is complete",
    "ambiguous": "name the folder of the images with images=, or build paths from several columns "
    "with path_column=, such as '{folder}/{file}.png'",
}


def _report_left_out(reason: str, problem: str, count: int, table: Table, listing: Listing) -> None:
    listing.report(
        f"{reason}-files",
        "warning",
        f"{plural(count, 'file')} in {table.path.name} {problem}",
        count,
        {item.id for item in listing.left_out if item.reason == reason},
        remedy=_REMEDIES[reason],
    )


def _nothing_found(files: Images, table: Table, column: str, base: Path) -> SourceError:
    first = table.columns[column][0]
    count = plural(len(files.sizes), "file")
    private = is_identifying_name(column) or contains_identity(first)
    where = f"{count} in the column {column!r} below {base}"
    if files.clashes:
        names = next(iter(files.clashes.values()))
        shown = " and ".join(sorted({f"{path.rpartition('/')[0] or '.'}/" for path in names})[:3])
        return SourceError(
            "the names in the table fit several files each",
            received=where if contains_identity(shown) else f"{where}, for example in {shown}",
            remedy=_REMEDIES["ambiguous"],
        )
    return SourceError(
        "none of the files in the table exists",
        received=where
        if private
        else f"{count}, the first is {first!r} at {files.paths[0] or base}",
        remedy="give the base folder of the images with images=, in which they are also found by "
        "name, or another column with path_column=",
    )

"""Reads tables of the calls or ratings of human readers, and assigns them to images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from plainfilm._text import plural
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.tables.files import read_table, table_name
from plainfilm.data.sources.tables.reduce import find_reader_columns
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError, UsageError
from plainfilm.evaluation.read_cells import read_cells
from plainfilm.evaluation.reader_kinds import Kind
from plainfilm.evaluation.view import Floats
from plainfilm.records import Task

_MODALITY = frozenset({"modality", "mode", "readingmode", "condition", "arm", "session"})
_CALL = re.compile(r"(?:call|rating|confidence|score|read|diagnosis|class|label|prediction)s?")
_NUMBERED = re.compile(
    r"(?:r|(?:rad|reader|radiologist|rater|observer|annotator|expert|physician|doctor)s?)"
    r"(?:[ _.-]*\d{1,2}|[ _.-]+[a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """The reads of one label.

    ``values`` (modalities, readers, n) are calls of 1 and 0, or ratings; NaN where missing. A
    single modality has an empty name.
    """

    kind: Kind
    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    values: Floats


class _Read(NamedTuple):
    """One row of a table: image, reader, modality and the cell of each label."""

    row: int
    reader: str
    modality: str
    cells: Mapping[str, str]


def load_reads(
    paths: Sequence[Path],
    ids: Sequence[str],
    task: Task,
    *,
    columns: Sequence[str] | None = None,
) -> tuple[dict[str, Reads], int]:
    """Return the reads of each label, and the number of reads of other images.

    Parameters
    ----------
    paths
        One table, or two or more of the same readers in different modalities. A table has a row for
        each image and a column for each reader; or a row for each read, with a column of the
        reader and one of the call or one for each label, and perhaps one of the modality.
    ids
        Ids of the images of the evaluation. A table may also have the names of the files, with or
        without ending.
    columns
        Names of the readers; None takes the columns that are named as readers, or all readers.

    Raises
    ------
    SourceError, UsageError
        If a table cannot be read, or its images, readers or labels are not found.
    """
    names = [table_name(path) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError(
            "two tables of readers have the same name, which names the way of reading",
            received=", ".join(path.name for path in paths),
            remedy="give each table once, under the name of its way of reading",
        )
    match = _Matcher(ids)
    reads: list[_Read] = []
    unmatched = 0
    for path, name in zip(paths, names, strict=True):
        table = read_table(path)
        modality = name if len(paths) > 1 else ""
        for one in _rows(table, match, task, columns, modality):
            if one.row < 0:
                unmatched += 1
            else:
                reads.append(one)
    if not reads:
        raise SourceError(
            "no image of the table of readers is in the evaluation",
            received=f"{plural(unmatched, 'read')}, evaluation of {', '.join(ids[:2])}, ...",
            remedy="give the ids of the evaluation, or the names of the files, in one column",
        )
    return _arrange(reads, task, ids), unmatched


def _rows(
    table: Table, match: _Matcher, task: Task, chosen: Sequence[str] | None, modality: str
) -> Iterator[_Read]:
    """Yield the reads of a table, in either layout."""
    key = match.find_column(table)
    images = [match(cell) for cell in table.columns[key]]
    others = [name for name in table.columns if name != key]
    people = find_reader_columns(others)
    if people and len(set(table.columns[key])) < len(table):
        yield from _long(table, images, people[0], task, chosen, modality)
        return
    readers = _choose_columns(table, others, chosen)
    if task.kind == "multilabel":
        raise UsageError(
            "a table with a column for each reader has the calls of one label",
            received=f"{table.path.name}, task with {plural(len(task.labels), 'label')}",
            remedy="give a row for each read: a column of the reader and one for each label",
        )
    for reader in readers:
        for row, cell in zip(images, table.columns[reader], strict=True):
            yield _Read(row, reader, modality, {"": cell})


def _choose_columns(
    table: Table, names: Sequence[str], chosen: Sequence[str] | None
) -> Sequence[str]:
    """Return the columns of readers."""
    found = chosen or [name for name in names if _NUMBERED.fullmatch(name)]
    if missing := [name for name in found if name not in names]:
        raise UsageError(
            f"{table.path.name} has no column of the reader {missing[0]!r}",
            received=table.names,
            remedy="name columns of the table with reader_columns=",
        )
    if not found:
        raise UsageError(
            f"the columns of the readers in {table.path.name} are not named",
            received=table.names,
            remedy="name them with reader_columns=",
        )
    return found


def _long(
    table: Table, images: Sequence[int], key: str, task: Task, chosen: Sequence[str] | None,
    modality: str,
) -> Iterator[_Read]:  # fmt: skip
    """Yield the reads of a table with a row for each read."""
    names = table.columns[key]
    if chosen and (missing := [name for name in chosen if name not in set(names)]):
        raise UsageError(
            f"{table.path.name} has no reader {missing[0]!r}",
            received=", ".join(sorted(set(names))[:10]),
            remedy="name readers of the table with reader_columns=",
        )
    modes = next((name for name in table.columns if fold_class(name) in _MODALITY), None)
    if modes is not None and len(set(zip(images, names, strict=True))) == len(table):
        modes = None  # as in a table of images; no reader read an image twice
    if modes is not None and modality:
        raise UsageError(
            "the modality is given by two tables and by a column",
            received=f"the column {modes} of {table.path.name}",
            remedy="give one table with this column, or tables without it",
        )
    cells = _label_columns(
        table, task, [name for name in table.columns if name not in (key, modes)]
    )
    for at, (row, reader) in enumerate(zip(images, names, strict=True)):
        if reader and (not chosen or reader in chosen):
            mode = table.columns[modes][at] if modes is not None else modality
            yield _Read(row, reader, mode, {label: own[at] for label, own in cells.items()})


def _label_columns(table: Table, task: Task, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the column of each label; of a column of classes, with an empty label."""
    folded = {fold_class(name): name for name in names}
    found = {
        label: table.columns[folded[fold_class(label)]]
        for label in task.labels
        if fold_class(label) in folded
    }
    if found and task.kind != "multiclass":
        return found
    calls = [name for name in names if _CALL.fullmatch(fold_class(name))]
    if len(calls) == 1 and task.kind != "multilabel":
        return {"": table.columns[calls[0]]}
    raise UsageError(
        f"{table.path.name} has no column of the calls",
        received=table.names,
        remedy=f"name one of its columns {'call' if task.kind != 'multilabel' else task.labels[0]}",
    )


def _arrange(reads: Sequence[_Read], task: Task, ids: Sequence[str]) -> dict[str, Reads]:
    """Return the reads as arrays, by label."""
    n = len(ids)
    readers = {name: at for at, name in enumerate(dict.fromkeys(one.reader for one in reads))}
    modes = {name: at for at, name in enumerate(dict.fromkeys(one.modality for one in reads))}
    place = np.array([(modes[one.modality], readers[one.reader], one.row) for one in reads])
    flat = np.ravel_multi_index(tuple(place.T), (len(modes), len(readers), n))
    counts = np.bincount(flat, minlength=1)
    if (counts > 1).any():
        raise _repeated([one for one, at in zip(reads, flat, strict=True) if counts[at] > 1], ids)
    people = [
        f"{one.reader} ({one.modality})" if len(modes) > 1 else one.reader for one in reads
    ]  # fmt: skip
    images = [ids[one.row] for one in reads]
    found: dict[str, Reads] = {}
    for column in dict.fromkeys(name for one in reads for name in one.cells):
        cells = [one.cells.get(column, "") for one in reads]
        for label, kind, numbers in read_cells(cells, column, task, people, images):
            values = np.full((len(modes), len(readers), n), np.nan)
            values.reshape(-1)[flat] = numbers
            found[label] = Reads(kind, tuple(modes), tuple(readers), values)
    return found


def _repeated(reads: Sequence[_Read], ids: Sequence[str]) -> SourceError:
    """Return the error on reads that are given more than once."""
    images = list(dict.fromkeys(ids[one.row] for one in reads))
    readers = list(dict.fromkeys(one.reader for one in reads))
    return SourceError(
        "a reader read an image twice",
        received=f"{plural(len(images), 'image')} such as {images[0]}, "
        f"{plural(len(readers), 'reader')}: {', '.join(readers[:5])}"
        + (", ..." if len(readers) > 5 else ""),
        remedy="keep one row, or name the way of reading in a column modality",
    )


class _Matcher:
    """Finds the row of an image by its id, or by the name of its file with or without ending."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.exact = {name: row for row, name in enumerate(ids)}

    @cached_property
    def short(self) -> dict[str, int]:
        """Return the row of each short name, -1 for a name that several images have."""
        rows: dict[str, int] = {}
        for row, name in enumerate(self.ids):
            for form in set(_forms(name)):
                rows[form] = -1 if form in rows else row
        return rows

    def __call__(self, cell: str) -> int:
        if cell in self.exact:
            return self.exact[cell]
        return next((row for form in _forms(cell) if (row := self.short.get(form, -1)) >= 0), -1)

    def find_column(self, table: Table) -> str:
        """Return the column with the most images of the evaluation."""
        counts = {
            name: sum(self(cell) >= 0 for cell in dict.fromkeys(cells))
            for name, cells in table.columns.items()
        }
        best = max(counts, key=lambda name: counts[name])
        if counts[best]:
            return best
        raise SourceError(
            f"{table.path.name} has no column with the images of the evaluation",
            received=f"columns {table.names}; images such as {next(iter(self.exact), 'none')}",
            remedy="give the ids of the evaluation, or the names of the files, in one column",
        )


def _forms(name: str) -> tuple[str, str]:
    """Return the name of a file without folders, and without ending."""
    base = name.replace("\\", "/").rpartition("/")[2].casefold()
    stem, dot, _ = base.rpartition(".")
    return base, stem if dot else base

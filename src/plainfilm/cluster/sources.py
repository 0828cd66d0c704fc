"""Lists the files of the archives that a plan is made of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from plainfilm.cluster.plan import SCHEMA, PlannedSource
from plainfilm.cluster.uris import path_of, uri_of
from plainfilm.cluster.walk import walk
from plainfilm.errors import SourceError

BATCH = 65_536


class Source(Protocol):
    """A folder, list or prefix."""

    uri: str
    bytes: int | None
    may_repeat: bool

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield tables of rows in a fixed order, and count what is not an image."""

    def describe(self) -> PlannedSource:
        """Return what the plan records, after all tables were read."""


class FolderSource:
    """The images below a folder."""

    bytes: int | None = None
    may_repeat = False

    def __init__(self, path: Path) -> None:
        self.uri = os.path.abspath(path)  # noqa: PTH100
        if not path.is_dir():
            raise SourceError("the archive does not exist or is not a folder", received=path)

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield the images in the order of their paths."""
        rows = ((uri_of(path), size, tag) for path, size, tag in walk(self.uri, left_out))
        return make_tables(rows)

    def describe(self) -> PlannedSource:
        """Return the folder."""
        return PlannedSource(self.uri, root=self.uri)


def find_sources(archives: Sequence[str | Path], column: str | None = None) -> list[Source]:
    """Return the sources that are given as folders, prefixes or lists."""
    return [_find(archive, column) for archive in archives]


def _find(archive: str | Path, column: str | None) -> Source:
    return FolderSource(path_of(archive))


def make_tables(rows: Iterable[tuple[str, int | None, str | None]]) -> Iterator[Any]:
    """Yield tables of a plan's schema from rows."""
    import pyarrow as arrow

    schema = arrow.schema(SCHEMA)
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield arrow.table([*map(list, zip(*batch, strict=True))], schema=schema)

"""Finds the archives that are planned, and lists their files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from plainfilm._text import printable
from plainfilm.cluster.lists import LIST_SUFFIXES, ListSource
from plainfilm.cluster.plan import SCHEMA, PlannedSource
from plainfilm.cluster.uris import is_object, path_of, uri_of
from plainfilm.cluster.walk import walk
from plainfilm.data.sources.folders.tree import is_hidden, looks_like_image
from plainfilm.errors import SourceError, UsageError

BATCH = 16_384


class Source(Protocol):
    """A folder, list or prefix."""

    @property
    def uri(self) -> str:
        """Its absolute path or URI."""

    @property
    def sha256(self) -> str | None:
        """SHA-256 of a list; None for a folder or prefix."""

    @property
    def may_repeat(self) -> bool:
        """Whether it may name a file twice."""

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield tables of rows in a fixed order, and count what is not an image."""

    def describe(self) -> PlannedSource:
        """Return what the plan records, after all tables were read."""


class FolderSource:
    """The images below a folder."""

    sha256: str | None = None
    may_repeat = False

    def __init__(self, path: Path) -> None:
        self.uri = os.path.abspath(path)  # noqa: PTH100 (a Path keeps ..)

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield the images in the order of their paths."""
        rows = ((uri_of(path), size, tag) for path, size, tag in walk(self.uri, left_out))
        return make_tables(rows)

    def describe(self) -> PlannedSource:
        """Return the folder."""
        return PlannedSource(self.uri, root=self.uri)


class PrefixSource:
    """The images below a prefix of an object store.

    An object is an image if its name says so, as for a local file: it has the suffix of an image
    format, or one of digits, or no suffix and a digit in its name. No object is opened.
    """

    sha256: str | None = None
    may_repeat = False

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield the images in the order of the listing, which is that of their keys."""
        return make_tables(self._rows(left_out))

    def _rows(self, left_out: Counter[str]) -> Iterator[tuple[str, int | None, str | None]]:
        from plainfilm.cluster.object_store import list_objects, split

        bucket, prefix = split(self.uri)
        start = len(prefix) + 1 if prefix else 0
        for found in list_objects(self.uri):
            parts = found["path"][start:].split("/")
            if any(map(is_hidden, parts)):
                continue
            if looks_like_image(parts[-1]):
                yield f"{bucket}/{found['path']}", found["size"], found["e_tag"]
            else:
                left_out["not an image"] += 1

    def describe(self) -> PlannedSource:
        """Return the prefix."""
        return PlannedSource(self.uri)


def find_sources(archives: Sequence[str | Path], column: str | None = None) -> list[Source]:
    """Return the sources that are given as folders, prefixes or lists.

    Raises a SourceError if one is missing, and a UsageError if ``column`` is given without a list.
    """
    sources = [_find(archive, column) for archive in archives]
    if column is not None and all(source.sha256 is None for source in sources):
        raise UsageError(
            "a column is for lists of URIs, and there is no list",
            received=printable(column),
            remedy=f"leave it out, or give a list ({', '.join(LIST_SUFFIXES)})",
        )
    return sources


def _find(archive: str | Path, column: str | None) -> Source:
    is_list = str(archive).lower().endswith(LIST_SUFFIXES)
    if is_object(archive):
        return ListSource(str(archive), column) if is_list else PrefixSource(str(archive))
    path = path_of(archive)
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise SourceError("the archive does not exist", received=path)
    if not is_list:
        raise SourceError(
            "the archive is neither a folder nor a list",
            received=path,
            remedy=f"give a folder, or a list of URIs that ends with {', '.join(LIST_SUFFIXES)}",
        )
    return ListSource(os.path.abspath(path), column)  # noqa: PTH100 (a Path keeps ..)


def make_tables(rows: Iterable[tuple[str, int | None, str | None]]) -> Iterator[Any]:
    """Yield tables of a plan's schema from rows."""
    import pyarrow as arrow

    schema = arrow.schema(SCHEMA)
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield arrow.table([*map(list, zip(*batch, strict=True))], schema=schema)

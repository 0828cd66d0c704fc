"""Reads a plan: the files of an archive, in chunks that are worked on one at a time.

``plan/`` holds Parquet files with the columns ``uri``, ``bytes`` and ``etag``. Each row group is a
chunk. ``plan/DONE.json`` is written last and names the files, so that a plan is never used before
it is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from plainfilm._document import Document
from plainfilm._files import hash_json
from plainfilm.cluster.stores import Store, StoreError
from plainfilm.errors import RunError

FOLDER = "plan"
DONE = "plan/DONE.json"
SCHEMA = (("uri", "string"), ("bytes", "int64"), ("etag", "string"))


class Row(NamedTuple):
    """A planned file: its URI, and its bytes and version if they were known when it was planned."""

    uri: str
    bytes: int | None
    etag: str | None


class Chunk(NamedTuple):
    """A chunk: the number of its plan file, the row group in it, and how many rows it has."""

    file: int
    group: int
    rows: int

    @property
    def name(self) -> str:
        """The name of its part, without suffix.

        >>> Chunk(3, 41, 4096).name
        '00003-00041'
        """
        return f"{self.file:05d}-{self.group:05d}"

    @property
    def part(self) -> str:
        """The name of its part in the store."""
        return f"parts/{self.name}.parquet"


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A folder, list or prefix that was planned.

    Attributes
    ----------
    uri
        Absolute path or URI.
    sha256
        SHA-256 of a list; None for a folder or prefix.
    root
        Folder above all local files, or None.
    """

    uri: str
    sha256: str | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A file of a plan: its name, its bytes, and the rows of each chunk in it."""

    name: str
    bytes: int
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlanIndex(Document):
    """The files of a plan, and what was planned.

    Attributes
    ----------
    sources
        What was planned.
    column
        Column of the URIs in lists, if it was given.
    files
        The plan's files.
    rows, bytes
        Number of planned files, and the sum of the sizes that are known.
    left_out
        How many entries of the sources were not planned, by reason.
    """

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "choose another output folder"

    sources: tuple[PlannedSource, ...]
    files: tuple[PlanFile, ...]
    rows: int
    bytes: int
    column: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders that contain the planned local files."""
        return tuple(source.root for source in self.sources if source.root is not None)


class Plan:
    """A complete plan in a store."""

    def __init__(self, store: Store, index: PlanIndex) -> None:
        self.store = store
        self.index = index
        self.identity = hash_json(index.to_json())
        self._footer: tuple[int, Any] = (-1, None)  # of the plan file that was read last

    def __len__(self) -> int:
        return self.index.rows

    def chunks(self) -> Iterator[Chunk]:
        """Yield all chunks in order."""
        for number, file in enumerate(self.index.files):
            for group, rows in enumerate(file.chunks):
                yield Chunk(number, group, rows)

    def rows(self, chunk: Chunk) -> list[Row]:
        """Return the rows of a chunk; raise a RunError if the plan was changed or is damaged."""
        import pyarrow

        name = self.index.files[chunk.file].name
        try:
            table = self._read(chunk, name)
            rows = list(map(Row, *(table[column].to_pylist() for column in Row._fields)))
        except (OSError, ValueError, TypeError, LookupError, pyarrow.ArrowException) as error:
            raise _changed(name) from error
        if len(rows) != chunk.rows:
            raise _changed(name)
        return rows

    def _read(self, chunk: Chunk, name: str) -> Any:
        """Return the table of a chunk."""
        import pyarrow.parquet as parquet

        number, footer = self._footer
        with self.store.open(name) as file:
            opened = parquet.ParquetFile(
                file,
                metadata=footer if number == chunk.file else None,
                page_checksum_verification=True,
            )
            self._footer = chunk.file, opened.metadata
            return opened.read_row_group(chunk.group)


def read_plan(store: Store) -> Plan | None:
    """Return the plan of a store, or None if there is no complete one.

    Raises a RunError if its files do not have the sizes that they were written with.
    """
    try:
        data = store.read(DONE)
    except StoreError as error:
        if error.reason == "missing":
            return None
        raise
    index = PlanIndex.parse(data, f"{store.uri}/{DONE}")
    sizes = {entry.name: entry.size for entry in store.entries(FOLDER)}
    for file in index.files:
        if sizes.get(file.name) != file.bytes:
            raise _changed(file.name)
    return Plan(store, index)


def _changed(name: str) -> RunError:
    return RunError(
        "the plan was changed or is damaged",
        received=name,
        remedy="restore the file, or choose another output folder; "
        "for an audit, remove the folder with its evidence from the cache",
    )

"""Writes the plan of an archive: lists its files in chunks of limited rows and bytes."""

from __future__ import annotations

import io
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from plainfilm._files import canonical_json
from plainfilm._progress import Progress, silent
from plainfilm._text import plural, printable
from plainfilm.cluster.plan import DONE, FOLDER, SCHEMA, Plan, PlanFile, PlanIndex, read_plan
from plainfilm.cluster.repeats import Repeats
from plainfilm.cluster.sources import Source, find_sources
from plainfilm.cluster.stores import Store
from plainfilm.errors import SourceError, UsageError

CHUNK_ROWS = 4096
_FIRST_ROWS = 256
_SHARE = 16
"""A chunk has at most a 16th of the rows before it, so that the workers of a small archive have
equal work, but at least 256."""
CHUNK_BYTES = 2 << 30
FILE_ROWS = 256 * CHUNK_ROWS


def make_plan(
    store: Store,
    archives: Sequence[str | Path],
    *,
    column: str | None = None,
    progress: Progress = silent,
) -> Plan:
    """Return the plan of archives in a store; it is written if the store has none.

    Planning that was interrupted begins again. If several processes plan in one store at the same
    time, all use the plan that is complete first.

    Parameters
    ----------
    store
        Where the plan is stored.
    archives
        Folders, prefixes of object stores, and lists of URIs (Parquet, CSV or TSV files).
    column
        Column of the lists with the URIs; by default ``uri``, ``file`` or ``path``.
    progress
        Progress callback.

    Raises
    ------
    SourceError
        If an archive is missing, has no images, or is a list without such a column.
    UsageError
        If the store has the plan of other archives.
    """
    sources = find_sources(archives, column)
    plan = read_plan(store)
    if plan is None:
        plan = write_plan(store, sources, column=column, progress=progress)
    _check_sources(store, plan.index, sources, column)
    return plan


def write_plan(
    store: Store, sources: Sequence[Source], *, column: str | None, progress: Progress = silent
) -> Plan:
    """List sources, write their plan, and return it or the one that was complete before."""
    left_out: Counter[str] = Counter()
    with ExitStack() as stack:
        repeats = None
        if len(sources) > 1 or any(source.may_repeat for source in sources):
            repeats = stack.enter_context(Repeats())
        planned = stack.enter_context(_Writer(store, progress))
        for source in sources:
            found = 0
            for table in source.tables(left_out):
                found += len(table)
                if repeats is not None:
                    repeats.add(table["uri"])
                planned.write(table)
            if not found:
                raise _no_images(source, left_out)
        planned.close()
        if repeats is not None and len(rows := repeats.find()):
            left_out["repeated"] += len(rows)
            planned = _write_without(store, planned, rows)
    progress("listing files", 1, 1, plural(planned.rows, "file"))
    index = PlanIndex(
        tuple(source.describe() for source in sources),
        tuple(planned.files),
        planned.rows,
        planned.bytes,
        column,
        {reason: count for reason, count in sorted(left_out.items()) if count},
    )
    return _commit(store, index)


def _commit(store: Store, index: PlanIndex) -> Plan:
    """Make a plan the plan of its store, unless another one is complete; remove other files."""
    store.put_new(DONE, canonical_json(index.to_json()).encode())
    plan = read_plan(store)
    assert plan is not None
    own = {file.name for file in plan.index.files}
    for entry in list(store.entries(FOLDER)):
        if entry.name not in own and entry.name != DONE:
            store.remove(entry.name)
    return plan


def _write_without(store: Store, plan: _Writer, rows: Any) -> _Writer:
    """Write a plan again without the rows with some numbers."""
    import numpy as np
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    without = _Writer(store, silent)
    start = 0
    for file in plan.files:
        with store.open(file.name) as opened:
            for batch in parquet.ParquetFile(opened).iter_batches():
                kept = np.ones(len(batch), bool)
                first, end = np.searchsorted(rows, [start, start + len(batch)])
                kept[rows[first:end] - start] = False
                without.write(arrow.Table.from_batches([batch]).filter(kept))
                start += len(batch)
    without.close()
    plan.remove()
    return without


class _Writer:
    """Writes tables of rows as the chunks of plan files."""

    def __init__(self, store: Store, progress: Progress) -> None:
        import pyarrow as arrow

        self.files: list[PlanFile] = []
        self.rows = self.bytes = 0
        self._store, self._progress = store, progress
        self._token = secrets.token_hex(4)
        self._rest = arrow.schema(SCHEMA).empty_table()
        self._chunks: list[int] = []
        self._buffer = io.BytesIO()
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.remove()

    def write(self, table: Any) -> None:
        """Add rows; chunks that are complete are written."""
        import pyarrow as arrow

        self._rest = arrow.concat_tables([self._rest, table])
        while len(self._rest) >= CHUNK_ROWS:
            self._write_chunk()

    def close(self) -> None:
        """Write the rest."""
        while len(self._rest):
            self._write_chunk()
        self._close_file()

    def remove(self) -> None:
        """Remove the files."""
        for file in self.files:
            self._store.remove(file.name)

    def _write_chunk(self) -> None:
        """Write the next chunk, and end the file if that makes it full."""
        import numpy as np
        import pyarrow.parquet as parquet

        most = min(CHUNK_ROWS, max(_FIRST_ROWS, self.rows // _SHARE))
        table = self._rest.slice(0, min(most, FILE_ROWS - sum(self._chunks)))
        ends = np.cumsum(table["bytes"].fill_null(0).to_numpy())
        rows = max(1, int(np.searchsorted(ends, CHUNK_BYTES, side="right")))
        if self._writer is None:
            self._writer = parquet.ParquetWriter(
                self._buffer,
                table.schema,
                compression="zstd",
                use_dictionary=False,
                column_encoding={"uri": "DELTA_BYTE_ARRAY"},
                write_statistics=False,
                write_page_checksum=True,
            )
        self._writer.write_table(table.slice(0, rows), row_group_size=rows)
        self._chunks.append(rows)
        self._rest = self._rest.slice(rows)
        self.rows += rows
        self.bytes += int(ends[rows - 1])
        if sum(self._chunks) >= FILE_ROWS:
            self._close_file()

    def _close_file(self) -> None:
        """Store the file that is being written."""
        if self._writer is None:
            return
        self._writer.close()
        name = f"{FOLDER}/{len(self.files):05d}-{self._token}.parquet"
        data = self._buffer.getvalue()
        self._store.put_new(name, data)
        self.files.append(PlanFile(name, len(data), tuple(self._chunks)))
        self._chunks, self._writer, self._buffer = [], None, io.BytesIO()
        self._progress("listing files", 0, 1, plural(self.rows, "file"))


def _check_sources(
    store: Store, index: PlanIndex, sources: Sequence[Source], column: str | None
) -> None:
    """Raise a UsageError if a plan is of other sources."""
    planned = [(source.uri, source.sha256) for source in index.sources]
    given = [(source.uri, source.sha256) for source in sources]
    if planned == given and index.column == column:
        return
    raise UsageError(
        f"{store.uri} has the plan of other files",
        received=f"{_names(given, column)}; planned: {_names(planned, index.column)}",
        remedy="choose another output folder, or give the same archives as before",
    )


def _names(sources: Iterable[tuple[str, str | None]], column: str | None) -> str:
    """Describe sources for a message."""
    text = ", ".join(
        printable(uri if digest is None else f"{uri} (SHA-256 {digest[:8]}…)")
        for uri, digest in sources
    )
    return text if column is None else f"{text}, column {printable(column)}"


def _no_images(source: Source, left_out: Counter[str]) -> SourceError:
    """Return the error of a source without images."""
    others = [
        f"{plural(count, 'entry', 'entries')} {reason}"
        for reason, count in left_out.items()
        if count
    ]
    return SourceError(
        f"{source.uri} contains no {'URIs' if source.sha256 is not None else 'images'}",
        received=f"only {', '.join(others)}" if others else None,
        remedy="give a folder, a prefix or a list with images in JPEG, PNG, TIFF, BMP, WebP, GIF "
        "or DICOM",
    )

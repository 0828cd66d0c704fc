"""Reads lists of URIs: Parquet, CSV and TSV files of any size."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from plainfilm._csv import original
from plainfilm._text import plural, printable
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import SCHEMA, PlannedSource
from plainfilm.cluster.uris import normal_uri
from plainfilm.errors import SourceError, UsageError

LIST_SUFFIXES = (".parquet", ".csv", ".tsv")
COLUMNS = ("uri", "file", "path")
"""Columns of the URIs; the first that a list has is used."""

_HEAD = 1 << 20  # bytes of a CSV file in which its first line ends
_BATCH = 16_384
_LINE_END = re.compile(rb"[\r\n]")
# What Arrow says about a CSV file; its columns are counted from 0, its rows and lines from 1.
_COLUMN = re.compile(r"column #(\d+)")
_WHERE = re.compile(
    r"column \d+|Row #\d+|Expected \d+ columns, got \d+|conversion error to \w+|invalid UTF8 data"
)
# URIs that are in normal form, which needs no loop in Python.
_OBJECT = r"^(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*/[^?&;@]+$"
_UNUSUAL_PATH = r"^[^/]|//|/\.\.?(/|$)|/$"


class ListSource:
    """A list of URIs and paths; relative paths are relative to the folder of the list.

    Columns ``bytes`` and ``etag`` are used if the list has them, so that changed files are noticed
    and chunks have similar sizes.
    """

    may_repeat = True

    def __init__(self, uri: str, column: str | None) -> None:
        self.uri, self._column = uri, column
        folder, _, self._name = uri.rpartition("/")
        self._base = folder or "/"
        self._store = open_store(self._base)
        self._range: list[str] = []  # first and last local path in text order
        with self._store.open(self._name) as file:
            self.sha256: str | None = _hash(file)

    def describe(self) -> PlannedSource:
        """Return the list, its hash, and the folder above all local files in it."""
        folders = [path.rpartition("/")[0] or "/" for path in self._range]
        root = os.path.commonpath(folders) if folders else None
        return PlannedSource(self.uri, self.sha256, root)

    def tables(self, left_out: Counter[str]) -> Iterator[Any]:
        """Yield the rows of the list in its order; blank cells are counted."""
        import pyarrow

        is_parquet = self._name.lower().endswith(".parquet")
        try:
            with self._store.open(self._name) as file:
                for batch in self._parquet(file) if is_parquet else self._csv(file):
                    yield self._rows(batch, left_out)
        except (pyarrow.ArrowException, UnicodeDecodeError, csv.Error) as error:
            # Not more of the message, which may quote a row.
            text = _COLUMN.sub(lambda found: f"column {int(found[1]) + 1}", str(error))
            kind = ", ".join(_WHERE.findall(text)) or printable(text.partition(":")[0], 60)
            raise SourceError(
                "the list cannot be read",
                received=f"{self.uri}: {kind}",
                remedy="give a Parquet, CSV or TSV file with a header",
            ) from None

    def _parquet(self, file: BinaryIO) -> Iterator[Any]:
        """Yield the batches of a Parquet file, with the names of a plan's columns."""
        import pyarrow.parquet as parquet

        opened = parquet.ParquetFile(file)
        chosen = self._choose(opened.schema_arrow.names)
        for batch in opened.iter_batches(_BATCH, columns=[*chosen.values()], use_threads=False):
            yield {name: batch.column(own) for name, own in chosen.items()}

    def _csv(self, file: BinaryIO) -> Iterator[Any]:
        """Yield the batches of a CSV file; its separator is that of the first line."""
        from pyarrow import csv as arrow_csv

        head = _LINE_END.split(file.read(_HEAD), maxsplit=1)[0].decode("utf-8-sig")
        file.seek(0)
        separator = "\t" if self._name.lower().endswith(".tsv") else max(",;\t", key=head.count)
        chosen = self._choose(next(csv.reader([head], delimiter=separator), []))
        kinds = dict(SCHEMA)
        batches = arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_HEAD),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[*chosen.values()],
                column_types={own: kinds[name] for name, own in chosen.items()},
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        for batch in batches:
            yield {name: batch.column(own) for name, own in chosen.items()}

    def _choose(self, names: Sequence[str]) -> dict[str, str]:
        """Return the list's column for each column of the plan."""
        known = {name.strip().lower(): name for name in reversed(names)}
        accepted = COLUMNS if self._column is None else (self._column.lower(),)
        found = [known[name] for name in accepted if name in known]
        if found:
            names = [name for name, _ in SCHEMA[1:] if name in known]
            return {"uri": found[0], **{name: known[name] for name in names}}
        # A list without a header would show its first files.
        shown = [printable(name, 40) for name in names if "/" not in name and "." not in name]
        raise SourceError(
            f"the list {self.uri} has no column {' or '.join(accepted)}",
            received=", ".join(shown[:20]) or plural(len(names), "column") + " without such names",
            remedy="name the column of the URIs with --column, or give the list a header",
        )

    def _rows(self, columns: Mapping[str, Any], left_out: Counter[str]) -> Any:
        """Return a table of the plan's schema."""
        import pyarrow as arrow
        import pyarrow.compute as compute

        schema = arrow.schema(SCHEMA)
        table = arrow.table(
            [
                columns[name].cast(kind)
                if name in columns
                else arrow.nulls(len(columns["uri"]), kind)
                for name, kind in zip(schema.names, schema.types, strict=True)
            ],
            schema=schema,
        )
        table.validate(full=True)  # text of a Parquet file may not be UTF-8
        filled = compute.utf8_trim_whitespace(table["uri"].fill_null(""))
        table = table.filter(compute.not_equal(filled, ""))
        left_out["blank"] += len(filled) - len(table)
        uris = self._normal(table["uri"])
        local = uris.filter(compute.starts_with(uris, "/"))
        if len(local):
            ends = compute.min_max(local).as_py()
            self._range = [min([*self._range, ends["min"]]), max([*self._range, ends["max"]])]
        return table.set_column(0, "uri", uris)

    def _normal(self, column: Any) -> Any:
        """Return URIs in normal form; raise a SourceError if one is refused."""
        import pyarrow as arrow
        import pyarrow.compute as compute

        if not len(column) or compute.all(compute.match_substring_regex(column, _OBJECT)).as_py():
            return column
        if not compute.any(compute.match_substring_regex(column, _UNUSUAL_PATH)).as_py():
            return column
        is_csv = not self._name.lower().endswith(".parquet")
        values = map(original, column.to_pylist()) if is_csv else column.to_pylist()
        try:
            return arrow.chunked_array(
                [arrow.array([normal_uri(uri, self._base) for uri in values], arrow.string())]
            )
        except UsageError as error:
            raise SourceError(
                f"{error.problem}, in the list {self.uri}",
                received=error.received,
                remedy=error.remedy,
            ) from None


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := file.read(_HEAD):
        digest.update(data)
    return digest.hexdigest()

"""Reads a table of predictions into Arrow columns.

A table may have a million rows and many columns of scores. As one Python object for each cell they
would take gigabytes, so a plain table is read by Arrow, and only a table that Arrow does not read,
or one that is joined or selected from, takes the way of tables of images.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_file, hash_json, open_regular, read_json
from plainfilm.data import SourceOptions
from plainfilm.data.sources.tables.open_table import open_table
from plainfilm.data.sources.tables.text import recognise_delimiter
from plainfilm.errors import LabelError, SourceError

_SAMPLE = 1 << 20  # bytes that show the delimiter and the header
_BLANK = frozenset({"", "nan", "na", "n/a", "none", "null", "."})
_TEXT = (".csv", ".tsv", ".txt")
_STORES = ("s3:", "gs:", "az:")
_SCORES, _PARTS, _FINISHED = "score.json", "parts", "DONE.json"  # of plainfilm score
_NO_SUBGROUPS = frozenset({"bytes", "sha256", "machine"})


@dataclass(frozen=True, slots=True)
class Cells:
    """The columns of a table as Arrow arrays by name; a blank cell is an empty text or null."""

    path: Path
    columns: dict[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def text(self, name: str) -> list[str]:
        """Return a column as text, blank if missing; equal cells are one object."""
        import pyarrow.compute as compute

        column = compute.fill_null(self._strings(name), "").combine_chunks()
        encoded = column.dictionary_encode()
        if hasattr(encoded, "combine_chunks"):
            encoded = encoded.combine_chunks()
        values = np.array([cell.strip() for cell in encoded.dictionary.to_pylist()], object)
        cells: list[str] = values[encoded.indices.to_numpy(zero_copy_only=False)].tolist()
        return cells

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers (n,), NaN where it is blank.

        Raises
        ------
        LabelError
            If a cell is another text.
        """
        import pyarrow
        import pyarrow.compute as compute

        column = self.columns[name]
        if not pyarrow.types.is_string(column.type):
            try:
                return _to_numpy(compute.cast(column, pyarrow.float64()))
            except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
                column = self._strings(name)
        trimmed = compute.utf8_trim_whitespace(column)
        known = compute.if_else(
            compute.is_in(compute.utf8_lower(trimmed), pyarrow.array(sorted(_BLANK))),
            None,
            trimmed,
        )
        try:
            return _to_numpy(compute.cast(known, pyarrow.float64()))
        except pyarrow.ArrowInvalid:
            return np.array([self._number(name, row, cell) for row, cell in _enumerate(known)])

    def _number(self, name: str, row: int, cell: str | None) -> float:
        """Read a number that may have a decimal comma or a percent sign."""
        if cell is None:
            return math.nan
        text = cell.replace(",", ".", 1)
        share = text.endswith("%")
        try:
            value = float(text.rstrip("% "))
        except ValueError:
            raise LabelError(
                f"the scores in the column {name!r} must be numbers",
                received=f"{cell!r} in row {row + 1} of {self.path}",
                remedy="name the columns of the scores with scores=",
            ) from None
        return value / 100 if share else value

    def is_numeric(self, name: str) -> bool:
        """Return whether the first cells that are not blank are numbers."""
        try:
            part = Cells(self.path, {name: self.columns[name].slice(0, 100)}).numbers(name)
        except LabelError:
            return False
        return bool(np.isfinite(part).any())

    def _strings(self, name: str) -> Any:
        import pyarrow
        import pyarrow.compute as compute

        column = self.columns[name]
        if pyarrow.types.is_dictionary(column.type):
            column = compute.cast(column, column.type.value_type)
        return compute.cast(column, pyarrow.string())


def read_cells(path: Path, options: SourceOptions) -> Cells:
    """Read a table, or the output of ``plainfilm score``; options are those of tables of images.

    Raises
    ------
    SourceError
        If the table is missing, empty or damaged, or the output is not finished.
    """
    if path.is_dir():
        return _read_scores(path)
    if not any(options.get(name) for name in ("join", "where", "header", "encoding")):
        found = _read_plain(path, options.get("delimiter"))
        if found is not None:
            return found
    import pyarrow

    table, _ = open_table(path, options)
    columns = {
        name: pyarrow.chunked_array([pyarrow.array(cells, pyarrow.string())])
        for name, cells in table.columns.items()
    }
    return Cells(path, columns)


def _read_scores(folder: Path) -> Cells:
    """Read the parts of a finished output of ``plainfilm score``."""
    import pyarrow
    import pyarrow.parquet as parquet

    unfinished = SourceError(
        f"{folder} is not finished: some images have no row",
        remedy="run the same plainfilm score again, with all shares",
    )
    if not (folder / _FINISHED).is_file():
        raise unfinished
    tables = []
    for part in _parts(folder):
        try:
            tables.append(parquet.read_table(part, page_checksum_verification=True))
        except (OSError, pyarrow.ArrowException) as error:
            raise SourceError(
                f"a part cannot be used: {part}",
                received="it is truncated or damaged",
                remedy="remove it, and run the same plainfilm score again",
            ) from error
    try:
        if sum(map(len, tables)) != read_json(folder / _FINISHED)["rows"]:
            raise unfinished
        table = pyarrow.concat_tables(tables)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(
            f"{folder} cannot be read: {_FINISHED} is damaged, or parts are of another job",
            remedy="run the same plainfilm score again",
        ) from error
    names = [name for name in table.column_names if name not in _NO_SUBGROUPS]
    return Cells(folder, {name: table.column(name) for name in names})


def _read_plain(path: Path, delimiter: str | None) -> Cells | None:
    """Read a Parquet file, or UTF-8 text whose first line is the header; None for other tables."""
    import pyarrow
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as parquet

    try:
        with open_regular(path) as file:
            start = file.read(_SAMPLE)
        if start.startswith(b"PAR1"):
            table = parquet.read_table(path)
        elif not path.name.lower().endswith(_TEXT) or len(delimiter or ",") != 1:
            return None
        else:
            text = start.decode("utf-8-sig", "ignore" if len(start) == _SAMPLE else "strict")
            used = delimiter or recognise_delimiter(text, path.name)
            names = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=used))]
            if len(names) < 2 or not all(names):
                return None
            table = arrow_csv.read_csv(
                path,
                arrow_csv.ReadOptions(column_names=names, skip_rows=1),
                arrow_csv.ParseOptions(delimiter=used, newlines_in_values=False),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string())),
            )
    except (OSError, ValueError, StopIteration, csv.Error, pyarrow.ArrowException):
        return None  # the slower reader finds the reason
    if len(set(table.column_names)) < len(table.column_names) or not len(table):
        return None
    return Cells(path, dict(zip(table.column_names, table.columns, strict=True)))


def _to_numpy(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values.astype(np.float64, copy=False)


def _enumerate(column: Any) -> Any:
    return enumerate(column.to_pylist())


def _parts(folder: Path) -> list[Path]:
    """Return the complete parts of an output."""
    found = sorted((folder / _PARTS).glob("*.parquet"))
    return [part for part in found if not part.name.startswith(".")]


def hash_table(path: Path) -> str:
    """Return a hash of a table, or of all parts of an output."""
    if not path.is_dir():
        return hash_file(path)
    return hash_json([hash_file(part) for part in _parts(path)])


def check_table(path: Path) -> Path:
    """Return the path of an existing table, or raise a `SourceError`."""
    if str(path).startswith(_STORES):
        raise SourceError(
            "predictions are read from files of this machine",
            received=path,
            remedy="copy the folder of the output to this machine, and give the copy",
        )
    if not path.is_file() and not (path / _SCORES).is_file():
        kind = "is not a regular file" if path.exists() else "does not exist"
        raise SourceError(
            f"the table of predictions {'is a folder' if path.is_dir() else kind}",
            received=path,
            remedy="give a CSV, Parquet or Excel file with a row for each image",
        )
    return path

"""Reads tables: text (CSV and similar, also compressed), Parquet, Excel workbooks."""

from __future__ import annotations

import errno
import gzip
import math
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from plainfilm._files import MEBI, open_regular, read_regular, reason_of
from plainfilm._optional import require
from plainfilm._text import plural
from plainfilm.data.sources.tables.table import Table, assemble, check_names
from plainfilm.data.sources.tables.text import read_text
from plainfilm.errors import SourceError, UsageError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".xlsx")
"""Endings of the names of tables."""

_SUFFIX = re.compile(r"(?:\.(?:csv|tsv|txt)(?:\.gz)?|\.parquet|\.xlsx)$", re.IGNORECASE)
_LARGEST = 2000 * MEBI  # of a text; as columns it takes tens of gigabytes
_OTHER_FORMATS = (
    (b"\xd0\xcf\x11\xe0", "a document of an old Office format", "save it as .xlsx or CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"<", "a web page or an XML document", "download or export the table again"),
    (b"{", "a JSON document", "export the table as CSV"),
    (b"[{", "a JSON document", "export the table as CSV"),
    (b"\xff\xd8\xff", "an image", "give the table, or the folder of the images"),
    (b"\x89PNG", "an image", "give the table, or the folder of the images"),
)


def is_table(name: str) -> bool:
    """Return whether a file is a table by the ending of its name."""
    return _SUFFIX.search(name) is not None


def table_name(path: Path) -> str:
    """Return the name of a table without its ending.

    Examples
    --------
    >>> table_name(Path("mimic-cxr-2.0.0-split.csv.gz"))
    'mimic-cxr-2.0.0-split'
    """
    return _SUFFIX.sub("", path.name)


def read_table(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: Sequence[str] | None = None,
) -> Table:
    """Read a table, every cell as text.

    The format is recognised by the first bytes of the file.

    Parameters
    ----------
    delimiter, encoding
        Delimiter and encoding of a text file. By default the delimiter is that of comma, semicolon,
        tab, ``|`` and space which divides the rows most evenly, and the encoding is UTF-8, or
        UTF-16 or UTF-32 with their mark.
    header
        Names of the columns of a table without a header line.
    """
    if header is not None and len(set(header)) != len(header):
        raise UsageError("header= needs different names", received=", ".join(header))
    try:
        with open_regular(path) as file:
            start = file.read(4)
        if start == b"PAR1":
            table = _read_parquet(path, header)
        elif start == b"PK\x03\x04":
            table = _read_workbook(path, header)
        else:
            table = read_text(path, _read_bytes(path, start), delimiter, encoding, header)
    except (OSError, EOFError, zlib.error) as error:
        reason = f"{path}: {reason_of(error)}"
        raise SourceError("the table cannot be read", received=reason) from error
    if not len(table):
        raise SourceError(
            "the table has no rows below its header" if table.columns else "the table is empty",
            received=path,
        )
    return table


def _read_bytes(path: Path, start: bytes) -> bytes:
    for begin, kind, remedy in _OTHER_FORMATS:
        if start.startswith(begin):
            raise SourceError("the file is not a table", received=f"{path}: {kind}", remedy=remedy)
    if not start.startswith(b"\x1f\x8b"):
        return read_regular(path, _LARGEST)
    with open_regular(path) as packed, gzip.GzipFile(fileobj=packed) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EFBIG, f"its text is larger than {_LARGEST // MEBI} MiB")
    return data


def _read_parquet(path: Path, header: Sequence[str] | None) -> Table:
    import pyarrow
    import pyarrow.parquet as parquet

    if header is not None:
        raise UsageError(
            "header= is for tables without a header line, and Parquet has names of columns",
            received=path,
            remedy="leave it out",
        )
    try:
        table = parquet.read_table(path)
        check_names(path, table.column_names)
        columns = table.to_pydict()
    except pyarrow.ArrowException as error:
        raise SourceError("the table cannot be read", received=f"{path}: {error}") from error
    return Table(path, {str(n): [_text(cell) for cell in cells] for n, cells in columns.items()})


def _read_workbook(path: Path, header: Sequence[str] | None) -> Table:
    """Read the values of the first sheet of an Excel workbook."""
    openpyxl = require("openpyxl", "excel")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and validations, which are not read
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            sheet, *others = book.worksheets
            sheet.reset_dimensions()  # some programs write wrong ones
            rows = [[_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
            book.close()
    except Exception as error:  # a damaged workbook raises whatever its first bad part does
        raise SourceError("the workbook cannot be read", received=f"{path}: {error}") from error
    width = max(map(len, rows), default=0)
    numbered = ((n, row + [""] * (width - len(row))) for n, row in enumerate(rows, 1))
    table = assemble(path, numbered, header)
    if others:
        count = plural(len(others), "further sheet is", "further sheets are")
        table.notes.append(f"{count} not used")
    return table


def _text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool) or (isinstance(cell, float) and cell.is_integer()):
        return str(int(cell))
    return str(cell).strip()

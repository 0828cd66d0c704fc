"""Reads the text of a table: encoding, delimiter, rows."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from plainfilm.data.sources.tables.table import Table, assemble
from plainfilm.errors import SourceError, UsageError

_WORDS = {"tab": "\t", r"\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[ \t]*(?:\r\n?|\n)', re.IGNORECASE)  # of Excel
_SAMPLE_CHARACTERS, _SAMPLE_ROWS = 100_000, 200


def read_text(
    path: Path,
    data: bytes,
    delimiter: str | None,
    encoding: str | None,
    header: Sequence[str] | None = None,
) -> Table:
    """Read a table from the bytes of a text file (see `read_table`)."""
    text = _decode(path, data, encoding)
    if line := _SEPARATOR_LINE.match(text):
        text, delimiter = text[line.end() :], delimiter or line[1]
    chosen = _check(delimiter) if delimiter else recognise_delimiter(text, path.name)
    rows = csv.reader(io.StringIO(text, ""), delimiter=chosen, skipinitialspace=True, strict=True)
    skipped = bool(line)
    try:
        return assemble(path, ((rows.line_num + skipped, row) for row in rows), header)
    except csv.Error as error:
        raise SourceError(
            "the table cannot be read",
            received=f"{path}, line {rows.line_num + skipped}: {error}",
            remedy="close every quote; a quote within a quoted cell must be doubled",
        ) from error


def _decode(path: Path, data: bytes, encoding: str | None) -> str:
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    used = encoding or marked or "utf-8"
    try:
        text = data.decode(used)
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n?|\n", data[: error.start])) + 1
        raise SourceError(
            f"the table is not encoded in {used.removesuffix('-sig').upper()}",
            received=f"{path}, line {line}: the byte 0x{data[error.start]:02X}",
            remedy="name its encoding with encoding=, such as cp1252 (Excel in Western Europe) or "
            "latin-1",
        ) from error
    except (LookupError, ValueError) as error:
        raise UsageError(
            "encoding= is not a known text encoding",
            received=repr(used),
            remedy="give one such as utf-8, utf-16, cp1252 or latin-1",
        ) from error
    if "\0" in text:
        raise SourceError(
            "the table contains NUL characters",
            received=path,
            remedy="it may be UTF-16 text (encoding=utf-16-le or utf-16-be), or not a table",
        )
    return text.removeprefix("\ufeff")


def _check(delimiter: str) -> str:
    chosen = _WORDS.get(delimiter.casefold(), delimiter)
    if len(chosen) != 1 or chosen in '"\r\n':
        raise UsageError(
            "delimiter= must be one character",
            received=repr(delimiter),
            remedy=f"give a character or one of {', '.join(w for w in _WORDS if w.isalpha())}",
        )
    return chosen


def recognise_delimiter(text: str, name: str) -> str:
    """Return the delimiter that gives most rows the same number of cells, at least two."""
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > len(sample):
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    best, score = ",", (0.0, 0, 0)
    for rank, delimiter in enumerate("|,;\t"):
        share, width, _ = _regularity(sample, delimiter)
        if share >= 0.5 and width > 1:
            preferred = 2.0 if delimiter == "\t" and ".tsv" in name.casefold() else share
            if (preferred, width, rank) > score:
                best, score = delimiter, (preferred, width, rank)
    if score[1]:
        return best
    share, width, first = _regularity(sample, " ")
    return " " if share >= 0.8 and width > 1 and first > 1 else best


def _regularity(sample: str, delimiter: str) -> tuple[float, int, int]:
    """Return the share of rows with the most frequent number of cells, that number, the first's."""
    rows = csv.reader(io.StringIO(sample, ""), delimiter=delimiter, skipinitialspace=True)
    try:
        widths = [len(row) for row in islice(rows, _SAMPLE_ROWS) if any(row)]
    except csv.Error:
        return 0.0, 0, 0
    if not widths:
        return 0.0, 0, 0
    width, count = max(Counter(widths).items(), key=lambda pair: (pair[1], pair[0]))
    return count / len(widths), width, widths[0]

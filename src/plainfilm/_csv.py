"""Writes tables as CSV in which no spreadsheet runs a cell as a formula."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

# Spreadsheets treat a cell that begins like this as a formula, even in quotes. The page of the
# service does the same (serve/page/csv.js).
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_QUOTE = '"'
_QUOTED = re.compile(r'[",\r\n]')
_NUMBER = re.compile(
    r"[+-]?\d[\d.,%]*(?:e[+-]?\d+)?(?: (?:to )?[+-]?\d[\d.,%]*)*", re.IGNORECASE | re.ASCII
)


def neutral(text: str) -> str:
    """Return text with an apostrophe before a formula; numbers are not changed.

    Examples
    --------
    >>> [neutral(text) for text in ("=1+1", "-0.5", "-rf.png", "'=1", "a=b")]
    ["'=1+1", '-0.5', "'-rf.png", "''=1", 'a=b']
    """
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def original(text: str) -> str:
    """Return the text from which `neutral` made this one.

    Examples
    --------
    >>> [original(text) for text in ("'=1+1", "-0.5", "''=1", "=1+1", "'tis")]
    ['=1+1', '-0.5', "'=1", '=1+1', "'tis"]
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def csv_line(cells: Iterable[object]) -> str:
    """Return a row of a CSV file, with an apostrophe before each formula; None is a blank cell.

    Unlike `csv.writer` it also quotes a carriage return, which ends a row for most readers.
    """
    return ",".join(map(_cell, cells)) + "\n"


def _cell(value: object) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = neutral(value)
    return f'"{text.replace(_QUOTE, _QUOTE * 2)}"' if _QUOTED.search(text) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as the text of a CSV file."""
    return "".join(map(csv_line, rows))


def records_to_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Return records as the text of a CSV file, below the names of all their columns."""
    names = [*dict.fromkeys(name for record in records for name in record)]
    return csv_text([names, *([record.get(name) for name in names] for record in records)])

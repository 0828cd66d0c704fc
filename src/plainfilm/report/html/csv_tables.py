"""Every table of a page as a CSV file, read from the page itself so that the two say the same."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

from plainfilm._files import write_text

__all__ = ["read_tables", "write_tables"]

_BLOCKS = frozenset({"p", "br", "details", "summary", "div"})


class _Tables(HTMLParser):
    """Collects caption and cells of each table."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr" and self.tables:
            self.tables[-1][1].append([])
        elif tag in ("td", "th", "caption") and self.tables:
            self._into = []
        elif tag in _BLOCKS and self._into:
            self._into.append("; ")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("td", "th", "caption") or self._into is None:
            return
        text = " ".join("".join(self._into).split())
        text = re.sub(r"(; )+$|^(; )+", "", re.sub(r"(?:; )+", "; ", text))
        rows = self.tables[-1][1]
        if tag == "caption":
            self.tables[-1] = (text, rows)
        elif rows:
            rows[-1].append(text)
        self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)


def read_tables(page: str) -> list[tuple[str, list[list[str]]]]:
    """Return caption and rows of every table of an HTML page, the head first."""
    parser = _Tables()
    parser.feed(page)
    parser.close()
    return parser.tables


def write_tables(page: str, folder: Path) -> list[Path]:
    """Write every table of a page as ``NN-caption.csv``; those of an earlier page are removed."""
    if folder.is_dir():
        for old in folder.glob("[0-9][0-9]-*.csv"):
            old.unlink()
    written = []
    for number, (caption, rows) in enumerate(read_tables(page), start=1):
        text = io.StringIO(newline="")
        # Narrow and protected spaces are for reading; minus signs for typesetting.
        clean = [[_plain(cell) for cell in row] for row in rows]
        csv.writer(text, lineterminator="\n").writerows(clean)
        slug = re.sub(r"[^a-z0-9]+", "-", caption.casefold()).strip("-")[:48] or "table"
        path = folder / f"{number:02d}-{slug.rstrip('-')}.csv"
        write_text(path, text.getvalue())
        written.append(path)
    return written


def _plain(cell: str) -> str:
    return cell.replace("\u202f", "").replace("\u2212", "-").replace("\u00a0", " ")

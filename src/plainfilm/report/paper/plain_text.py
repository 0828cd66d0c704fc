"""Turns the cells of a table, which may be markup, into plain text."""

from __future__ import annotations

import html
import re

from plainfilm.report.html.markup import Html, visible

_SUMMARY = re.compile(r"<summary>.*?</summary>", re.DOTALL)
_ENDS = re.compile(r"</(?:p|li|div)>")
_TAG = re.compile(r"<[^>]*>")


def plain_text(content: str) -> str:
    """Return a cell as one line; paragraphs are separated by ``; ``.

    Examples
    --------
    >>> plain_text(Html("<p>0.90 (0.85&ndash;0.94)</p><p class='quiet'>p = 0.03</p>"))
    '0.90 (0.85–0.94); p = 0.03'
    >>> plain_text("a < b")
    'a < b'
    """
    if not isinstance(content, Html):
        return " ".join(visible(content).split())
    pieces = _ENDS.split(_SUMMARY.sub("", content))
    texts = (" ".join(html.unescape(_TAG.sub("", piece)).split()) for piece in pieces)
    return "; ".join(text for text in texts if text)

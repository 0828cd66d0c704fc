"""Writes counts with their nouns, for messages."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"[\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w)")


def plural(count: int, noun: str, nouns: str | None = None, *, separator: str = ",") -> str:
    """Return a count with its noun in the singular or plural.

    The noun may include a verb ("image is", "images are"); ``separator`` is between thousands.

    >>> plural(1, "image"), plural(5856, "image"), plural(2, "copy", "copies")
    ('1 image', '5,856 images', '2 copies')
    """
    number = f"{count:,}".replace(",", separator)
    return f"{number} {noun if count == 1 else nouns or f'{noun}s'}"


def is_name(text: str, most: int) -> bool:
    """Return whether text is a name of at most ``most`` characters, without control characters.

    Examples
    --------
    >>> [is_name(text, 20) for text in ("masse é", "", "a\\nb", "\\u202egnp")]
    [True, False, False, False]
    """
    joiners = "\u200c\u200d"  # parts of words in several scripts
    return 0 < len(text) <= most and all(c.isprintable() or c in joiners for c in text)


def escape_markdown(text: str, most: int = 2000) -> str:
    """Return text of a file as Markdown that shows it on one line, without any markup.

    Examples
    --------
    >>> print(escape_markdown("a|b <script> no_finding *"))
    a\\|b \\<script\\> no_finding \\*
    """
    return _MARKUP.sub(r"\\\g<0>", printable(text, most))


def code_span(text: str, most: int = 2000) -> str:
    """Return text of a file as code in Markdown, also in a table.

    Examples
    --------
    >>> print(code_span("a`b|c"))
    ``a`b\\|c``
    """
    text = printable(text, most)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", r"\|")


def printable(text: str, most: int = 200) -> str:
    """Return text of a file on one line, without control characters, and not longer than ``most``.

    Examples
    --------
    >>> printable("a\\x1b[31mb\\nc")
    'a [31mb c'
    """
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

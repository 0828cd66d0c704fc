"""Writes counts with their nouns, for messages."""

from __future__ import annotations


def plural(count: int, noun: str, nouns: str | None = None, *, separator: str = ",") -> str:
    """Return a count with its noun in the singular or plural.

    The noun may include a verb ("image is", "images are"); ``separator`` is between thousands.

    >>> plural(1, "image"), plural(5856, "image"), plural(2, "copy", "copies")
    ('1 image', '5,856 images', '2 copies')
    """
    number = f"{count:,}".replace(",", separator)
    return f"{number} {noun if count == 1 else nouns or f'{noun}s'}"


def printable(text: str, most: int = 200) -> str:
    """Return text of a file on one line, without control characters, and not longer than ``most``.

    Examples
    --------
    >>> printable("a\\x1b[31mb\\nc")
    'a [31mb c'
    """
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

"""Draws lines of text in the font DejaVu Sans, which comes with matplotlib."""

from __future__ import annotations

import functools
import importlib.util
import unicodedata
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Font", "draw_text", "is_drawable", "load_font", "wrap"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MISSING = "\U0010ffff"  # no font has a glyph for it


@functools.cache
def load_font(size: int, *, is_bold: bool = False) -> Font:
    """Return the font at a height in pixels; Pillow's own font where DejaVu Sans is absent."""
    # Not imported: that takes 0.2 s, and only the file is needed.
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
        path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / name
        if path.is_file():
            # Without shaping, so that the picture does not depend on the libraries of the system.
            return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=1024)
def is_drawable(text: str) -> bool:
    """Return whether the font has all characters, and they are written from left to right."""
    font = load_font(16)
    missing = bytes(font.getmask(_MISSING))
    return all(
        unicodedata.bidirectional(one) not in ("R", "AL")
        and not unicodedata.combining(one)
        and bytes(font.getmask(one)) != missing
        for one in text
    )


def wrap(text: str, font: Font, width: int) -> list[str]:
    """Break a text into lines of at most ``width`` pixels, between words where that is possible."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width and len(line) > 1:
            count = max(1, _fitting(line, font, width))
            lines.append(line[:count])
            line = line[count:]
    return [*lines, line] if line else lines


def _fitting(word: str, font: Font, width: int) -> int:
    """Return how many characters of a word fit."""
    return next(n for n in range(len(word), -1, -1) if font.getlength(word[:n]) <= width)


def draw_text(
    canvas: Image.Image, place: tuple[int, int], text: str, font: Font, level: int
) -> None:
    """Draw one line of text at its upper left corner, in a grey level."""
    ImageDraw.Draw(canvas).text(place, text, fill=(level, level, level), font=font)

"""Converts DICOM palette colour to RGB of 8 bits (PS3.3 C.7.6.3.1.5 and C.7.9)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ImageError
from plainfilm.pixels.used_elements import element, numbers

_MOST = 65536  # entries of a table, by the standard
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


def look_up_palette(stored: NDArray[Any], header: Any) -> NDArray[np.uint8]:
    """Return the colours, uint8 (rows, columns, 3), of stored integers (rows, columns).

    Integers outside of a table take its first or last entry.
    """
    tables = [_table(header, colour) for colour in ("Red", "Green", "Blue")]
    # Some files state 16 bits and contain values of 8. Only the tables show it, not the image.
    wide = any(bits > 8 for _, _, bits in tables) and any(t.max() > 255 for _, t, _ in tables)
    out = np.empty((*stored.shape, 3), dtype=np.uint8)
    for channel, (first, entries, _) in enumerate(tables):
        levels = (entries >> 8 if wide else entries).astype(np.uint8)
        index = np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)
        out[..., channel] = levels[index]
    return out


def _table(header: Any, colour: str) -> tuple[int, NDArray[np.uint16], int]:
    """Return the input value of the first entry, the entries, and the bits of each."""
    name = f"{colour}PaletteColorLookupTable"
    descriptor = numbers(header, f"{name}Descriptor")
    if len(descriptor) != 3:
        raise ImageError("corrupt", "a palette of the DICOM file has no descriptor")
    count, first, bits = (int(number) for number in descriptor)
    count = count % _MOST or _MOST
    if int(element(header, "PixelRepresentation") or 0) and first > 32767:
        first -= _MOST
    little = getattr(header, "original_encoding", (None, True))[1] is not False
    data = element(header, f"{name}Data")
    if isinstance(data, bytes):
        entries = _words(data, len(data) >= 2 * count, little)[:count]
    else:
        data = element(header, f"Segmented{name}Data")
        if not isinstance(data, bytes):
            raise ImageError("corrupt", "a palette of the DICOM file is missing")
        entries = expand_segments(_words(data, bits > 8, little), count, bits > 8)
    if not len(entries):
        raise ImageError("corrupt", "a palette of the DICOM file is empty")
    return first, entries, bits


def _words(data: bytes, wide: bool, little: bool) -> NDArray[np.uint16]:
    if not wide:
        return np.frombuffer(data, np.uint8).astype(np.uint16)
    whole = data[: len(data) // 2 * 2]
    return np.frombuffer(whole, "<u2" if little else ">u2").astype(np.uint16)


def expand_segments(words: NDArray[np.uint16], count: int, wide: bool) -> NDArray[np.uint16]:
    """Expand a segmented table (PS3.3 C.7.9.2) to ``count`` entries and no more.

    ``wide`` says whether the words have 16 bits and not 8: an indirect segment counts bytes.
    """
    codes: list[int] = words.tolist()
    table: list[int] = []
    left = _MOST  # a segment has at least one entry

    def expand(at: int, segments: int, nested: bool) -> None:
        """Append ``segments`` segments from ``at``; an indirect one must not contain another."""
        nonlocal left
        while segments > 0 and len(table) < count and at + 2 < len(codes):
            kind, length = codes[at], codes[at + 1]
            at, segments, left = at + 2, segments - 1, left - 1
            if left < 0:
                raise ImageError("corrupt", "a segmented palette of the DICOM file has no entries")
            if kind == _DISCRETE:
                table.extend(codes[at : at + length])
                at += length
            elif kind == _LINEAR and table:
                start, end = table[-1], codes[at]
                steps = np.arange(1, length + 1) / max(length, 1)
                table.extend(np.rint(start + (end - start) * steps).astype(int).tolist())
                at += 1
            elif kind == _INDIRECT and table and not nested:
                parts = codes[at : at + (2 if wide else 4)]
                offset = sum(part << (16 if wide else 8) * n for n, part in enumerate(parts))
                at += len(parts)
                expand(offset // 2 if wide else offset, length, True)
            else:
                raise ImageError("corrupt", "a segmented palette of the DICOM file is malformed")

    expand(0, len(codes), False)
    if len(table) < count:
        raise ImageError("corrupt", "a segmented palette of the DICOM file ends early")
    return np.array(table[:count], dtype=np.uint16)

"""Counts the entries and values of TIFF directories, which EXIF blocks have as well.

Sources: TIFF 6.0, section 2; Exif 2.3, section 4.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from plainfilm.pixels.codestream import ARITHMETIC
from plainfilm.pixels.limits import LIMITS, Limits, check_deflated, check_parts

_EXIF = b"Exif\0\0"
_DIRECTORIES = 32  # below the first one
_DEPTH = 2  # of directories below the first one
_ENTRIES = 4_096  # of a directory
_STRIPS = 100_000  # or tiles of a page
_VALUES = 1_000_000  # of all entries that are not texts or bytes
_SLACK = 65_536  # bytes; entries may share a few values
_SHARED = 16 << 20  # bytes; strips or tiles that are equal may share their data

_PLACES = frozenset((273, 279, 324, 325))  # offsets and lengths of strips and tiles
_LENGTHS = frozenset((279, 325))
_WIDTH, _HEIGHT, _COMPRESSION = 256, 257, 259
_JPEG = frozenset((6, 7))
_DEFLATES = frozenset((8, 32946, 34925, 50000))  # Deflate (two numbers), LZMA and Zstandard
_CHILDREN = frozenset((34665, 34853, 40965))  # directories of EXIF, GPS and interoperability
# Bytes of a value by its type, and the cost of a value as an object; 0 for texts and bytes.
_TYPES = {
    1: (1, 0), 2: (1, 0), 3: (2, 1), 4: (4, 1), 5: (8, 8), 6: (1, 1), 7: (1, 0), 8: (2, 1),
    9: (4, 1), 10: (8, 8), 11: (4, 1), 12: (8, 1), 13: (4, 1), 16: (8, 1), 17: (8, 1), 18: (8, 1),
}  # fmt: skip


@dataclass(slots=True)
class _Counter:
    """Counts the parts of the directories of one file; ``check`` raises above a limit."""

    data: bytes
    order: Literal["<", ">"]
    head: str  # format of the number of entries
    entry: str  # format of one entry: tag, type, number of values, values or their offset
    inside: int  # bytes of values that an entry itself holds
    directories: int = 0
    values: int = 0
    bytes: int = 0  # of values
    stored: int = 0  # bytes of strips and tiles
    sizes: dict[int, int] = field(default_factory=dict)  # width and height of the page
    compressions: set[int] = field(default_factory=set)

    def check(self, at: int, depth: int = 0) -> None:
        """Count the directory at an offset, and those below it."""
        head, entry = struct.Struct(self.order + self.head), struct.Struct(self.order + self.entry)
        start = at + head.size
        if start > len(self.data) or depth > _DEPTH:
            return
        self.directories += 1
        check_parts("directories", self.directories, _DIRECTORIES)
        entries = min(*head.unpack_from(self.data, at), (len(self.data) - start) // entry.size)
        check_parts("entries in a directory", entries, _ENTRIES)
        children = []
        whole = self.data[start : start + entries * entry.size]
        for number, (tag, kind, count, value) in enumerate(entry.iter_unpack(whole)):
            size, cost = _TYPES.get(kind, (0, 0))
            inline = size * count <= self.inside
            place = start + (number + 1) * entry.size - self.inside if inline else value
            if not size * count or place + size * count > len(self.data):
                continue
            self.bytes += 0 if inline else size * count
            self._count(tag, size, count, cost, place)
            if tag in _CHILDREN:
                children.append(self._number(place, size))
        check_parts("values in directories", self.values, _VALUES)
        check_parts("bytes in overlapping values", self.bytes, len(self.data) + _SLACK)
        for child in children:
            self.check(child, depth + 1)

    def _count(self, tag: int, size: int, count: int, cost: int, place: int) -> None:
        """Count the values of one entry."""
        if tag in _PLACES:
            check_parts("strips or tiles", count, _STRIPS)
        else:
            self.values += cost * count
        if tag in _LENGTHS:
            lengths = np.frombuffer(self.data, f"{self.order}u{size}", count, place)
            # A length may have 8 or 16 bits, and the file may be longer than these can hold.
            self.stored += int(np.minimum(lengths.astype(np.uint64), len(self.data)).sum())
        elif tag == _COMPRESSION:
            self.compressions.add(self._number(place, size))
        elif tag in (_WIDTH, _HEIGHT):
            self.sizes[tag] = max(self.sizes.get(tag, 0), self._number(place, size))

    def _number(self, place: int, size: int) -> int:
        return int.from_bytes(
            self.data[place : place + size], "little" if self.order == "<" else "big"
        )


def check_directories(data: bytes, limits: Limits = LIMITS) -> None:
    """Raise an ImageError ``too-large`` if the first directory of a TIFF file has too many parts.

    ``data`` may also be an EXIF block. What does not fit into the file is left to the reader.
    """
    data = data.removeprefix(_EXIF).removeprefix(_EXIF)  # Pillow also accepts two
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        counter, first = _Counter(data, order, "Q", "HHQQ", 8), data[8:16]
    else:
        counter, first = _Counter(data, order, "H", "HHII", 4), data[4:8]
    counter.check(int.from_bytes(first, "little" if order == "<" else "big"))
    check_parts("bytes in overlapping strips", counter.stored, len(data) + _SHARED)
    if counter.compressions & _DEFLATES:
        check_deflated(counter.stored, limits)
    if counter.compressions & _JPEG and any(b"\xff%c\0" % sof in data for sof in ARITHMETIC):
        pixels = counter.sizes.get(_WIDTH, 0) * counter.sizes.get(_HEIGHT, 0)
        check_parts("pixels with arithmetic coding", pixels, limits.pixels // 5)

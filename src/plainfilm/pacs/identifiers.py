"""Reads the UIDs of a data set that the network process checks, without decoding anything else."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)

_SOP_CLASS, _SOP_UID, _MODEL, _STUDY = 0x00080016, 0x00080018, 0x00081090, 0x0020000D
_FOUND = frozenset({_SOP_CLASS, _SOP_UID, _MODEL, _STUDY})
_ITEM, _END_OF_ITEM, _END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_INFLATED = 1 << 20  # bytes of a deflated data set that are searched
_ELEMENTS = 100_000  # before the study's UID, those of sequences included
_DEPTH = 32
_LONGEST = 64  # bytes of a UID or model name
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """UIDs of an image and the model name of the device that made it; empty if absent."""

    sop_class: str
    sop_uid: str
    study_uid: str
    model: str


def read_identifiers(data: memoryview, syntax: str) -> Identifiers:
    """Read the UIDs of an encoded data set; raise a ValueError if it cannot be read.

    Parameters
    ----------
    data
        The data set, without a preamble and meta header.
    syntax
        UID of its transfer syntax.
    """
    if syntax == DeflatedExplicitVRLittleEndian:
        try:
            data = memoryview(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _INFLATED))
        except zlib.error:
            raise ValueError("a damaged data set") from None
    found = _Walk(data, syntax == ExplicitVRBigEndian).find()
    texts = (found.get(tag, "") for tag in (_SOP_CLASS, _SOP_UID, _STUDY, _MODEL))
    return Identifiers(*texts)


def is_uid(text: str) -> bool:
    """Return whether a text is a valid UID."""
    return len(text) <= _LONGEST and bool(_UID.fullmatch(text))


class _Walk:
    """Steps through elements; every step is bounded."""

    def __init__(self, data: memoryview, big: bool) -> None:
        self._data, self._big, self._at = data, big, 0
        self._left = _ELEMENTS
        kind = bytes(data[4:6])  # as pydicom recognises what contradicts the transfer syntax
        self._implicit = not (kind.isalpha() and kind.isupper())

    def find(self) -> dict[int, str]:
        """Return the texts of the elements up to the study's UID."""
        found: dict[int, str] = {}
        while self._at < len(self._data):
            tag, kind, length = self._next()
            if tag > _STUDY:
                break
            start = self._at
            self._skip(kind, length, 0)
            if tag in _FOUND and length <= _LONGEST:
                value = bytes(self._data[start : self._at])
                found[tag] = value.decode("ascii", "replace").strip(" \0")
        return found

    def _next(self) -> tuple[int, bytes, int]:
        """Read the head of an element: tag, value representation, length."""
        self._left -= 1
        order: Literal["little", "big"] = "big" if self._big else "little"
        head = bytes(self._take(8))
        group, element = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)
        tag, kind = group << 16 | element, head[4:6]
        if self._implicit or group == 0xFFFE:
            return tag, b"", int.from_bytes(head[4:], order)
        if kind in _LONG:
            return tag, kind, int.from_bytes(self._take(4), order)
        return tag, kind, int.from_bytes(head[6:], order)

    def _take(self, length: int) -> memoryview:
        """Go behind the next bytes and return them."""
        start, self._at = self._at, self._at + length
        if self._at > len(self._data) or self._left < 0:
            raise ValueError("a damaged data set")
        return self._data[start : self._at]

    def _skip(self, kind: bytes, length: int, depth: int) -> None:
        """Skip a value. One of undefined length has items and a delimiter."""
        if length != _UNDEFINED:
            self._take(length)
            return
        if depth > _DEPTH:
            raise ValueError("a damaged data set")
        encoding = self._implicit, self._big
        if kind == b"UN":  # PS3.5, 6.2.2: implicit little endian
            self._implicit, self._big = True, False
        while True:
            tag, _, length = self._next()
            if tag == _END:
                break
            if tag != _ITEM:
                raise ValueError("a damaged data set")
            if length == _UNDEFINED:
                self._skip_item(depth)
            else:
                self._take(length)
        self._implicit, self._big = encoding

    def _skip_item(self, depth: int) -> None:
        """Skip the elements of an item of undefined length, with its delimiter."""
        while True:
            tag, kind, length = self._next()
            if tag == _END_OF_ITEM:
                return
            self._skip(kind, length, depth + 1)

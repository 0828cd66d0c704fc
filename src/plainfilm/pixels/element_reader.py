"""Walks through the elements of a DICOM data set, within bounds.

Encodings are recognised as pydicom recognises them, and pydicom converts the values. Its own reader
has no bounds: it keeps every element, and converts every character set and nested sequence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import BinaryIO, Literal, NamedTuple

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR
from pydicom.values import convert_string

from plainfilm.pixels.limits import broken, check_parts
from plainfilm.pixels.used_elements import TABLES, USED

_PARTS = 2_000_000  # elements and items; an enhanced file of 10,000 frames may have a million
_USED_PARTS, _CHARSET_PARTS = 2, 50  # what keeping an element, and a character set, adds
_DEPTH = 64  # sequences within sequences
_ITEMS = 100_000  # of a sequence that is used: one for each frame of an enhanced file
_LONGEST = 1 << 14  # bytes of a value that is used; a text has 64 characters, a window 16 bytes
_LONGEST_TABLE = 1 << 20
_LONGEST_CHARSET = 1 << 10

_UNDEFINED = 0xFFFFFFFF
_CHARSET, _SYNTAX = BaseTag(0x00080005), BaseTag(0x00020010)
_ITEM, _END_OF_ITEM, _END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def tags_of(keywords: Iterable[str]) -> dict[BaseTag, str]:
    """Return tag to keyword."""
    return {BaseTag(tag_for_keyword(keyword) or 0): keyword for keyword in keywords}


_USED = tags_of(USED)
TAGS = (*map(int, _USED),)
"""Tags of the elements that are read."""
VRS = {vr.value.encode(): vr.value for vr in VR if len(vr.value) == 2}
_LONG = frozenset(str(vr.value) for vr in EXPLICIT_VR_LENGTH_32)
_BLOCK = 1 << 13
HERE = io.SEEK_CUR

_UNPACK = {True: Struct("<HHL").unpack, False: Struct(">HHL").unpack}

Stop = Callable[[int], bool]
"""Whether reading ends before the element with this tag."""


class Encoding(NamedTuple):
    """How a data set is encoded."""

    implicit: bool
    little: bool
    charset: str | Sequence[str] = default_encoding

    @property
    def order(self) -> Literal["little", "big"]:
        return "little" if self.little else "big"


class Selection(NamedTuple):
    """The elements that are kept, tag to keyword, and how many elements and items are read.

    Without a number, it is that of the largest enhanced files.
    """

    tags: Mapping[BaseTag, str]
    parts: int | None = None


ALL_USED = Selection(_USED)


class Reader:
    """Reads one stream; the bounds apply to all that it reads."""

    def __init__(self, stream: BinaryIO, selection: Selection = ALL_USED) -> None:
        self.stream = stream
        self._used = selection.tags
        self._parts = self.left = selection.parts or _PARTS

    def data_set(
        self,
        encoding: Encoding,
        *,
        stop: Stop | None = None,
        length: int | None = None,
        depth: int = 0,
    ) -> Dataset:
        """Read a data set, or an item at a ``depth`` above 0, up to ``length`` or a delimiter."""
        found: dict[BaseTag, RawDataElement] = {}
        own = self._walk(encoding, found, stop, length, depth)
        dataset = Dataset(found, parent_encoding=encoding.charset)
        dataset.set_original_encoding(*own)
        return dataset

    def sequence(self, encoding: Encoding, length: int) -> list[Dataset]:
        """Read the items of a sequence that takes ``length`` bytes."""
        found: list[Dataset] = []
        for size in self._items(encoding, length, 0):
            check_parts("items in a DICOM sequence", len(found) + 1, _ITEMS)
            found.append(self.data_set(encoding, length=size, depth=1))
        return found

    def _walk(
        self,
        encoding: Encoding,
        found: dict[BaseTag, RawDataElement] | None,
        stop: Stop | None,
        length: int | None,
        depth: int,
    ) -> Encoding:
        """Add the used elements to ``found``, if it is given; return the encoding of them all."""
        read, seek = self.stream.read, self.stream.seek
        start = seek(0, HERE)
        if not (depth and encoding.implicit):
            kind = read(6)[4:]
            if len(kind) == 2:
                encoding = encoding._replace(implicit=_is_implicit(kind))
            seek(start)
        while length is None or seek(0, HERE) - start < length:
            if len(head := read(8)) < 8:
                break
            self._count()
            tag, vr, size, more = self._head(head, encoding)
            if tag == _END_OF_ITEM:
                break
            if stop is not None and stop(tag):
                seek(-8 - more, HERE)
                break
            at = seek(0, HERE)
            if size == _UNDEFINED:
                vr = self._skip_undefined(tag, vr, encoding, depth)
                size = seek(0, HERE) - at
                seek(at)
            # pydicom would convert a sequence where a value is expected, without bounds.
            if (
                found is None
                or tag not in self._used
                or (vr == "SQ" and not self._is_sequence(tag))
            ):
                seek(size, HERE)
                continue
            raw = self._value(tag, vr, size)
            seek(at + size)
            if tag == _CHARSET:
                self._count(_CHARSET_PARTS)
                names = convert_string(raw or b"", encoding.little)
                encoding = encoding._replace(charset=convert_encodings(names))
            else:
                self._count(_USED_PARTS)
                key = BaseTag(tag)
                found[key] = RawDataElement(key, vr, size, raw, at, *encoding[:2])
        return encoding

    def _head(self, head: bytes, encoding: Encoding) -> tuple[int, str | None, int, int]:
        """Return tag, value representation, length, and the further bytes that were read."""
        group, element, size = _UNPACK[encoding.little](head)
        vr, more = None, 0
        if not encoding.implicit:
            kind = head[4:6]
            if (vr := VRS.get(kind)) in _LONG:
                size, more = int.from_bytes(self._exactly(4), encoding.order), 4
            elif vr is not None or b"AA" <= kind <= b"ZZ":
                vr = kind.decode("latin-1")
                size = int.from_bytes(head[6:], encoding.order)
        return group << 16 | element, vr, size, more

    def _items(self, encoding: Encoding, length: int | None, depth: int) -> Iterator[int | None]:
        """Go to each item of a sequence, of a length or up to its delimiter; yield its length."""
        check_parts("nested DICOM sequences", depth, _DEPTH)
        start = self.stream.seek(0, HERE)
        while length is None or self.stream.seek(0, HERE) - start < length:
            group, element, size = _UNPACK[encoding.little](self._exactly(8))
            if group << 16 | element == _END:
                return
            self._count()
            yield None if size == _UNDEFINED else size

    def _count(self, parts: int = 1) -> None:
        """Count an element or item, or the work that it causes."""
        self.left -= parts
        if self.left < 0:
            check_parts("DICOM elements", self._parts - self.left, self._parts)

    def _skip_undefined(
        self, tag: int, vr: str | None, encoding: Encoding, depth: int
    ) -> str | None:
        """Skip a value of undefined length with its delimiter; return its representation."""
        if vr == "UN":
            vr = "SQ"
        elif vr is None:
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                first = self.stream.read(4)
                self.stream.seek(-len(first), HERE)
                vr = "SQ" if _tag(first, encoding.little) == _ITEM else None
        self._count()
        if vr == "SQ":
            for size in self._items(encoding, None, depth):
                self._walk(encoding, None, None, size, depth + 1)
        elif not self._skip_fragments(encoding.little):
            self._skip_to_delimiter(encoding.little)
        return vr

    def _skip_fragments(self, little: bool) -> bool:
        """Skip encapsulated data; return to the start and return False if there are none."""
        start = self.stream.seek(0, HERE)
        while len(head := self.stream.read(8)) == 8:
            self._count()
            tag = _tag(head[:4], little)
            if tag == _END:
                return True
            if tag != _ITEM:
                break
            size = int.from_bytes(head[4:], "little" if little else "big")
            self.stream.seek(size, HERE)
        self.stream.seek(start)
        return False

    def _skip_to_delimiter(self, little: bool) -> None:
        sign = b"\xfe\xff\xdd\xe0" if little else b"\xff\xfe\xe0\xdd"
        at, kept = self.stream.seek(0, HERE), b""
        while block := self.stream.read(_BLOCK):
            some = kept + block
            if (found := some.find(sign)) >= 0:
                self.stream.seek(at - len(kept) + found + 8)
                return
            kept, at = some[-3:], at + len(block)
        raise broken("truncated", "the DICOM file ends before the image is complete")

    def _value(self, tag: int, vr: str | None, length: int) -> bytes | None:
        """Read a value that is used."""
        keyword = self._used[BaseTag(tag)]
        longest = _LONGEST_TABLE if keyword in TABLES else _LONGEST
        if tag == _CHARSET:
            longest = _LONGEST_CHARSET
        elif self._is_sequence(tag):
            longest = length
        if not length:
            empty: bytes | None = empty_value_for_VR(vr, raw=True)
            return empty
        value = self.stream.read(min(length, longest + 1))
        if len(value) > longest:
            check_parts(f"bytes of {keyword}", length, longest)
        return value

    def _is_sequence(self, tag: int) -> bool:
        return self._used[BaseTag(tag)].endswith("Sequence")

    def _exactly(self, count: int) -> bytes:
        if len(data := self.stream.read(count)) < count:
            raise broken("corrupt", "the DICOM data are damaged")
        return data


def _is_implicit(kind: bytes) -> bool:
    """Whether two bytes are no value representation, as pydicom decides for a data set."""
    return not (0x40 < kind[0] < 0x5B and 0x40 < kind[1] < 0x5B)


def _tag(data: bytes, little: bool) -> int:
    """Return the tag in four bytes."""
    group, element = (data[:2], data[2:]) if little else (data[1::-1], data[:1:-1])
    return int.from_bytes(group, "little") << 16 | int.from_bytes(element, "little")

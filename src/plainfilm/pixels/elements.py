"""Reads the elements of a DICOM header that are used, and skips all others, within bounds.

Encodings are recognised as pydicom recognises them, and pydicom converts the values. Its own reader
has no bounds: it keeps every element, and converts every character set and nested sequence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, BinaryIO

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR
from pydicom.values import convert_string

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import broken
from plainfilm.pixels.metadata import TABLES, USED

_PARTS = 2_000_000  # elements and items; an enhanced file of 10,000 frames may have a million
_DEPTH = 64  # sequences within sequences
_ITEMS = 100_000  # of a sequence that is used: one for each frame of an enhanced file
_LONGEST = 1 << 14  # bytes of a value that is used; a text has 64 characters, a window 16 bytes
_LONGEST_TABLE = 1 << 20
_LONGEST_CHARSET = 1 << 10

_UNDEFINED = 0xFFFFFFFF
_CHARSET, _SYNTAX = BaseTag(0x00080005), BaseTag(0x00020010)
_ITEM, _END_OF_ITEM, _END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_USED = {BaseTag(tag_for_keyword(keyword) or 0): keyword for keyword in USED}
_VRS = {vr.value.encode(): vr.value for vr in VR if len(vr.value) == 2}
_LONG = frozenset(str(vr.value) for vr in EXPLICIT_VR_LENGTH_32)
_BLOCK = 1 << 16
_HERE = io.SEEK_CUR

Stop = Callable[[int], bool]
"""Whether reading ends before the element with this tag."""


def read_meta(stream: BinaryIO) -> str | None:
    """Read the preamble and groups 0002 and 0000; return the stated transfer syntax, if any."""
    stream.seek(128)
    if stream.read(4) != b"DICM":
        stream.seek(0)
    reader = _Reader(stream)
    meta = reader.data_set(False, True, stop=lambda tag: tag >> 16 != 2)
    reader.data_set(True, True, stop=lambda tag: tag >> 16 != 0)
    value = meta.get(_SYNTAX)
    return None if value is None or not value.value else str(value.value).strip("\0 ")


def read_after_meta(stream: BinaryIO, syntax: str | None, stop: Stop) -> Dataset:
    """Read the used elements of the data set that begins at the position of the stream."""
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if syntax is None:
        at = stream.seek(0, _HERE)
        first = stream.read(6)
        stream.seek(at)
        implicit = first[4:] not in _VRS
        # Big endian is always explicit; read as little endian, its groups are 1024 or more.
        little = implicit or int.from_bytes(first[:2], "little") < 1024
    return read_elements(stream, implicit, little, stop)


def read_elements(stream: BinaryIO, implicit: bool, little: bool, stop: Stop) -> Dataset:
    """Read the used elements of a data set in a stated encoding."""
    return _Reader(stream).data_set(implicit, little, stop=stop)


def items(dataset: Any, keyword: str) -> list[Any]:
    """Return the items of a sequence; a sequence that is absent or damaged has none."""
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    found = dataset.get_item(tag)
    if isinstance(found, RawDataElement):
        if not _is_sequence(found) or not found.value:
            return []
        reader = _Reader(io.BytesIO(found.value))
        charset = dataset.original_character_set or default_encoding
        try:
            some = reader.sequence(
                bool(found.is_implicit_VR), found.is_little_endian, charset, len(found.value)
            )
        except ImageError as error:
            if error.reason == "too-large":
                raise
            some = []
        dataset[tag] = found = DataElement(tag, "SQ", some)
    return list(found.value) if found is not None and found.VR == "SQ" else []


def _is_sequence(raw: RawDataElement) -> bool:
    if raw.VR == "UN":  # the same bound as pydicom
        return len(raw.value or b"") < 0xFFFF and dictionary_VR(raw.tag) == "SQ"
    return raw.VR == "SQ" or (raw.VR is None and dictionary_VR(raw.tag) == "SQ")


class _Reader:
    """Reads one stream; the bounds apply to all that it reads."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.left = _PARTS

    def data_set(
        self,
        implicit: bool,
        little: bool,
        charset: str | Sequence[str] = default_encoding,
        *,
        stop: Stop | None = None,
        length: int | None = None,
        depth: int = 0,
        keep: bool = True,
    ) -> Dataset:
        """Read a data set, or an item at a ``depth`` above 0, up to ``length`` or a delimiter."""
        read, seek = self.stream.read, self.stream.seek
        start = seek(0, _HERE)
        if not (depth and implicit):
            kind = read(6)[4:]
            implicit = _is_implicit(kind) if len(kind) == 2 else implicit
            seek(start)
        unpack = Struct("<HHL" if little else ">HHL").unpack
        order = "little" if little else "big"
        found: dict[BaseTag, RawDataElement] = {}
        parent = charset
        while length is None or seek(0, _HERE) - start < length:
            if len(head := read(8)) < 8:
                break
            self.count()
            group, element, size = unpack(head)
            vr, more = None, 0
            if not implicit and (vr := _VRS.get(head[4:6])) in _LONG:
                size, more = int.from_bytes(self._exactly(4), order), 4  # type: ignore[arg-type]
            elif not implicit and (vr is not None or b"AA" <= head[4:6] <= b"ZZ"):
                vr = head[4:6].decode("latin-1")
                size = int.from_bytes(head[6:8], order)  # type: ignore[arg-type]
            tag = group << 16 | element
            if tag == _END_OF_ITEM:
                break
            if stop is not None and stop(tag):
                seek(-8 - more, _HERE)
                break
            used, at = keep and tag in _USED, seek(0, _HERE)
            if size == _UNDEFINED:
                vr = self._skip_undefined(tag, vr, implicit, little, depth)
                size = seek(0, _HERE) - at
                if used:
                    seek(at)
                    raw = self._value(tag, vr, size)
                    seek(at + size)
            elif used:
                raw = self._value(tag, vr, size)
            else:
                seek(size, _HERE)
            if used and tag == _CHARSET:
                charset = convert_encodings(convert_string(raw or b"", little))
            elif used:
                found[BaseTag(tag)] = RawDataElement(
                    BaseTag(tag), vr, size, raw, at, implicit, little
                )
        dataset = Dataset(found, parent_encoding=parent)
        dataset.set_original_encoding(implicit, little, charset)
        return dataset

    def sequence(
        self,
        implicit: bool,
        little: bool,
        charset: str | Sequence[str],
        length: int | None,
        depth: int = 0,
        keep: bool = True,
    ) -> list[Dataset]:
        """Read the items of a sequence of a length, or up to its delimiter."""
        if depth > _DEPTH:
            raise _too_large("has too many nested sequences", f"more than {_DEPTH}")
        found: list[Dataset] = []
        start = self.stream.seek(0, _HERE)
        unpack = Struct("<HHL" if little else ">HHL").unpack
        while length is None or self.stream.seek(0, _HERE) - start < length:
            group, element, size = unpack(self._exactly(8))
            if group << 16 | element == _END:
                break
            self.count()
            item = self.data_set(
                *(implicit, little, charset),
                length=None if size == _UNDEFINED else size,
                depth=depth + 1,
                keep=keep,
            )
            if keep:
                found.append(item)
                if len(found) > _ITEMS:
                    raise _too_large("has too many items in a sequence", f"more than {_ITEMS:,}")
        return found

    def count(self) -> None:
        """Count one element or item."""
        self.left -= 1
        if self.left < 0:
            raise _too_large("has too many elements", f"more than {_PARTS:,}")

    def _skip_undefined(
        self, tag: int, vr: str | None, implicit: bool, little: bool, depth: int
    ) -> str | None:
        """Skip a value of undefined length with its delimiter; return its representation."""
        if vr == "UN":
            vr = "SQ"
        elif vr is None:
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                first = self.stream.read(4)
                self.stream.seek(-len(first), _HERE)
                vr = "SQ" if _tag(first, little) == _ITEM else None
        if vr == "SQ":
            self.sequence(implicit, little, default_encoding, None, depth, keep=False)
        elif not self._skip_fragments(little):
            self._skip_to_delimiter(little)
        return vr

    def _skip_fragments(self, little: bool) -> bool:
        """Skip encapsulated data; return to the start and return False if there are none."""
        start = self.stream.seek(0, _HERE)
        while len(head := self.stream.read(8)) == 8:
            self.count()
            tag = _tag(head[:4], little)
            if tag == _END:
                return True
            if tag != _ITEM:
                break
            size = int.from_bytes(head[4:], "little" if little else "big")
            self.stream.seek(size, _HERE)
        self.stream.seek(start)
        return False

    def _skip_to_delimiter(self, little: bool) -> None:
        sign = b"\xfe\xff\xdd\xe0" if little else b"\xff\xfe\xe0\xdd"
        at, kept = self.stream.seek(0, _HERE), b""
        while block := self.stream.read(_BLOCK):
            some = kept + block
            if (found := some.find(sign)) >= 0:
                self.stream.seek(at - len(kept) + found + 8)
                return
            kept, at = some[-3:], at + len(block)
        raise broken("truncated", "the DICOM file ends before the image is complete")

    def _value(self, tag: int, vr: str | None, length: int) -> bytes | None:
        """Read a value that is used."""
        keyword = _USED[BaseTag(tag)]
        longest = _LONGEST_TABLE if keyword in TABLES else _LONGEST
        if tag == _CHARSET:
            longest = _LONGEST_CHARSET
        elif keyword.endswith("Sequence"):
            longest = length
        if not length:
            empty: bytes | None = empty_value_for_VR(vr, raw=True)
            return empty
        value = self.stream.read(min(length, longest + 1))
        if len(value) > longest:
            raise _too_large("has an element that is too long", f"{keyword} of {length:,} bytes")
        return value

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


def _too_large(problem: str, received: str) -> ImageError:
    return ImageError(
        "too-large",
        f"the header of the DICOM file {problem}",
        received=received,
        remedy="exclude the file",
    )

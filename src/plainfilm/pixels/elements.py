"""Reads the elements of a DICOM header that are used, and the items of its sequences."""

from __future__ import annotations

import contextlib
import io
from typing import Any, BinaryIO

from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from plainfilm.errors import ImageError
from plainfilm.pixels.element_reader import ALL_USED, HERE, VRS, Encoding, Reader, Selection, Stop

_SYNTAX = BaseTag(0x00020010)


def read_meta(stream: BinaryIO, selection: Selection = ALL_USED) -> str | None:
    """Read the preamble and groups 0002 and 0000; return the stated transfer syntax, if any."""
    stream.seek(128)
    if stream.read(4) != b"DICM":
        stream.seek(0)
    reader = Reader(stream, selection)
    meta = reader.data_set(Encoding(False, True), stop=lambda tag: tag >> 16 != 2)
    reader.data_set(Encoding(True, True), stop=lambda tag: tag >> 16 != 0)
    value = meta.get(_SYNTAX)
    return None if value is None or not value.value else str(value.value).strip("\0 ")


def read_after_meta(
    stream: BinaryIO, syntax: str | None, stop: Stop, selection: Selection = ALL_USED
) -> Dataset:
    """Read the used elements of the data set that begins at the position of the stream."""
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if syntax is None:
        at = stream.seek(0, HERE)
        first = stream.read(6)
        stream.seek(at)
        implicit = first[4:] not in VRS
        # Big endian is always explicit; read as little endian, its groups are 1024 or more.
        little = implicit or int.from_bytes(first[:2], "little") < 1024
    return read_elements(stream, implicit, little, stop, selection)


def read_elements(
    stream: BinaryIO,
    implicit: bool,
    little: bool,
    stop: Stop,
    selection: Selection = ALL_USED,
) -> Dataset:
    """Read the used elements of a data set in a stated encoding."""
    return Reader(stream, selection).data_set(Encoding(implicit, little), stop=stop)


def items(dataset: Any, keyword: str) -> list[Any]:
    """Return the items of a sequence; a sequence that is absent or damaged has none."""
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    found = dataset.get_item(tag)
    if isinstance(found, RawDataElement):
        if not _is_sequence(found) or not found.value:
            return []
        charset = dataset.original_character_set or default_encoding
        encoding = Encoding(bool(found.is_implicit_VR), found.is_little_endian, charset)
        try:
            some = Reader(io.BytesIO(found.value)).sequence(encoding, len(found.value))
        except ImageError as error:
            if error.reason == "too-large":
                raise
            some = []
        found = DataElement(tag, "SQ", some)
        with contextlib.suppress(Exception):  # it may convert a damaged PixelRepresentation
            dataset[tag] = found
    return list(found.value) if found is not None and found.VR == "SQ" else []


def _is_sequence(raw: RawDataElement) -> bool:
    if raw.VR == "UN":  # the same bound as pydicom
        return len(raw.value or b"") < 0xFFFF and dictionary_VR(raw.tag) == "SQ"
    return raw.VR == "SQ" or (raw.VR is None and dictionary_VR(raw.tag) == "SQ")

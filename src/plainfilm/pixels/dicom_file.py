"""Opens DICOM files: inflates them, reads the header and finds the pixel data.

A header may contradict the data. What the data show is used, and named in ``Layout.corrected``.
"""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydicom import config as pydicom_config
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from plainfilm.errors import ImageError
from plainfilm.pixels.element_reader import ALL_USED, Selection, Stop
from plainfilm.pixels.elements import read_after_meta, read_elements, read_meta
from plainfilm.pixels.isolation import Shared, muted
from plainfilm.pixels.limits import (
    Limits,
    check_bytes,
    check_frame,
    check_frames,
    check_pixels,
)
from plainfilm.pixels.metadata import read_metadata
from plainfilm.pixels.pixel_data import PIXEL_TAGS, DicomFile, find_pixel_data
from plainfilm.pixels.sniff import begins_with_vr
from plainfilm.pixels.used_elements import element, numbers

_BLOCK = 1 << 20
_INFLATED_HEAD = 1 << 22  # bytes
_LAST_GROUP = 0x54  # the code of the view
_META_ELEMENTS = 1000  # there are about ten
_KNOWN = frozenset(AllTransferSyntaxes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    mode = pydicom_config.settings.reading_validation_mode
    with muted("pydicom", "pylibjpeg", "libjpeg", "openjpeg"):
        pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
        try:
            yield
        finally:
            pydicom_config.settings.reading_validation_mode = mode


QUIET_PYDICOM = Shared(_quiet)
"""Suppresses messages of the DICOM libraries, which may quote a file about a patient."""


def open_dicom(data: bytes, limits: Limits, frame: int) -> DicomFile:
    """Read the header of a file, with or without preamble, and check the data of one frame."""
    inflated = inflate(data, limits)
    stream = io.BytesIO(data if inflated is None else inflated)
    header, named, turned = _read_header(stream, PIXEL_TAGS.__contains__)
    frames = _check_header(header, limits)
    check_frame(frame, frames)
    if inflated is not None:
        syntax = ExplicitVRLittleEndian
    else:
        syntax = UID(named) if named else _guess_syntax(header)
    if syntax not in _KNOWN:
        raise ImageError(
            "unsupported-format",
            "the transfer syntax of this DICOM file is private or unknown",
            remedy="convert the file to a transfer syntax of the standard",
        )
    plain = inflated is None and syntax == DeflatedExplicitVRLittleEndian
    file = find_pixel_data(stream, header, syntax, frame, frames, limits)
    if not named:  # there is nothing to contradict
        shown = file.layout.corrected - {"vr", "compression"}
        return replace(file, layout=replace(file.layout, corrected=shown))
    return file.corrected(*["byte-order"] * turned, *["compression"] * plain)


def read_selected(data: bytes, selection: Selection) -> Any:
    """Read selected elements up to group 0054; of a deflated file, only the first megabytes.

    Time and memory are bounded, whatever the file contains. Libraries raise all kinds of errors
    for hostile bytes.
    """
    at, syntax = _meta(data)
    deflated = syntax == str(DeflatedExplicitVRLittleEndian).encode()
    if data[128:132] == b"DICM" and deflated and not find_misstated(data)[0]:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at:], _INFLATED_HEAD)
    stream = io.BytesIO(data)
    return _read_header(stream, lambda tag: tag >> 16 > _LAST_GROUP, selection)[0]


def _read_header(
    stream: io.BytesIO, stop: Stop, selection: Selection = ALL_USED
) -> tuple[Any, str | None, bool]:
    """Return the used elements, the stated transfer syntax, and whether the byte order is not the
    stated one."""
    start, big, turned = find_misstated(stream.getvalue())
    named = read_meta(stream, selection)
    if not start:
        return read_after_meta(stream, named, stop, selection), named, False
    stream.seek(start + 4)
    implicit = not begins_with_vr(stream.read(2))
    stream.seek(start)
    return read_elements(stream, implicit, not big, stop, selection), named, turned


def find_misstated(data: bytes) -> tuple[int, bool, bool]:
    """Return where a data set starts that is not encoded as its meta header states, else 0.

    Also return whether it is big endian, and whether this is what contradicts the header; else it
    is a plain data set under the deflated transfer syntax. pydicom itself recognises implicit and
    explicit value representations.
    """
    start, named = _meta(data)
    first = data[start : start + 6]
    big = first[:1] == b"\0" and first[1:2] not in (b"\0", b"")
    turned = big != (named == str(ExplicitVRBigEndian).encode())
    if named == str(DeflatedExplicitVRLittleEndian).encode():
        turned = False
        plain = first[:2] == b"\x08\0" and begins_with_vr(first[4:])
    else:
        plain = False
    return (start if named and len(first) == 6 and (turned or plain) else 0), big, turned


def inflate(data: bytes, limits: Limits) -> bytes | None:
    """Return the inflated data set of a deflated file, None for any other.

    pydicom inflates without a limit.
    """
    at, syntax = _meta(data)
    if find_misstated(data)[0]:
        return None
    if data[128:132] != b"DICM" or syntax != str(DeflatedExplicitVRLittleEndian).encode():
        return None
    # First measure the length, and only then inflate into memory.
    engine, length = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for start in range(at, len(data), _BLOCK):
        rest = data[start : start + _BLOCK]
        while rest and not engine.eof:
            length += len(engine.decompress(rest, _BLOCK))
            rest = engine.unconsumed_tail
            check_bytes(length, limits)
    length += len(engine.flush())
    check_bytes(length, limits)
    if not engine.eof:
        raise ImageError("truncated", "the deflated data set ends early")
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at:], length)


def _meta(data: bytes) -> tuple[int, bytes]:
    """Return the end of the elements of group 0002, and the transfer syntax among them.

    They are in explicit VR little endian in every file.
    """
    at, syntax, left = 132 if data[128:132] == b"DICM" else 0, b"", _META_ELEMENTS
    while data[at : at + 2] == b"\2\0" and left:
        left -= 1
        long = data[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"SQ", b"UT")
        start = at + 12 if long else at + 8
        end = start + int.from_bytes(data[at + 8 if long else at + 6 : start], "little")
        if data[at + 2 : at + 4] == b"\x10\0":
            syntax = data[start:end].strip(b"\0 ")
        at = end
    return at, syntax


def _check_header(header: Any, limits: Limits) -> int:
    """Check the header against the limits and return the number of frames."""
    rows, columns = element(header, "Rows"), element(header, "Columns")
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ImageError(
            "no-pixels",
            "this DICOM file contains no image",
            received=f"modality {read_metadata(header).get('modality', 'unknown')}",
            remedy="exclude it; reports, plans and directories have no pixels",
        )
    check_pixels(columns, rows, limits)
    counted = numbers(header, "NumberOfFrames")
    frames = max(1, int(counted[0])) if counted else 1
    check_frames(frames, limits)
    return frames


def _guess_syntax(header: Any) -> UID:
    # Without a file meta header pydicom guesses the encoding from the first elements.
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian

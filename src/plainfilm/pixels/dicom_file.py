"""Opens DICOM files: inflates them, checks the header and finds the pixel data."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom import config as pydicom_config
from pydicom.encaps import get_frame
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from plainfilm.errors import ImageError
from plainfilm.pixels.codestream import check_codestream, find_unset_scan_end
from plainfilm.pixels.isolation import Shared, muted
from plainfilm.pixels.limits import (
    Limits,
    Source,
    broken,
    check_bytes,
    check_frame,
    check_frames,
    check_pixels,
)
from plainfilm.pixels.metadata import element, numbers, read_metadata

_BLOCK = 1 << 20
_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)


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


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A DICOM file whose pixel data passed the checks."""

    stream: io.BytesIO  # inflated and repaired where necessary, positioned at the pixel data
    header: Any  # data set without pixels
    syntax: UID  # transfer syntax of the stream
    frames: int


def open_dicom(data: bytes, limits: Limits, frame: int) -> DicomFile:
    """Read the header of a file, with or without preamble, and check the data of one frame."""
    inflated = inflate(data, limits)
    stream = Source(data if inflated is None else inflated)
    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    frames = _check_header(header, limits)
    check_frame(frame, frames)
    syntax = ExplicitVRLittleEndian if inflated is not None else _transfer_syntax(header)
    file = DicomFile(stream, header, syntax, frames)
    _check_pixel_data(file, frame, limits)
    return file


def inflate(data: bytes, limits: Limits) -> bytes | None:
    """Return the inflated data set of a deflated file, None for any other.

    pydicom inflates without a limit.
    """
    if data[128:132] != b"DICM":
        return None
    # The elements of group 0002 are in explicit VR little endian in every file.
    at, deflated = 132, False
    while data[at : at + 2] == b"\x02\0":
        long = data[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"SQ", b"UT")
        start = at + 12 if long else at + 8
        end = start + int.from_bytes(data[at + 8 if long else at + 6 : start], "little")
        if data[at + 2 : at + 4] == b"\x10\0":
            syntax = data[start:end].rstrip(b"\0 ")
            deflated = syntax == str(DeflatedExplicitVRLittleEndian).encode()
        at = end
    if not deflated:
        return None
    # First measure the length, and only then inflate into memory.
    engine, length, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, data[at:]
    while rest and not engine.eof:
        length += len(engine.decompress(rest, _BLOCK))
        rest = engine.unconsumed_tail
        check_bytes(length, limits)
    length += len(engine.flush())
    check_bytes(length, limits)
    if not engine.eof:
        raise ImageError("truncated", "the deflated data set ends early")
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at:], length)


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


def _transfer_syntax(header: Any) -> UID:
    named = header.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    # Without a file meta header pydicom guesses the encoding from the first elements.
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check_pixel_data(file: DicomFile, frame: int, limits: Limits) -> None:
    """Check the pixel data element at the position of the stream, and leave it there."""
    stream, syntax = file.stream, file.syntax
    start = stream.seek(0, io.SEEK_CUR)
    order = "little" if syntax.is_little_endian else "big"
    head = stream.read(8 if syntax.is_implicit_VR else 12)
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    if len(head) < 8 or tag not in _PIXEL_TAGS:
        raise ImageError(
            "no-pixels",
            "this DICOM file describes an image but contains no pixel data",
            remedy="fetch the file again; it may be cut short",
        )
    if syntax.is_encapsulated and syntax != RLELossless:
        _check_compressed(file, start, frame, limits)
    elif not syntax.is_encapsulated:
        rest = stream.seek(0, io.SEEK_END) - start - len(head)
        if rest < (needed := _bytes_up_to(frame, file.header)):
            raise broken(
                "truncated",
                "the DICOM file ends before the image is complete",
                f"{rest:,} of {needed:,} bytes",
            )
    stream.seek(start)


def _check_compressed(file: DicomFile, start: int, frame: int, limits: Limits) -> None:
    """Check a compressed frame against the limits, and repair a known defect of its header."""
    stream, offsets = file.stream, _offsets(file.header)
    try:
        packed = get_frame(stream, frame, number_of_frames=file.frames, extended_offsets=offsets)
    except ImageError:
        raise
    except Exception:
        packed = b""
    check_codestream(packed, limits)
    if (unset := find_unset_scan_end(packed)) is not None:
        # A frame may consist of several fragments; its headers are in the first. Other frames may
        # have the same headers.
        whole, at = stream.getvalue(), start
        while (at := whole.find(packed[: unset + 1], at)) >= 0:
            stream.getbuffer()[at + unset] = 63
            at += unset


def _offsets(header: Any) -> tuple[bytes, bytes] | None:
    """Return the extended offset table if the decoders of pydicom will use it."""
    starts = element(header, "ExtendedOffsetTable")
    lengths = element(header, "ExtendedOffsetTableLengths")
    if not isinstance(starts, bytes) or not isinstance(lengths, bytes):
        return None
    return (starts, lengths) if len(starts) == len(lengths) else None


def _bytes_up_to(frame: int, header: Any) -> int:
    """Return the length of the uncompressed frames up to and including this one."""
    samples = int(element(header, "SamplesPerPixel") or 1)
    bits = header.Rows * header.Columns * samples * int(element(header, "BitsAllocated") or 8)
    if element(header, "PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3  # two pixels share their colour
    return int(bits) * (frame + 1) // 8

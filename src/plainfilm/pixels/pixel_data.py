"""Finds the pixel data of a DICOM file and recognises how they are encoded.

The data decide: the element is recognised by its bytes, and a compressed frame by its own header.
A transfer syntax that they contradict is not used.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.uid import UID

from plainfilm.errors import ImageError
from plainfilm.pixels.codestream import Codestream, check_codestream, describe, find_unset_scan_end
from plainfilm.pixels.jpeg_2000 import check_jpeg_2000
from plainfilm.pixels.layout import Layout, resolve_layout
from plainfilm.pixels.limits import Limits, broken, check_parts
from plainfilm.pixels.rle import count_segments, decode_rle, is_rle
from plainfilm.pixels.sniff import Format
from plainfilm.pixels.structure import check_structure
from plainfilm.pixels.used_elements import element

PIXEL_TAGS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
"""Tags of elements that contain pixels, with their keywords."""
_FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_VRS = (b"OB", b"OW", b"UN", b"OF", b"OD", b"OL", b"OV")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_FRAGMENTS = 250_000  # of all frames; large files have some ten thousand
_OFFSETS = 1 << 20

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_HIGH_THROUGHPUT = (uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL)
_SYNTAXES: dict[str, tuple[UID, ...]] = {
    "baseline": _JPEG,
    "extended": _JPEG[::-1],
    "progressive": _JPEG,
    "lossless": (uid.JPEGLosslessSV1, uid.JPEGLossless),
    "jpeg-ls": (uid.JPEGLSNearLossless, uid.JPEGLSLossless),
    "jpeg-2000": (uid.JPEG2000, uid.JPEG2000Lossless, *_HIGH_THROUGHPUT),
    "ht-jpeg-2000": _HIGH_THROUGHPUT,
}
"""Kind of a codestream to the transfer syntaxes that may contain it, the usual one first."""
_DECODED = {uid.RLELossless, *(one for several in _SYNTAXES.values() for one in several)}


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A DICOM file whose pixel data passed the checks."""

    stream: io.BytesIO  # inflated and repaired where necessary
    start: int  # position of the pixel data in the stream
    header: Any  # data set without pixels
    syntax: UID  # transfer syntax of the pixel data
    layout: Layout
    keyword: str  # of the element with the pixel data
    vr: str | None  # of this element, None if implicit
    index: int = 0  # of the frame in the stream; a compressed one is alone there
    codestream: Codestream | None = None  # of a compressed frame

    def with_low_bits(self) -> DicomFile:
        """Return the file with the stored bits at the low end, where the header states others."""
        low = replace(self.layout, high=self.layout.stored - 1)
        return replace(self, layout=low).corrected("pixel-format")

    def corrected(self, *words: str) -> DicomFile:
        """Return the file with further words of the metadata ``corrected``."""
        found = self.layout.corrected | {*words}
        return replace(self, layout=replace(self.layout, corrected=found))


@dataclass(frozen=True, slots=True)
class _Element:
    """The element that contains the pixels."""

    keyword: str
    vr: str | None
    little: bool
    start: int  # of the value
    length: int | None  # as stated, None if undefined
    rest: int  # bytes from the start up to the end of the file


def find_pixel_data(
    stream: io.BytesIO, header: Any, syntax: UID, frame: int, frames: int, limits: Limits
) -> DicomFile:
    """Read the pixel data element at the position of the stream and check the data of a frame.

    ``syntax`` is the stated transfer syntax.
    """
    found = _read_element(stream, syntax)
    native = uid.ExplicitVRLittleEndian if found.little else uid.ExplicitVRBigEndian
    floats = _FLOATS.get(found.keyword)
    layout = resolve_layout(header, frames, None if floats else found.length)
    if floats:
        layout = layout.as_floats(floats)
    file = DicomFile(stream, found.start, header, native, layout, found.keyword, found.vr, frame)
    if syntax.is_implicit_VR is not (found.vr is None):
        file = file.corrected("vr")
    whole = (layout.frame_bits * frames + 7) // 8
    fits = found.length is not None and 0 <= found.length - whole <= 1
    stream.seek(found.start)
    in_items = stream.read(4) == _ITEM
    if not in_items and not fits and (image := _bare_image(file, found)):
        # A compressed image without the items that must contain it.
        return _compressed(file, image, syntax, limits)
    if (in_items and not fits) or (syntax.is_encapsulated and (in_items or not fits)):
        return _compressed(file, _fragments(file), syntax, limits)
    if found.rest < (needed := layout.frame_bits * (frame + 1) // 8):
        raise broken(
            "truncated",
            "the DICOM file ends before the image is complete",
            f"{found.rest:,} of {needed:,} bytes",
        )
    return file.corrected("compression") if syntax.is_encapsulated else file


def _read_element(stream: io.BytesIO, syntax: UID) -> _Element:
    """Read the head of the pixel data element, in the encoding that its bytes show."""
    at = stream.seek(0, io.SEEK_CUR)
    head = stream.read(12)
    little = head[:2] == b"\xe0\x7f"
    order: Literal["little", "big"] = "little" if little else "big"
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)
    if len(head) < 8 or tag not in PIXEL_TAGS:
        raise ImageError(
            "no-pixels",
            "this DICOM file describes an image but contains no pixel data",
            remedy="fetch the file again; it may be cut short",
        )
    # As the low half of an implicit length, a value representation would be an odd number.
    vr = head[4:6] if head[4:6] in _VRS and head[6:8] == b"\0\0" else None
    start = at + (12 if vr else 8)
    length = int.from_bytes(head[8:12] if vr else head[4:8], order)
    rest = max(0, stream.seek(0, io.SEEK_END) - start)
    if vr is None and not syntax.is_implicit_VR and length not in (*range(rest + 2), _UNDEFINED):
        vr, start, rest = b"UN", at + 12, max(0, rest - 4)  # an unknown value representation
        length = int.from_bytes(head[8:12], order)
    stated = None if length == _UNDEFINED else length
    return _Element(PIXEL_TAGS[tag], vr.decode() if vr else None, little, start, stated, rest)


def _bare_image(file: DicomFile, found: _Element) -> bytes:
    """Return a compressed image that is the value of the element itself, else no bytes."""
    file.stream.seek(found.start)
    value = file.stream.read(found.length if found.length is not None else -1)
    return value if describe(value) is not None else b""


def _fragments(file: DicomFile) -> bytes:
    """Return the compressed bytes of the frame, empty if its fragments are not found."""
    whole, start = file.stream.getvalue(), file.start
    # pydicom looks for fragments where the offset tables point to, and each has this mark.
    table = int.from_bytes(whole[start + 4 : start + 8], "little") // 4
    check_parts("fragments of pixel data", whole.count(_ITEM, start), _FRAGMENTS)
    check_parts("offsets of fragments", table, _OFFSETS)
    starts = element(file.header, "ExtendedOffsetTable")
    lengths = element(file.header, "ExtendedOffsetTableLengths")
    tables = None
    if isinstance(starts, bytes) and isinstance(lengths, bytes) and len(starts) == len(lengths):
        tables = starts, lengths
    file.stream.seek(start)
    try:
        packed: bytes = get_frame(
            *(file.stream, file.index),
            number_of_frames=file.layout.frames,
            extended_offsets=tables,
        )
    except Exception:  # pydicom raises all kinds
        return b""
    return packed


def _compressed(file: DicomFile, packed: bytes, stated: UID, limits: Limits) -> DicomFile:
    """Recognise the compression of a frame and check it, and repair a known defect."""
    known = describe(packed)
    plain = 0 <= len(packed) - file.layout.frame_bits // 8 <= 1 and known is None
    if known is None and (is_rle(packed) or (stated == uid.RLELossless and not plain)):
        known = _run_lengths(packed, file.layout)
        file = _expanded(file, packed, _layout(file, known))
        return file if stated == uid.RLELossless else file.corrected("compression")
    if plain:
        file = replace(file, stream=io.BytesIO(packed), start=0, index=0)
        return file.corrected("compression")
    check_codestream(packed, limits)
    if packed.startswith(b"\xff\xd8"):
        check_structure(packed, Format.JPEG)
    else:
        check_jpeg_2000(packed)
    syntax = _syntax_of(known, stated)
    if not syntax.is_encapsulated:
        raise ImageError(
            "unsupported-format", "the compression of this DICOM file is not recognised"
        )
    packed = _repaired(packed)
    # Alone, so that a decoder does not parse the fragments again.
    alone = _ITEM + bytes(4) + _ITEM + len(packed).to_bytes(4, "little") + packed + _END
    file = replace(file, stream=io.BytesIO(alone), start=0, index=0, syntax=syntax)
    file = replace(file, layout=_layout(file, known), codestream=known)
    return file if syntax == stated else file.corrected("compression")


def _expanded(file: DicomFile, packed: bytes, layout: Layout) -> DicomFile:
    """Return the file with run lengths replaced by the samples, one colour after another."""
    pixels = layout.rows * layout.columns
    levels = decode_rle(packed, pixels, layout.samples, layout.allocated)
    # Run lengths leave out no half of the colour.
    photometric = layout.photometric.replace("YBR_FULL_422", "YBR_FULL")
    layout = replace(layout, planar=1, photometric=photometric)
    native, stream = uid.ExplicitVRLittleEndian, io.BytesIO(levels)
    return replace(file, stream=stream, start=0, index=0, syntax=native, layout=layout, vr="OW")


def _layout(file: DicomFile, known: Codestream | None) -> Layout:
    """Resolve the layout again, by the header of the frame."""
    layout = resolve_layout(file.header, file.layout.frames, None, known)
    return replace(layout, corrected=layout.corrected | (file.layout.corrected & {"vr"}))


def _syntax_of(known: Codestream | None, stated: UID) -> UID:
    """Return the transfer syntax of a compressed frame by its own header."""
    possible = _SYNTAXES.get(known.kind, ()) if known else ()
    replaceable = stated in _DECODED or not stated.is_encapsulated
    if not possible or stated in possible or not replaceable:
        return stated
    return possible[0]


def _run_lengths(packed: bytes, layout: Layout) -> Codestream | None:
    """Describe run lengths that do not have the stated number of bytes for a sample."""
    each, rest = divmod(count_segments(packed), layout.samples)
    if rest or each not in (1, 2, 4) or 8 * each == layout.allocated:
        return None
    return Codestream("rle", 8 * each, layout.samples)


def _repaired(packed: bytes) -> bytes:
    unset = find_unset_scan_end(packed)
    return packed if unset is None else packed[:unset] + b"\x3f" + packed[unset + 1 :]

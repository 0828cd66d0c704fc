"""Describes a compressed frame by its own header, and checks it before a decoder takes memory."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import Limits, broken, check_parts, check_pixels

# Marker of a scan. It never occurs in its data, where ff is followed by 0 or a restart marker.
_SCAN = b"\xff\xda"
ARITHMETIC = (0xC9, 0xCA)
"""Start-of-frame markers of JPEG with arithmetic coding that libjpeg decodes."""
_SCANS = 20  # for an image of the largest size; encoders of progressive JPEG write up to 14
_MOST_SCANS = 1_000  # for an image of any size
_SEGMENTS = 1_000  # before the first scan; a profile has up to 255
_GAP = 65_536  # bytes between two segments
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_NO_MARKERS = (0x00, 0xFF)  # the second is a fill byte
_BARE = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length
_END = b"\xff\xd9"  # of a JPEG, JPEG-LS or JPEG 2000 stream
# Start-of-frame markers: SOF0 to SOF15 without DHT, JPG and DAC, and SOF55 of JPEG-LS.
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_SIZ = b"\xff\x4f\xff\x51"
_CAP = 0x50  # marker of a high-throughput JPEG 2000 stream


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the header of a compressed frame says."""

    kind: str
    """``baseline``, ``extended``, ``progressive``, ``lossless`` or ``other`` (JPEG), ``jpeg-ls``,
    ``jpeg-2000``, ``ht-jpeg-2000``"""
    bits: int  # of a sample
    samples: int  # of a pixel
    signed: bool | None = None  # only JPEG 2000 says it


def describe(frame: bytes) -> Codestream | None:
    """Return what the header of a frame says; None if it is of no known kind, or damaged."""
    if frame[:2] == b"\xff\xd8":
        for marker, at in header_segments(frame):
            if marker in _FRAMES and at + 10 <= len(frame):
                return Codestream(_KINDS.get(marker, "other"), frame[at + 4], frame[at + 9])
        return None
    start = frame.find(_SIZ, 0, 4096) if frame.startswith((_JP2, _SIZ)) else -1
    if start < 0 or len(frame) < start + 46:
        return None
    after = start + 4 + int.from_bytes(frame[start + 4 : start + 6], "big")
    kind = "ht-jpeg-2000" if frame[after : after + 2] == bytes((0xFF, _CAP)) else "jpeg-2000"
    depth = frame[start + 42]
    samples = int.from_bytes(frame[start + 40 : start + 42], "big")
    return Codestream(kind, (depth & 127) + 1, samples, depth > 127)


_KINDS = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xF7: "jpeg-ls",
}


def check_codestream(frame: bytes, limits: Limits) -> None:
    """Check the size in the header of a JPEG, JPEG-LS or JPEG 2000 frame against the limits.

    The header of the file may say 10 x 10 and the frame 65000 x 65000. A frame of another kind is
    left to the decoder. An empty frame, or a JPEG without an end, is ``truncated``.
    """
    if not frame:
        raise broken("truncated", "the file ends before the image is complete")
    is_jpeg = frame[:2] == b"\xff\xd8"
    # Some decoders fill the missing part with grey. Frames are padded to an even length.
    if is_jpeg and frame.rfind(_END, len(frame) // 2) < 0:
        raise broken("truncated", "a frame ends before the image is complete")
    size = _jpeg_size(frame) if is_jpeg else _jpeg2000_size(frame)
    if size is not None:
        check_pixels(*size, limits)
        if is_jpeg:
            check_scans(frame, *size, limits)
            for marker, at in header_segments(frame):
                check_arithmetic(frame, marker, at, limits)


def check_arithmetic(frame: bytes, marker: int, at: int, limits: Limits) -> None:
    """Check the size and the scans of a JPEG if this segment says that it has arithmetic coding.

    It takes ten times as long as Huffman coding, also for a file of a few bytes.
    """
    if marker in ARITHMETIC and len(frame) >= at + 9:
        height, width = struct.unpack_from(">HH", frame, at + 5)
        check_parts("pixels with arithmetic coding", width * height, limits.pixels // 5)
        check_parts("scans with arithmetic coding", frame.count(_SCAN), _SCANS)


def check_scans(data: bytes, width: int, height: int, limits: Limits) -> None:
    """Raise an ImageError ``too-large`` for a JPEG with more scans than any encoder writes.

    Each scan is a pass over the whole image, and one that changes nothing has only a few bytes: a
    file of some kilobytes could take hours.
    """
    most = min(_MOST_SCANS, _SCANS * limits.pixels // max(1, width * height))
    # A scan has at least ten bytes. If the first one of a baseline JPEG has all components, no
    # other is decoded.
    if len(data) // 10 <= most or _is_one_scan(data):
        return
    scans = data.count(_SCAN)
    if scans > most:
        raise ImageError(
            "too-large", "the JPEG has too many scans for its size", received=f"{scans:,} scans"
        )


def find_unset_scan_end(frame: bytes) -> int | None:
    """Return the offset of a byte that some old encoders of extended JPEG set to 0 instead of 63.

    It is the end of the spectral selection of a sequential scan (ISO 10918-1, B.2.3). Decoders
    reject the frame, although the data are complete. None if there is nothing to repair.
    """
    for marker, at in header_segments(frame):
        if marker in _FRAMES and marker not in (0xC0, 0xC1):
            return None
        if marker == 0xDA:
            end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
            return end - 2 if frame[end - 3 : end] == b"\0\0\0" else None
    return None


def header_segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and offset of each JPEG segment up to the first scan.

    As decoders do, it skips fill bytes and other bytes between segments. An ImageError
    ``too-large`` is raised for more segments or more such bytes than any encoder writes.
    """
    at, last = 2, len(frame) - 4
    for _ in range(_SEGMENTS):
        if at > last:
            return
        marker = frame[at + 1]
        if frame[at] != 0xFF or marker in _NO_MARKERS:
            found = _MARKER.search(frame, at, at + _GAP)
            if found is None or found.start() > last:
                check_parts("bytes between two segments", min(last - at, _GAP + 1), _GAP)
                return
            at = found.start()
            marker = frame[at + 1]
        if marker in _BARE:
            at += 2
            continue
        yield marker, at
        if marker == 0xDA:
            return
        at += 2 + (frame[at + 2] << 8 | frame[at + 3])
    check_parts("segments before the image", _SEGMENTS + 1, _SEGMENTS)


def _is_one_scan(frame: bytes) -> bool:
    components = 0
    for marker, at in header_segments(frame):
        if marker in _FRAMES:
            if marker not in (0xC0, 0xC1) or len(frame) < at + 10:
                return False
            components = frame[at + 9]
        elif marker == 0xDA:
            return len(frame) > at + 4 and frame[at + 4] == components
    return False


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Return width and height from the start-of-frame marker (ISO 10918-1, B.2.2)."""
    for marker, at in header_segments(frame):
        if marker in _FRAMES and at + 9 <= len(frame):
            height = int.from_bytes(frame[at + 5 : at + 7], "big")
            return int.from_bytes(frame[at + 7 : at + 9], "big"), height
    return None


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """Return width and height from the SIZ marker (ISO 15444-1, A.5.1)."""
    start = frame.find(_SIZ, 0, 4096)
    if start < 0 or len(frame) < start + 24:
        return None
    right, bottom, left, top = (
        int.from_bytes(frame[at : at + 4], "big") for at in range(start + 8, start + 24, 4)
    )
    return right - left, bottom - top

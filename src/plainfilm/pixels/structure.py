"""Counts the parts of a raster file before a library reads them.

Libraries keep each part as an object, join profiles piece by piece, or inflate each compressed
text. That takes time and memory that neither the size of the file nor the number of pixels limits.
The limits here are far above those of any file that an imaging program writes.
"""

from __future__ import annotations

import struct

from plainfilm.pixels.codestream import ARITHMETIC, check_arithmetic, header_segments
from plainfilm.pixels.directories import check_directories
from plainfilm.pixels.limits import LIMITS, Limits, check_deflated, check_parts
from plainfilm.pixels.sniff import Format

_SMALL = 16_384  # bytes
_EXIF_SEGMENTS = 64  # of a JPEG; one holds nearly 64 KiB
_TABLE_BYTES = 65_536  # of quantisation tables of a JPEG; the largest four have 516
_RECORDS = 10_000  # of Photoshop in a JPEG
_CHUNKS = 1_000  # of a PNG, without those of pixels
_DEFLATED = (b"iCCP", b"zTXt", b"iTXt")
_PIXEL_CHUNKS = 200_000  # of a PNG; libpng writes 65,536 for 512 MiB
_RIFF_CHUNKS = 100_000  # of a WebP file; one for each image of an animation
_SLACK = 65_536  # bytes of compressed data above what the pixels take without compression
_RLE_PIXELS = 30_000_000  # of a run-length encoded bitmap, which Pillow decodes in Python
_RLE = (1, 2)  # compression of a bitmap
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type of a PNG


def check_structure(data: bytes, kind: Format, limits: Limits = LIMITS) -> None:
    """Raise an ImageError ``too-large`` for a file with more parts than any encoder writes."""
    if kind is Format.JPEG:
        _check_jpeg(data, limits)
    elif kind is Format.PNG:
        _check_png(data, limits)
    elif kind is Format.TIFF:
        check_directories(data, limits)
    elif kind is Format.WEBP:
        _check_webp(data)
    elif kind is Format.BMP:
        _check_bmp(data)


def is_harmless(data: bytes, kind: Format) -> bool:
    """Whether a file is too small to have parts that take long."""
    if len(data) > _SMALL or kind in (Format.BMP, Format.TIFF):
        return False
    if kind is Format.JPEG:
        for marker, _ in header_segments(data):
            if marker in ARITHMETIC:
                return False
    return True


def _check_jpeg(data: bytes, limits: Limits) -> None:
    exif: list[bytes] = []
    tables = records = 0
    for marker, at in header_segments(data):
        check_arithmetic(data, marker, at, limits)
        if marker not in (0xDB, 0xE1, 0xED):
            continue
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if marker == 0xDB:
            tables += end - at
        elif marker == 0xED:
            records += data.count(b"8BIM", at, end)
        elif data[at + 4 : at + 10] == b"Exif\0\0":
            exif.append(data[at + 10 : end])
    check_parts("EXIF segments", len(exif), _EXIF_SEGMENTS)
    check_parts("bytes of quantisation tables", tables, _TABLE_BYTES)
    check_parts("Photoshop records", records, _RECORDS)
    if exif:
        check_directories(b"".join(exif))


def _check_png(data: bytes, limits: Limits) -> None:
    at, others, pixels, stored, deflated = 8, 0, 0, 0, 0
    while at + 8 <= len(data) and others <= _CHUNKS and pixels <= _PIXEL_CHUNKS:
        length, kind = struct.unpack_from(">I4s", data, at)
        at += length + 12
        if kind == b"IDAT":
            pixels += 1
            stored += length
        elif kind == b"IEND":
            break
        elif kind == b"fdAT":  # pixels of the later images of an animation
            pixels += 1
        else:
            others += 1
            deflated += length if kind in _DEFLATED else 0
    check_parts("chunks", others, _CHUNKS)
    check_parts("chunks of pixels", pixels, _PIXEL_CHUNKS)
    check_deflated(stored + deflated, limits)
    if stored > _SLACK and len(data) >= 26:
        width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
        row = 1 + -(-width * bits * _SAMPLES.get(colour, 4) // 8)
        check_parts("bytes of compressed pixels", stored, 2 * row * height + _SLACK)


def _check_webp(data: bytes) -> None:
    at, end, count = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little")), 0
    while at + 8 <= end and count <= _RIFF_CHUNKS:
        kind, length = struct.unpack_from("<4sI", data, at)
        # An image of an animation is a chunk of 16 bytes and further chunks.
        at += 24 if kind == b"ANMF" else 8 + length + (length & 1)
        count += 1
    check_parts("chunks", count, _RIFF_CHUNKS)


def _check_bmp(data: bytes) -> None:
    if len(data) >= 34 and int.from_bytes(data[30:34], "little") in _RLE:
        width, height = struct.unpack_from("<ii", data, 18)
        check_parts("pixels with run-length encoding", abs(width * height), _RLE_PIXELS)

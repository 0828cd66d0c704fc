"""Reads properties of raster files from their headers."""

from __future__ import annotations

import contextlib
from typing import Any

from PIL import ImageFile

from plainfilm.pixels.directories import check_directories
from plainfilm.pixels.limits import broken
from plainfilm.pixels.sniff import Format

_PROFILE = "Raw profile type exif"
PHANTOM = "plainfilm phantom"
"""The manufacturer of the images that ``plainfilm.phantom`` draws."""


def webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the canvas from the first chunk (RFC 9649, section 2)."""

    def number(start: int, stop: int) -> int:
        return int.from_bytes(data[start:stop], "little")

    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return 1 + number(24, 27), 1 + number(27, 30)
    if chunk == b"VP8L" and len(data) >= 25:
        packed = number(21, 25)
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if chunk == b"VP8 " and len(data) >= 30:
        return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF
    raise broken("truncated", "the file ends within its header", "WebP")


def bits_per_sample(file: ImageFile.ImageFile, data: bytes, kind: Format) -> int:
    """Return the bits of one sample as the file stores it."""
    if kind is Format.PNG:
        return data[24]
    if kind is Format.TIFF:
        return int(_tiff_tags(file).get(258, (1,))[0])
    return 1 if file.mode == "1" else 8


def exif_orientation(file: ImageFile.ImageFile) -> int:
    """Return the EXIF (or XMP) orientation, 1 to 8; 1 if there is none or it is damaged."""
    blocks = {"exif", "xmp", "XML:com.adobe.xmp", _PROFILE}
    if not blocks & file.info.keys() and not hasattr(file, "tag_v2"):
        return 1
    if block := _exif_block(file):
        check_directories(block)
    try:
        value = file.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _exif_block(file: ImageFile.ImageFile) -> bytes | None:
    """Return the EXIF block of a PNG or WebP file; those of other files are checked before."""
    block = file.info.get("exif")
    if block is None and (text := file.info.get(_PROFILE)):
        with contextlib.suppress(ValueError):  # Pillow reads it in the same way
            block = bytes.fromhex("".join(text.split("\n")[3:]))
    return block if isinstance(block, bytes) and file.format != "JPEG" else None


def has_exif(file: ImageFile.ImageFile) -> bool:
    """Whether the file has an EXIF block; a PNG may have it behind the pixels: decode first."""
    return bool({"exif", _PROFILE} & file.info.keys()) or 34665 in _tiff_tags(file)


def _tiff_tags(file: ImageFile.ImageFile) -> Any:
    return getattr(file, "tag_v2", {})


def stores_rgb(file: ImageFile.ImageFile) -> bool:
    """Whether the three components of a JPEG are RGB and not YCbCr, by the rules of libjpeg."""
    if "jfif" in file.info:
        return False
    if "adobe" in file.info:
        return file.info.get("adobe_transform") == 0
    return bytes(layer[0] for layer in file.layer) == b"RGB"  # type: ignore[attr-defined]


def is_drawn(file: ImageFile.ImageFile) -> bool:
    """Whether the comment of a JPEG or PNG says that ``plainfilm.phantom`` drew the image."""
    comment = file.info.get("comment" if file.format == "JPEG" else "Comment")
    return comment in (PHANTOM, PHANTOM.encode())


def jpeg_metadata(file: ImageFile.ImageFile) -> dict[str, float]:
    """Return ``progressive`` (1 or 0), and ``quantisation`` if the file has a table."""
    metadata = {"progressive": float("progressive" in file.info)}
    tables, layers = file.quantization, file.layer  # type: ignore[attr-defined]
    table = tables.get(layers[0][3]) if layers else None
    if table:
        metadata["quantisation"] = sum(table) / len(table)
    return metadata

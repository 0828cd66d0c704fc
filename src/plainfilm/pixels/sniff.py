"""Recognises the format of a file by its content, never by its name."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import broken


class Format(StrEnum):
    """Supported formats."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    BMP = "bmp"
    WEBP = "webp"
    GIF = "gif"
    DICOM = "dicom"


RASTER_SUFFIXES: frozenset[str] = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)
"""Suffixes, in lower case, of all formats but DICOM."""

IMAGE_SUFFIXES: frozenset[str] = RASTER_SUFFIXES | {".dcm", ".dic", ".dicom", ".ima"}
"""Suffixes, in lower case, of the files that are opened in a folder of images."""

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"II*\0", Format.TIFF),
    (b"MM\0*", Format.TIFF),
    (b"II+\0", Format.TIFF),  # BigTIFF
    (b"MM\0+", Format.TIFF),
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
)

# Offset, signature and name of unsupported image formats, for the message.
_UNSUPPORTED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"8BPS", "PSD"),
    (0, b"\x01\xda", "SGI"),
    (0, b"n+1\0", "NIfTI"),
    (344, b"n+1\0", "NIfTI"),
    (344, b"ni1\0", "NIfTI"),
    (0, b"NRRD", "NRRD"),
    *((0, b"P%d%c" % (n, end), "PNM") for n in range(1, 8) for end in b" \t\r\n"),
)

# Signature, name and remedy.
_NO_IMAGES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer instead of a file", "run: git lfs pull"),
    (b"%PDF", "a PDF document", "export its images"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it first"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"\x93NUMPY", "a NumPy array", "save it as PNG first"),
)

_LONG_VRS = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UT", b"UN", b"UC", b"UR"))
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())


def sniff(data: bytes) -> Format:
    """Return the format of ``data``; a few hundred leading bytes are enough.

    Raises
    ------
    ImageError
        ``empty``, ``not-an-image``, or ``unsupported-format`` for an image of another format.
    """
    if not data:
        raise broken("empty", "the file is empty")
    # First, since the preamble of a DICOM file may make it a TIFF file as well.
    if data[128:132] == b"DICM":
        return Format.DICOM
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Format.WEBP
    if data[:2] == b"BM" and len(data) >= 26 and data[14:18] in _BMP_HEADERS:
        return Format.BMP
    if _is_bare_dicom(data):
        return Format.DICOM
    raise _refuse(data)


# Sizes of the header that follows the first 14 bytes of a bitmap, little endian.
_BMP_HEADERS = frozenset(n.to_bytes(4, "little") for n in (12, 16, 40, 52, 56, 64, 108, 124))


def begins_with_vr(data: bytes) -> bool:
    """Whether ``data`` begins with a value representation of DICOM."""
    return data[:2] in _SHORT_VRS or data[:2] in _LONG_VRS


def _is_bare_dicom(data: bytes) -> bool:
    """Whether ``data`` begins with a data element, as DICOM without preamble does."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group, element = (int.from_bytes(data[at : at + 2], order) for at in (0, 2))
        if group not in (0x0002, 0x0008) or element > 0x0100 or len(data) < 12:
            continue
        kind = data[4:6]
        if kind in _SHORT_VRS or (kind in _LONG_VRS and data[6:8] == b"\0\0"):
            return True
        # Implicit VR is always little endian. A small, even length follows the tag, and the next
        # tag is of the same or a later group.
        length = int.from_bytes(data[4:8], "little")
        following = int.from_bytes(data[8 + length : 10 + length], "little")
        if order == "little" and length % 2 == 0 and length <= 256 and group <= following <= 0x20:
            return True
    return False


def _refuse(data: bytes) -> ImageError:
    for offset, signature, name in _UNSUPPORTED:
        if data[offset : offset + len(signature)] == signature:
            return ImageError(
                "unsupported-format",
                f"{name} files are not supported",
                remedy="save it as PNG or DICOM first",
            )
    for signature, what, todo in _NO_IMAGES:
        if data.startswith(signature):
            return ImageError("not-an-image", f"this is {what}, not an image", remedy=todo)
    opening = data[:256].lstrip().lower()
    if opening.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return ImageError(
            "not-an-image",
            "this is a web page or XML text, not an image",
            remedy="fetch the file again; the download may have returned an error page",
        )
    return ImageError(
        "not-an-image",
        "the content is not in a supported image format",
        received=f"{len(data):,} bytes that begin with {data[:8].hex(' ')}",
        remedy="use JPEG, PNG, TIFF, BMP, WebP, GIF or DICOM",
    )

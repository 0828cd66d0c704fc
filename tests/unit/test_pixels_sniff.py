"""Formats are recognised by content."""

from __future__ import annotations

import io

import pytest
from PIL import Image as Pillow

from plainfilm.errors import ImageError
from plainfilm.pixels import IMAGE_SUFFIXES, Format, sniff


def drawn(kind: str, mode: str = "L", **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.new(mode, (20, 10), 128).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "bmp", "webp", "gif"])
def test_what_pillow_writes_is_recognised(kind: str) -> None:
    data = drawn(kind, "RGB" if kind == "webp" else "L")
    assert sniff(data) is Format(kind)
    assert sniff(data[:512]) is Format(kind)


def test_dicom_comes_before_the_tiff_in_its_preamble() -> None:
    assert sniff(b"II*\0".ljust(128, b"\0") + b"DICM") is Format.DICOM


@pytest.mark.parametrize(
    "opening",
    [
        b"\x08\0\x05\0CS\x0a\0ISO_IR 100",  # explicit little endian
        b"\0\x08\0\x05CS\0\x0aISO_IR 100",  # explicit big endian
        b"\x08\0\0\0\x04\0\0\0\x1e\x01\0\0\x08\0\x08\0",  # implicit, with a group length
        b"\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0",  # meta header without preamble
    ],
)
def test_dicom_without_preamble(opening: bytes) -> None:
    assert sniff(opening) is Format.DICOM


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (b"", "empty", "empty"),
        (b"\xff", "not-an-image", "1 bytes"),
        (b"<!DOCTYPE html><html>", "not-an-image", "web page"),
        (b"version https://git-lfs.example/spec/v1", "not-an-image", "git lfs pull"),
        (b"%PDF-1.4", "not-an-image", "PDF"),
        (b"PK\x03\x04....", "not-an-image", "unpack"),
        (b"\x93NUMPY\x01\0", "not-an-image", "NumPy"),
        (b"\x08\0\x05\0zz\x0a\0ISO_IR 100", "not-an-image", "begin with"),
        (b"\0\0\0\x1cftypavif", "unsupported-format", "AVIF"),
        (b"\xff\x4f\xff\x51", "unsupported-format", "JPEG 2000"),
        (b"P5\n2 2 255\n....", "unsupported-format", "PNM"),
        (b"BM said the cat, and nothing else", "not-an-image", "begin with"),
    ],
)
def test_the_rest_is_refused_with_a_reason(data: bytes, reason: str, says: str) -> None:
    with pytest.raises(ImageError) as caught:
        sniff(data)
    assert caught.value.reason == reason
    assert says in str(caught.value)


def test_suffixes_are_lower_case_endings() -> None:
    assert {".jpg", ".jpeg", ".png", ".dcm", ".tif"} <= IMAGE_SUFFIXES
    assert all(s.startswith(".") and s == s.lower() for s in IMAGE_SUFFIXES)

"""Raster files of many small parts are rejected before a library reads them."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from PIL import Image as Pillow

from plainfilm.errors import ImageError
from plainfilm.pixels import Limits, read_image_and_text
from plainfilm.pixels.codestream import check_codestream
from plainfilm.pixels.directories import check_directories
from plainfilm.pixels.sniff import Format
from plainfilm.pixels.structure import check_structure
from plainfilm.records import PixelSpec

GREY = (np.arange(64 * 64) % 251).astype(np.uint8).reshape(64, 64)
Entry = tuple[int, int, int, int | None]  # tag, type, count, value; None: behind the directory


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(GREY).save(file, kind, **options)
    return file.getvalue()


def segments(marker: int, value: bytes, count: int) -> bytes:
    data = saved("jpeg")
    one = bytes((0xFF, marker)) + struct.pack(">H", 2 + len(value)) + value
    return data[:2] + one * count + data[2:]


def arithmetic(side: int) -> bytes:
    """Write a JPEG of a few bytes that says it has arithmetic coding, and how large it is."""
    frame = b"\xff\xc9\0\x0b\x08" + struct.pack(">HH", side, side) + b"\1\1\x11\0"
    data = saved("jpeg")
    at = data.index(b"\xff\xc0")
    return data[:at] + frame + data[at + len(frame) :]


def exif_segments(block: bytes) -> bytes:
    data, size = saved("jpeg"), 65_000
    parts = (b"Exif\0\0" + block[at : at + size] for at in range(0, len(block), size))
    written = (b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)
    return data[:2] + b"".join(written) + data[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(one: bytes, count: int, before: bytes = b"IDAT") -> bytes:
    data = saved("png")
    at = data.index(before) - 4
    return data[:at] + one * count + data[at:]


def directory(entries: list[Entry], values: bytes = b"", order: str = "<") -> bytes:
    start = 8 + 2 + 12 * len(entries) + 4
    packed = b"".join(
        struct.pack(f"{order}HHII", tag, kind, count, start if value is None else value)
        for tag, kind, count, value in entries
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + packed + bytes(4) + values


def tiff(*more: Entry, values: bytes = b"") -> bytes:
    """Write a TIFF of 8 x 8 pixels whose entries are exchanged or added."""
    entries: dict[int, Entry] = {
        tag: (tag, 3, 1, value)
        for tag, value in ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (278, 8))
    } | {273: (273, 4, 1, 8), 279: (279, 4, 1, 64)}
    entries |= {entry[0]: entry for entry in more}
    return directory([entries[tag] for tag in sorted(entries)], values)


def strips(count: int, compression: int, data: bytes) -> bytes:
    """Write a TIFF whose strips of one row all have the same data."""
    at = 8 + 2 + 12 * 9 + 4
    values = struct.pack("<I", at + 8 * count) * count + struct.pack("<I", len(data)) * count
    places = (273, 4, count, at), (279, 4, count, at + 4 * count)
    size = (256, 3, 1, 1), (257, 4, 1, count), (278, 3, 1, 1), (259, 3, 1, compression)
    return tiff(*places, *size, values=values + data)


def bitmap(side: int, data: bytes) -> bytes:
    palette = b"\1\2\3\0" * 256
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
    at = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + head + palette + data


def comments(count: int) -> bytes:
    data = saved("gif")
    at = data.index(b"\x2c", 13 + 3 * 256)
    return data[:at] + b"\x21\xfe" + b"\1c" * count + b"\0" + data[at:]


def webp(more: bytes) -> bytes:
    data = saved("webp")
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(more)) + data[8:] + more


def rationals(count: int) -> bytes:
    return directory([(0x011A, 5, count, None)], struct.pack("<II", 300, 1) * count)


def two_levels(order: str, kind: int, size: int) -> bytes:
    """Write a directory with many values below one entry, whose offset has ``kind``."""
    offset = 8 + 2 + 12 + 4 + 8
    inner = struct.pack(f"{order}HHHII", 1, 40_000, 3, 1_100_000, offset + 18) + bytes(4)
    packed = offset.to_bytes(size, "little" if order == "<" else "big")
    at = (
        26
        if size > 4
        else int.from_bytes(packed.ljust(4, b"\0"), "little" if order == "<" else "big")
    )
    return directory(
        [(34665, kind, 1, at)], packed.ljust(8, b"\0") + inner + bytes(2_200_000), order
    )


INFLATES = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20), 9)[:-4] + b"\1\2\3\4")
MAKERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg segments": (lambda: segments(0xE5, bytes(20), 1_001), "segments"),
    "jpeg exif segments": (lambda: segments(0xE1, b"Exif\0\0" + bytes(300), 65), "EXIF segments"),
    "jpeg tables": (lambda: segments(0xDB, (b"\0" + b"\1" * 64) * 999, 2), "quantisation"),
    "jpeg arithmetic": (lambda: arithmetic(6_000), "arithmetic"),
    "jpeg records": (
        lambda: segments(0xED, b"Photoshop 3.0\0" + (b"8BIM" + bytes(8)) * 5_400, 2),
        "Photoshop",
    ),
    "jpeg junk": (lambda: saved("jpeg").replace(b"\xff\xdb", bytes(70_000) + b"\xff\xdb"), "bytes"),
    "jpeg exif values": (lambda: exif_segments(rationals(130_000)), "values"),
    "jpeg exif shared": (
        lambda: exif_segments(directory([(n, 7, 90_000, None) for n in range(9)], bytes(90_000))),
        "overlapping values",
    ),
    "png chunks": (lambda: chunks(chunk(b"gAMA", bytes(9)), 1_001), "chunks"),
    "png chunks behind": (lambda: chunks(chunk(b"gAMA", bytes(9)), 1_001, b"IEND"), "chunks"),
    "png profiles": (lambda: chunks(INFLATES, 5_000), "chunks"),
    "png chunks of pixels": (lambda: chunks(chunk(b"IDAT", b""), 200_001), "chunks of pixels"),
    "png pixels": (lambda: chunks(chunk(b"IDAT", bytes(99_999)), 1, b"IEND"), "compressed pixels"),
    "png exif values": (lambda: chunks(chunk(b"eXIf", rationals(130_000)), 1), "values"),
    "png profile": (
        lambda: chunks(
            chunk(b"tEXt", b"Raw profile type exif\0\n\n\n" + rationals(130_000).hex().encode()), 1
        ),
        "values",
    ),
    "webp chunks": (lambda: webp(b"abcd\0\0\0\0" * 100_000), "chunks"),
    "webp frame": (
        lambda: webp(b"ANMF\xff\xff\xff\xff" + bytes(16) + b"abcd\0\0\0\0" * 100_000),
        "chunks",
    ),
    "gif blocks": (lambda: comments(20_000), "parts"),
    "bmp runs": (lambda: bitmap(6_000, b"\1\5\0\0" * 6_000), "run-length"),
    "tiff entries": (lambda: tiff(*[(n, 7, 1, 0) for n in range(30_000, 34_100)]), "entries"),
    "tiff values": (lambda: tiff((320, 3, 1_000_001, None), values=bytes(2_000_002)), "values"),
    "tiff rationals": (lambda: tiff((282, 5, 126_000, None), values=bytes(1_008_000)), "values"),
    "tiff strips": (lambda: strips(100_001, 1, b"\7"), "strips"),
    "tiff shared strips": (lambda: strips(1_000, 8, bytes(20_000)), "overlapping strips"),
    "tiff arithmetic": (
        lambda: tiff((256, 3, 1, 6_000), (257, 3, 1, 6_000), (259, 3, 1, 7), values=arithmetic(8)),
        "arithmetic",
    ),
    "tiff directories": (
        lambda: directory([(34665, 4, 1, 8)] * 2_000),
        "directories",
    ),
    "tiff short offset": (lambda: two_levels("<", 3, 2), "values"),
    "tiff short offset, big endian": (lambda: two_levels(">", 3, 2), "values"),
    "tiff long offset, big endian": (lambda: two_levels(">", 4, 4), "values"),
    "tiff offset of an offset": (lambda: two_levels("<", 16, 8), "values"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_many_parts_are_rejected_at_once(name: str) -> None:
    make, what = MAKERS[name]
    data = make()
    start = time.process_time()
    with pytest.raises(ImageError, match=what) as caught:
        read_image_and_text(data, PixelSpec(16))
    assert time.process_time() - start < 0.5
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize(
    "data",
    [
        chunks(chunk(b"IDAT", bytes(90_000)), 1),
        chunks(chunk(b"zTXt", b"a\0\0" + bytes(90_000)), 1),
        strips(9, 8, bytes(20_000)),
        tiff((279, 4, 1, 90_000), (259, 3, 1, 50000), values=bytes(90_000)),
    ],
    ids=["png pixels", "png text", "tiff strips", "tiff strip"],
)
def test_compressed_bytes_are_limited_like_pixels(data: bytes) -> None:
    with pytest.raises(ImageError, match="compressed bytes"):
        read_image_and_text(data, PixelSpec(16), limits=Limits(pixels=64 * 64))


@pytest.mark.parametrize(
    "data",
    [
        segments(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000), 255),
        segments(0xFE, b"comment", 900),
        arithmetic(64),
        exif_segments(directory([(0x010E, 2, 130_000, None), (0x0112, 3, 1, 6)], b"a" * 130_000)),
        saved("jpeg").replace(b"\xff\xdb", b"\xff" * 1_000 + b"\xff\xdb"),
        chunks(chunk(b"tEXt", b"Comment\0text"), 900),
        chunks(chunk(b"IDAT", b""), 100_000),
        comments(5_000),
        strips(9_000, 1, b"\7"),
        strips(9_000, 8, zlib.compress(b"\7")),
        saved("webp") + bytes(1_000_000),
        tiff((320, 3, 3 * 65_536, None), values=bytes(6 * 65_536)),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_what_programs_write_is_read(data: bytes) -> None:
    assert read_image_and_text(data, PixelSpec(16)).pixels.shape == (16, 16)


def test_a_header_behind_other_bytes_is_checked() -> None:
    # Decoders skip bytes between segments; the size is then behind them.
    data = saved("jpeg")
    at = re.search(rb"\xff\xc0", data).start()  # type: ignore[union-attr]
    huge = data[:at] + b"junk" + data[at : at + 5] + b"\xf0\0\xf0\0" + data[at + 9 :]
    with pytest.raises(ImageError, match="pixels"):
        check_codestream(huge, Limits())


@pytest.mark.parametrize(("kind", "size"), [(1, 1), (3, 2), (4, 4), (16, 8)])
@pytest.mark.parametrize("order", "<>")
def test_lengths_of_strips_have_any_width(kind: int, size: int, order: str) -> None:
    # The file is longer than a length of 8 or 16 bits can say.
    name: Literal["little", "big"] = "little" if order == "<" else "big"
    lengths = b"".join((n + 1).to_bytes(size, name) for n in range(100))
    check_directories(directory([(279, kind, 100, None)], lengths.ljust(99_000, b"\0"), order))


def test_a_png_that_ends_within_its_header_is_left_to_the_reader() -> None:
    check_structure(b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIDAT", Format.PNG, Limits(pixels=1 << 32))


def test_directories_that_are_cut_off_are_left_to_the_reader() -> None:
    whole = rationals(1_000)
    for end in range(0, len(whole), 7):
        check_directories(whole[:end])

"""Hostile files: each gives an image or one reason, within limits of memory and time.

They are made here and read in a separate process whose peak of memory is measured.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from test_pixels_dicom import compressed, drawn, encapsulated, header, lut, written

from plainfilm.errors import ImageError
from plainfilm.pixels import Limits, read_full_image, read_image
from plainfilm.pixels.codestream import check_scans
from plainfilm.pixels.limits import Source
from plainfilm.pixels.palette import expand_segments
from plainfilm.records import PixelSpec

ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


def saved(picture: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def tiff(**tags: tuple[int, int, int]) -> bytes:
    """Write a small TIFF whose tags have been exchanged: name=(type, count, value)."""
    numbers = {
        "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262,
        "offset": 273, "samples": 277, "rows": 278, "length": 279, "tile_width": 322,
        "tile_height": 323, "tile_offset": 324, "tile_length": 325,
    }  # fmt: skip
    fields = {
        "width": (4, 1, 8), "height": (4, 1, 8), "bits": (3, 1, 8), "compression": (3, 1, 1),
        "photometric": (3, 1, 1), "offset": (4, 1, 4096), "samples": (3, 1, 1),
        "rows": (4, 1, 8), "length": (4, 1, 64),
    } | tags  # fmt: skip
    body = struct.pack("<H", len(fields))
    for name in sorted(fields, key=numbers.__getitem__):
        kind, count, value = fields[name]
        body += struct.pack("<HHII", numbers[name], kind, count, value)
    data = b"II*\0\x08\0\0\0" + body + bytes(4)
    return data + bytes(4096 - len(data)) + bytes(range(64)) + bytes(1024)


def scans_without_end() -> bytes:
    data = saved(np.full((4000, 4000), 90, np.uint8), "jpeg", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * 20_000 + b"\xff\xd9"


def nested(depth: int, defined: bool) -> bytes:
    """Put sequences into each other, of known or of open length."""
    tag = b"\x08\x00\x15\x11SQ\0\0"
    inner = b""
    if defined:
        for _ in range(depth):
            item = ITEM + struct.pack("<I", len(inner)) + inner
            inner = tag + struct.pack("<I", len(item)) + item
    else:
        inner = (tag + b"\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff") * depth
    data = drawn([1, 2, 3])
    at = data.find(b"\x10\0\x10\0PN")
    return data[:at] + inner + data[at:]


def elements_without_end(count: int) -> bytes:
    data = drawn([1, 2, 3])
    at = data.find(b"\x10\0\x10\0PN")
    many = (struct.pack("<HH2sH", 9 + 2 * (n >> 14), 0x1000 + (n & 0x3FFF), b"LO", 0)
            for n in range(count))  # fmt: skip
    return data[:at] + b"".join(many) + data[at:]


def fragments_without_end(count: int) -> bytes:
    data = encapsulated(compressed("jpeg"), JPEGBaseline8Bit)
    at = data.rfind(END)
    return data[:at] + (ITEM + bytes(4)) * count + data[at:]


def lying_offsets(offsets: list[int]) -> bytes:
    data = encapsulated(compressed("jpeg"), JPEGBaseline8Bit, NumberOfFrames=len(offsets))
    at = data.find(ITEM, data.find(b"\xe0\x7f\x10\0")) + 8
    old = int.from_bytes(data[at - 4 : at], "little")
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    return data[: at - 4] + struct.pack("<I", len(table)) + table + data[at + old :]


def extended_offsets(starts: list[int], lengths: list[int]) -> bytes:
    return encapsulated(
        compressed("jpeg"),
        JPEGBaseline8Bit,
        NumberOfFrames=len(starts),
        ExtendedOffsetTable=struct.pack(f"<{len(starts)}Q", *starts),
        ExtendedOffsetTableLengths=struct.pack(f"<{len(lengths)}Q", *lengths),
    )


def huge_frame(kind: str, syntax: UID) -> bytes:
    """Write a frame that claims more than its header does."""
    if kind == "jpeg2000":
        frame = bytearray(compressed("jpeg2000", no_jp2=True))
        frame[8:16] = b"\0\1\0\0\0\1\0\0"
    elif kind == "jpeg":
        frame = bytearray(compressed("jpeg"))
        at = frame.find(b"\xff\xc0")
        frame[at + 5 : at + 9] = b"\xf0\x00\xf0\x00"
    else:
        frame = bytearray(
            b"\xff\xd8\xff\xf7\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0\xff\xda....\xff\xd9"
        )
    return encapsulated(bytes(frame), syntax)


def bloated(count: int, kind: bytes) -> bytes:
    plain = drawn([1, 2, 3], DeflatedExplicitVRLittleEndian)
    at = 132 + 12 + int.from_bytes(plain[140:144], "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return plain[:at] + squeeze.compress(kind * count) + squeeze.flush()


def palette(segments: list[int], count: int) -> bytes:
    dataset = header(
        1, 4, PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7
    )
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [count, 0, 16])
        packed = np.array(segments, "<u2").tobytes()
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", packed)
    dataset.PixelData = bytes([0, 1, 2, 3])
    dataset["PixelData"].VR = "OB"
    return written(dataset)


def edited(keyword: bytes, vr: bytes, value: bytes) -> bytes:
    """Exchange the value of an element of group 0028 for another of any length."""
    data = drawn(np.arange(9).reshape(3, 3), WindowCenter=4, WindowWidth=9)
    at = data.find(b"\x28\x00" + keyword)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    new = vr + struct.pack("<H", len(value)) + value
    return data[: at + 4] + new + data[at + 8 + length :]


def absurd_lut(descriptor: list[int], data: bytes) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", data)
    return item


def rle(header_words: list[int], body: bytes) -> bytes:
    frame = struct.pack("<16I", *(header_words + [0] * 16)[:16]) + body
    return encapsulated(frame, RLELossless)


REFUSED = {"too-large", "corrupt", "truncated", "unsupported-format", "no-pixels"}
MAKERS: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "png 65000x65000": (lambda: png(65000, 65000, chunk(b"IDAT", b"")), {"too-large"}),
    "png 2^31": (lambda: png((1 << 31) - 1, 1, chunk(b"IDAT", b"")), {"too-large"}),
    "png bomb under the limit": (
        lambda: png(9000, 9000, chunk(b"IDAT", zlib.compress(bytes(9001 * 9000), 9))),
        {"image"},
    ),
    "png with more data than pixels": (
        lambda: png(8, 8, chunk(b"IDAT", zlib.compress(bytes(200_000_000), 9))),
        {"image", "corrupt", "too-large"},
    ),
    "png text bomb": (
        lambda: png(
            8,
            8,
            chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)),
            chunk(b"IDAT", zlib.compress(bytes(72))),
        ),
        {"image", *REFUSED},
    ),
    "png profile bomb": (
        lambda: png(
            8,
            8,
            chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)),
            chunk(b"IDAT", zlib.compress(bytes(72))),
        ),
        {"image", *REFUSED},
    ),
    "png of chunks": (
        lambda: png(8, 8, *[chunk(b"gAMA", bytes(4))] * 2_000_000),
        {"too-large"},
    ),
    "gif claims": (
        lambda: b"GIF89a\x08\0\x08\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0\0;",
        {"too-large"},
    ),
    "bmp height -2^31": (
        lambda: b"BM" + struct.pack("<IIIIii", 0, 0, 54, 40, 8, -(1 << 31)) + bytes(60),
        REFUSED,
    ),
    "bmp width 2^31": (
        lambda: b"BM" + struct.pack("<IIIIiiHH", 0, 0, 54, 40, (1 << 31) - 1, 4, 1, 24) + bytes(60),
        {"too-large"},
    ),
    "webp claims": (
        lambda: (
            b"RIFF"
            + struct.pack("<I", 30)
            + b"WEBPVP8X"
            + struct.pack("<I", 10)
            + b"\0" * 4
            + b"\xff\xff\xff\xff\xff\xff"
            + bytes(20)
        ),
        {"too-large"},
    ),
    "tiff 2^32 - 1": (lambda: tiff(width=(4, 1, 0xFFFFFFFF)), {"too-large"}),
    "tiff rows": (lambda: tiff(rows=(4, 1, 0xFFFFFFFF)), {"image", *REFUSED}),
    "tiff samples": (lambda: tiff(samples=(3, 1, 65535)), REFUSED),
    "tiff bits counted by the billion": (lambda: tiff(bits=(3, 1 << 31, 8)), {"image", *REFUSED}),
    "tiff length": (lambda: tiff(length=(4, 1, 0xFFFFFFFF)), {"image", *REFUSED}),
    "tiff offset": (lambda: tiff(offset=(4, 1, 0xFFFFFFF0)), REFUSED),
    **{
        f"tiff tiles, compression {n}": (
            lambda n=n: tiff(  # type: ignore[misc]
                compression=(3, 1, n),
                tile_width=(4, 1, 1 << 30),
                tile_height=(4, 1, 1 << 30),
                tile_offset=(4, 1, 4096),
                tile_length=(4, 1, 64),
            ),
            {"image", *REFUSED},
        )
        for n in (1, 5, 7, 8, 32773, 50000)
    },
    "jpeg of 20,000 scans": (scans_without_end, {"too-large"}),
    "jpeg of markers": (lambda: b"\xff\xd8" + b"\xff\xe0\0\2" * 3_000_000, {"too-large"}),
    "dicom nested, open": (lambda: nested(100_000, False), REFUSED),
    "dicom nested, defined": (lambda: nested(2000, True), {"image", *REFUSED}),
    "dicom of elements": (lambda: elements_without_end(3_000_000), {"too-large"}),
    "dicom of fragments": (lambda: fragments_without_end(3_000_000), {"too-large"}),
    "dicom deflated bomb": (lambda: bloated(700_000_000, b"\0"), {"too-large"}),
    "dicom deflated items": (lambda: bloated(40_000_000, ITEM + bytes(4)), REFUSED),
    "dicom offsets beyond the end": (lambda: lying_offsets([0xFFFFFFF0]), REFUSED),
    "dicom offsets backwards": (lambda: lying_offsets([400, 0, 8]), {"image", *REFUSED}),
    "dicom offsets within": (lambda: lying_offsets([13]), REFUSED),
    "dicom extended offsets beyond": (lambda: extended_offsets([1 << 63], [1 << 62]), REFUSED),
    "dicom extended lengths beyond": (
        lambda: extended_offsets([0], [1 << 62]),
        {"image", *REFUSED},
    ),
    "dicom jpeg claims": (lambda: huge_frame("jpeg", JPEGBaseline8Bit), {"too-large"}),
    "dicom jpeg 2000 claims": (lambda: huge_frame("jpeg2000", JPEG2000Lossless), {"too-large"}),
    "dicom jpeg-ls claims": (lambda: huge_frame("jpegls", JPEGLSLossless), {"too-large"}),
    "dicom rle segments": (lambda: rle([0xFFFFFFFF], b""), REFUSED),
    "dicom rle offsets": (lambda: rle([1, 0xFFFFFFF0], b"\0"), REFUSED),
    "dicom rle runs": (lambda: rle([1, 64], b"\x81\0" * 4_000_000), {"image", *REFUSED}),
    "dicom no rows": (lambda: edited(b"\x10\0", b"US", bytes(2)), {"corrupt"}),
    "dicom negative rows": (lambda: edited(b"\x10\0", b"SS", b"\xff\xff"), REFUSED),
    "dicom several rows": (lambda: edited(b"\x10\0", b"US", b"\3\0\3\0"), {"no-pixels"}),
    "dicom rows in words": (lambda: edited(b"\x10\0", b"LO", b"many"), {"no-pixels"}),
    # The length of the pixel data shows how many there are.
    "dicom bits 0": (lambda: edited(b"\0\1", b"US", bytes(2)), {"image"}),
    "dicom bits 65535": (lambda: edited(b"\0\1", b"US", b"\xff\xff"), {"image"}),
    "dicom bits 13": (lambda: edited(b"\0\1", b"US", b"\x0d\0"), {"image"}),
    "dicom samples 65535": (lambda: edited(b"\2\0", b"US", b"\xff\xff"), REFUSED),
    "dicom window nan": (lambda: edited(b"\x50\x10", b"DS", b"nan "), {"image"}),
    "dicom window infinite": (lambda: edited(b"\x51\x10", b"DS", b"inf "), {"image"}),
    "dicom window 1e308": (lambda: edited(b"\x51\x10", b"DS", b"1e308 "), {"image"}),
    "dicom window 1e-308": (lambda: edited(b"\x51\x10", b"DS", b"1e-308"), {"image"}),
    "dicom slope 1e308": (
        lambda: drawn([1, 2], RescaleSlope="1e308", RescaleIntercept="-1e308"),
        {"image"},
    ),
    "dicom frames 2^31": (lambda: drawn([1, 2], NumberOfFrames=2**31 - 1), {"too-many-frames"}),
    "dicom frames -2": (lambda: drawn([1, 2], NumberOfFrames=-2), {"image", "corrupt"}),
    "dicom 10,000 frames, one there": (lambda: drawn([1, 2], NumberOfFrames=10_000), {"image"}),
    "dicom lut without entries": (
        lambda: drawn([1, 2], VOILUTSequence=Sequence([absurd_lut([0, 0, 16], b"")])),
        REFUSED,
    ),
    "dicom lut of 65536 that has one": (
        lambda: drawn([1, 2], VOILUTSequence=Sequence([absurd_lut([0, 65535, 65535], b"\1\0")])),
        {"image"},
    ),
    "dicom lut larger than said": (
        lambda: drawn([1, 2], ModalityLUTSequence=Sequence([absurd_lut([2, 0, 8], bytes(60000))])),
        {"image"},
    ),
    "dicom modality lut in a palette": (
        lambda: drawn([1, 2], ImplicitVRLittleEndian, ModalityLUTSequence=lut([9], 0, 8)),
        {"image"},
    ),
    "palette of linear segments": (
        lambda: palette([0, 1, 0] + [1, 65535, 65535, 1, 65535, 0] * 5000, 0),
        {"image"},
    ),
    "palette that refers to itself": (
        lambda: palette([0, 2, 7, 9, 2, 65535, 8, 0] + [2, 65535, 8, 0] * 5000, 0),
        {"corrupt"},
    ),
    "palette that ends early": (lambda: palette([0, 4, 1, 2], 4), {"corrupt"}),
}

SLOW = (
    "dicom of elements",
    "dicom deflated items",
    "dicom deflated bomb",
    "jpeg of markers",
    "png of chunks",
)

SWEEP = """
import json, re, sys, time, warnings
warnings.simplefilter("error")
from plainfilm.errors import ImageError
from plainfilm.pixels import read_image, read_image_and_text
from plainfilm.records import PixelSpec
import plainfilm.pixels.dicom
def peak():
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1])
for line in sys.stdin:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before, start, outcomes = peak(), time.process_time(), []
    for reader in (read_image, read_image_and_text):
        try:
            assert reader(line.rstrip("\\n"), PixelSpec(64)).pixels.shape == (64, 64)
            outcomes.append("image")
        except ImageError as error:
            outcomes.append(error.reason)
    print(json.dumps([outcomes, peak() - before, time.process_time() - start]), flush=True)
"""

linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux reports the peak of memory"
)


def sweep(folder: Path, names: Iterable[str]) -> dict[str, tuple[list[str], int, float, int]]:
    """Read files in one process; its peak of memory is measured for each."""
    files = {name: MAKERS[name][0]() for name in names}
    for number, data in enumerate(files.values()):
        (folder / str(number)).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", SWEEP],
        input="\n".join(str(folder / str(number)) for number in range(len(files))),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr[-2000:]
    lines = map(json.loads, done.stdout.splitlines())
    return {
        name: (*line, len(data)) for (name, data), line in zip(files.items(), lines, strict=True)
    }


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], int, float, int]]:
    return sweep(tmp_path_factory.mktemp("hostile"), (n for n in MAKERS if n not in SLOW))


def check(name: str, found: tuple[list[str], int, float, int]) -> None:
    outcomes, memory, seconds, size = found
    assert outcomes[0] in MAKERS[name][1] and outcomes[1] == outcomes[0]
    # What the largest pictures take of 8 bits, and in proportion to the file, which has 8 bytes
    # where a library makes an object. A deflated file may inflate to 512 MiB.
    allowed = 1.4e9 if "deflated" in name else 4e8 + 60 * size
    assert memory < allowed, f"{memory / 1e6:.0f} MB for {size / 1e6:.1f} MB"
    assert seconds < 60


@linux
@pytest.mark.parametrize("name", [name for name in MAKERS if name not in SLOW])
def test_each_ends_within_bounds(
    name: str, swept: dict[str, tuple[list[str], int, float, int]]
) -> None:
    check(name, swept[name])


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_each_of_the_large_ones_ends_within_bounds(name: str, tmp_path: Path) -> None:
    check(name, sweep(tmp_path, [name])[name])


def test_scans_are_counted_where_they_are_decoded() -> None:
    data = saved(np.full((64, 64), 90, np.uint8), "jpeg", progressive=True)
    limits = Limits(pixels=64 * 64)
    assert read_image(data, PixelSpec(16), limits=limits).pixels.shape == (16, 16)
    last = data[data.rfind(b"\xff\xda") : -2]
    many = data[:-2] + last * 30 + b"\xff\xd9"
    with pytest.raises(ImageError) as caught:
        read_image(many, PixelSpec(16), limits=limits)
    assert caught.value.reason == "too-large" and "scans" in caught.value.problem
    with pytest.raises(ImageError):
        read_image(encapsulated(many, JPEGBaseline8Bit, Rows=64, Columns=64), PixelSpec(16),
                   limits=limits)  # fmt: skip
    # A plain JPEG has one scan; other markers of a scan are in its metadata.
    plain = saved(np.full((64, 64), 90, np.uint8), "jpeg", comment=b"\xff\xda" * 400)
    check_scans(plain, 64, 64, limits)
    assert read_image(plain, PixelSpec(16), limits=limits).metadata["progressive"] == 0


def test_segmented_palettes_by_hand() -> None:
    # PS3.3 C.7.9.2: three values, a ramp of four up to 20, the ramp's segment once more.
    words = np.array([0, 3, 1, 2, 4, 1, 4, 20, 2, 1, 10, 0], np.uint16)
    assert expand_segments(words, 11, True).tolist() == [1, 2, 4, 8, 12, 16, 20, 20, 20, 20, 20]
    narrow = np.array([0, 3, 1, 2, 4, 1, 4, 20, 2, 1, 5, 0, 0, 0], np.uint16)
    assert expand_segments(narrow, 11, False).tolist() == [1, 2, 4, 8, 12, 16, 20, 20, 20, 20, 20]
    image = read_full_image(palette([0, 2, 0, 0x8000, 1, 2, 0xFF00], 4))
    assert image.pixels.ravel().tolist() == [0, 128, 191, 255]


def test_a_palette_of_many_entries_of_8_bits() -> None:
    # 300 entries, more than 8 bits can count; and the picture's own maximum does not scale it.
    dataset = header(1, 3, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [300, 10, 8])
        packed = (np.arange(300) // 2).astype(np.uint8).tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", packed)
    dataset.PixelData = np.array([0, 110, 309], "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    assert read_full_image(written(dataset)).pixels.tolist() == [[0, 50, 149]]


def test_reading_a_radiograph_is_far_from_the_limit_of_reads() -> None:
    source = Source(drawn(np.zeros((50, 50)), VOILUTSequence=lut([0, 1, 2], 0, 12)))
    before = source.left
    pydicom.dcmread(source)
    assert before - source.left < 500


def test_hostile_files_are_rejected_at_once() -> None:
    """A file is rejected by its header, without reading the rest."""
    start = time.process_time()
    for name in ("png 65000x65000", "gif claims", "webp claims", "dicom frames 2^31"):
        with pytest.raises(ImageError):
            read_image(MAKERS[name][0](), PixelSpec(16))
    assert time.process_time() - start < 1

"""DICOM files that are within the limits of bytes, pixels and frames, and have too many parts.

Each kind took minutes or gigabytes where its parts were not counted. Limits that need a large file
are lowered, and every limit is far from what the largest legal file needs.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from test_pixels_dicom import compressed, drawn, encapsulated, header, written

from plainfilm.errors import ImageError
from plainfilm.pixels import element_reader, pixel_data, read_full_image
from plainfilm.pixels.elements import items
from plainfilm.pixels.identity import read_identity
from plainfilm.pixels.jpeg_2000 import check_jpeg_2000
from plainfilm.pixels.rle import decode_rle
from plainfilm.pixels.used_elements import USED, element

ITEM, END, OPEN = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xff\xff\xff\xff"
END_OF_ITEM = b"\xfe\xff\x0d\xe0\0\0\0\0"
FRAMES, VOI_LUTS = (0x5200, 0x9230), (0x0028, 0x3010)


def value(tag: tuple[int, int], vr: bytes, content: bytes, *, open_: bool = False) -> bytes:
    """Write an element in explicit VR little endian."""
    content += b"\0" * (len(content) % 2)
    if vr in (b"SQ", b"OB", b"OW", b"UN"):
        length = OPEN if open_ else struct.pack("<I", len(content))
        return struct.pack("<HH2sH", *tag, vr, 0) + length + content
    return struct.pack("<HH2sH", *tag, vr, len(content)) + content


def item(content: bytes) -> bytes:
    return ITEM + struct.pack("<I", len(content)) + content


def open_item(content: bytes) -> bytes:
    return ITEM + OPEN + content + END_OF_ITEM


def with_elements(more: bytes, **elements: object) -> bytes:
    """Write a small image with further bytes before its pixels."""
    data = drawn(np.arange(64 * 64).reshape(64, 64), **elements)
    at = data.rfind(b"\xe0\x7f\x10\0")
    return data[:at] + more + data[at:]


def implicit(tag: tuple[int, int], content: bytes) -> bytes:
    """Write a small image in implicit VR, where a value may be of any length."""
    data = drawn(np.arange(64 * 64).reshape(64, 64), ImplicitVRLittleEndian)
    at = data.rfind(b"\xe0\x7f\x10\0")
    return data[:at] + struct.pack("<HHI", *tag, len(content)) + content + data[at:]


def reason(data: bytes) -> tuple[str, str]:
    try:
        read_full_image(data)
    except ImageError as error:
        return error.reason, error.problem
    return "image", ""


@pytest.mark.parametrize(
    ("tag", "one"),
    [
        ((0x0028, 0x1050), b"1\\"),
        ((0x0028, 0x0008), b"1\\"),
        ((0x0020, 0x0020), b"A\\"),
        ((0x0028, 0x0120), b"\1\0"),
        ((0x0008, 0x0060), b"A\\"),
        ((0x0008, 0x0005), b"a\\"),
        ((0x0010, 0x0010), b"A^"),
        ((0x0010, 0x1010), b"  "),
    ],
)
def test_a_used_value_is_short(tag: tuple[int, int], one: bytes) -> None:
    found, problem = reason(implicit(tag, one * 40_000))
    keyword = pydicom.datadict.keyword_for_tag(tag)
    assert found == "too-large" and keyword in problem


def test_an_unused_value_has_any_length() -> None:
    assert reason(with_elements(value((0x0029, 0x1001), b"OB", bytes(3_000_000)))) == ("image", "")


def test_only_listed_elements_are_read() -> None:
    with pytest.raises(LookupError):
        element(Dataset(), "StudyDate")
    assert all(pydicom.datadict.tag_for_keyword(keyword) for keyword in USED)


EMPTY = value((0x0029, 0x1001), b"LO", b"")
UNDEFINED = struct.pack("<HH2sH", 0x29, 0x1001, b"OB", 0) + OPEN
PARTS = {
    "elements": EMPTY * 900,
    "used elements": value((0x0028, 0x1050), b"DS", b"1 ") * 300,
    "creators": b"".join(value((0x0029, 0x10 + n), b"LO", b"X") for n in range(230)) * 4,
    "values of undefined length": (UNDEFINED + item(b"") + END) * 300,
    "values that end at a delimiter": (UNDEFINED + b"none" + END) * 300,
    "items of undefined length": value(FRAMES, b"SQ", open_item(b"") * 900 + END, open_=True),
    "items": value(VOI_LUTS, b"SQ", item(b"") * 900),
    "elements of an item": value(VOI_LUTS, b"SQ", item(EMPTY * 900)),
    "character sets of items": value(
        VOI_LUTS, b"SQ", b"".join(item(value((8, 5), b"CS", b"x%05d" % n)) for n in range(99))
    ),
    "elements of the meta header": b"",
}


@pytest.mark.parametrize("kind", PARTS)
def test_parts_are_counted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_elements(PARTS[kind])
    if kind == "elements of the meta header":
        data = data[:132] + value((2, 0x12), b"UI", b"") * 900 + data[132:]
    monkeypatch.setattr(element_reader, "_PARTS", 800)
    found, problem = reason(data)
    assert found == "too-large" and "800 DICOM elements" in problem


def test_items_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(element_reader, "_ITEMS", 50)
    data = with_elements(value(FRAMES, b"SQ", item(b"") * 51))
    assert reason(data) == ("too-large", "the file has more than 50 items in a DICOM sequence")


@pytest.mark.parametrize(("depth", "expected"), [(30, "image"), (80, "too-large")])
def test_nesting_is_limited(depth: int, expected: str) -> None:
    inner = b""
    for _ in range(depth):
        inner = value(FRAMES, b"SQ", open_item(inner) + END, open_=True)
    assert reason(with_elements(inner))[0] == expected


def frames(count: int, *, open_: bool) -> bytes:
    """Write a legal enhanced file; the window of each frame is as wide as its number."""
    wrap = open_item if open_ else item
    groups = b"".join(
        wrap(
            value(
                (0x0028, 0x9132),
                b"SQ",
                wrap(
                    value((0x0028, 0x1050), b"DS", b"2000")
                    + value((0x0028, 0x1051), b"DS", b"%d" % (4000 + number))
                )
                + (END if open_ else b""),
                open_=open_,
            )
            + EMPTY * 5
        )
        for number in range(count)
    )
    more = value(FRAMES, b"SQ", groups + (END if open_ else b""), open_=open_)
    one = np.arange(64 * 64, dtype="<u2")
    data = with_elements(more, NumberOfFrames=count)
    return data + one.tobytes() * 2


@pytest.mark.parametrize("open_", [False, True])
def test_an_enhanced_file_of_10_000_frames_is_read(open_: bool) -> None:
    data = frames(10_000, open_=open_)
    assert read_full_image(data, frame=1).metadata["window"] == "LINEAR 2000/4001"
    assert read_full_image(data, frame=2).metadata["window"] == "LINEAR 2000/4002"


@pytest.mark.parametrize("what", ["windows", "lookup tables"])
def test_windows_are_counted(what: str) -> None:
    if what == "windows":
        data = drawn([1, 2, 3], WindowCenter=[1] * 300, WindowWidth=[1] * 300)
    else:
        table = value((0x0028, 0x3002), b"US", struct.pack("<HHH", 2, 0, 8))
        table += value((0x0028, 0x3006), b"OW", b"\0\1")
        data = with_elements(value(VOI_LUTS, b"SQ", item(table) * 300))
    assert reason(data) == ("too-large", f"the file has more than 256 {what}")


def test_a_damaged_sign_does_not_hide_a_sequence() -> None:
    data = with_elements(value(VOI_LUTS, b"SQ", item(EMPTY)))
    at = data.rfind(b"\x28\0\3\1US")
    found = pydicom.dcmread(io.BytesIO(data[: at + 4] + b"Uk" + data[at + 6 :]))
    assert len(items(found, "VOILUTSequence")) == 1


def test_fragments_and_offsets_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encapsulated(compressed("jpeg"), JPEGBaseline8Bit)
    at = whole.rfind(END[:4])
    many = whole[:at] + item(b"") * 250_001 + whole[at:]
    assert reason(many)[1] == "the file has more than 250,000 fragments of pixel data"
    table = whole.find(ITEM, whole.rfind(b"\xe0\x7f\x10\0"))
    # An offset table that points behind the first fragment hides the others from a walk.
    length = int.from_bytes(whole[table + 4 : table + 8], "little")
    offsets = struct.pack("<II", 0, len(many) - table - 32)
    hidden = many[:table] + item(offsets) + many[table + 8 + length :]
    assert reason(hidden)[0] == "too-large"
    monkeypatch.setattr(pixel_data, "_OFFSETS", 100)
    offsets = whole[:table] + item(bytes(404)) + whole[table + 8 + length :]
    assert reason(offsets)[1] == "the file has more than 100 offsets of fragments"


@pytest.mark.parametrize("segments", [[0, 0] * 70_000, [0, 1, 5] + [2, 65535, 0, 0] * 20_000])
def test_a_palette_of_segments_without_entries_ends(segments: list[int]) -> None:
    # The second one refers to its first segment, 65,535 x 20,000 times.
    dataset = header(
        1, 4, PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7
    )
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [0, 0, 16])
        packed = np.array(segments + [0, 0] * 65_535, "<u2").tobytes()
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", packed)
    dataset.PixelData = bytes(4)
    dataset["PixelData"].VR = "OB"
    assert reason(written(dataset))[0] in ("corrupt", "image")


def run_lengths(starts: list[int], body: bytes, count: int | None = None) -> bytes:
    numbers = [len(starts) if count is None else count, *starts, *[0] * 16]
    return struct.pack("<16I", *numbers[:16]) + body


def test_run_lengths_by_hand() -> None:
    # A run of three, three literals over the end of a row, no operation, and padding.
    body = b"\xfe\x07" + b"\x02\x01\x02\x03" + b"\x80\0"
    assert decode_rle(run_lengths([64], body), 6, 1, 8) == bytes([7, 7, 7, 1, 2, 3])
    # The higher byte comes first, and colours follow each other.
    two = run_lengths([64, 66], b"\xff\x01\xff\x02")
    assert decode_rle(two, 2, 1, 16) == b"\2\1\2\1"
    assert decode_rle(two, 2, 2, 8) == b"\1\1\2\2"


@pytest.mark.parametrize(
    "packed",
    [
        run_lengths([64], b"\xfe\x07"),  # too few
        run_lengths([64, 64], b"\xfe\x07" * 9),
        run_lengths([70, 64], b"\xfe\x07" * 9),
        run_lengths([64], b"\xfe\x07" * 9, count=40),
        b"",
    ],
)
def test_run_lengths_that_do_not_fit_are_corrupt(packed: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode_rle(packed, 6, 1, 16 if packed[:1] == b"\2" else 8)
    assert caught.value.reason == "corrupt"


def test_run_lengths_beyond_the_pixels_are_not_expanded() -> None:
    data = encapsulated(run_lengths([64], b"\x81\0" * 8_000_000), RLELossless)  # a gigabyte
    assert reason(data)[0] in ("image", "corrupt")


def test_a_deflated_file_is_inflated_within_the_limit_only() -> None:
    plain = drawn([1, 2, 3], DeflatedExplicitVRLittleEndian)
    at = 132 + 12 + int.from_bytes(plain[140:144], "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(100)) + squeeze.flush()
    # Without preamble, or inside a deflated file: pydicom would inflate it.
    assert reason(plain[132:at] + bomb)[0] in ("no-pixels", "corrupt")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    assert reason(plain[:at] + squeeze.compress(plain[:at] + bomb) + squeeze.flush())[0] in (
        "no-pixels",
        "corrupt",
    )


def jpeg_2000(side: int = 64, **options: object) -> bytearray:
    file = io.BytesIO()
    picture = Pillow.fromarray(np.zeros((side, side), np.uint8))
    picture.save(file, "JPEG2000", no_jp2=True, **options)
    return bytearray(file.getvalue())


def enlarged(side: int, tile: int, layers: int = 1, precinct: int | None = None) -> bytes:
    """Claim a size, layers and precincts in the header of a small frame."""
    frame = jpeg_2000()
    frame[8:16] = struct.pack(">II", side, side)
    frame[24:32] = struct.pack(">II", tile, tile)
    at = frame.find(b"\xff\x52")
    frame[at + 6 : at + 8] = struct.pack(">H", layers)
    if precinct is not None:
        levels = frame[at + 9]
        frame[at + 4] |= 1
        frame[at + 2 : at + 4] = struct.pack(">H", 13 + levels)
        frame[at + 14 : at + 14] = bytes([precinct] * (levels + 1))
    return bytes(frame)


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (enlarged(7000, 7000), ""),
        (enlarged(7000, 1000, layers=50), ""),
        (enlarged(7000, 7000, precinct=0x88), ""),
        (enlarged(7000, 7000, precinct=0x11), "parts of a JPEG 2000 frame"),
        (enlarged(7000, 28, layers=65535), "packets of a JPEG 2000 frame"),
        (enlarged(60000, 1), "parts of a JPEG 2000 frame"),
        (enlarged(7000, 0), "damaged"),
    ],
)
def test_parts_of_jpeg_2000_are_counted(frame: bytes, problem: str) -> None:
    if not problem:
        check_jpeg_2000(frame)
        return
    with pytest.raises(ImageError, match=problem):
        check_jpeg_2000(frame)
    data = encapsulated(frame, JPEG2000Lossless, Rows=7000, Columns=7000)
    assert reason(data)[0] in ("too-large", "corrupt")


def test_a_jpeg_2000_frame_in_boxes_is_checked_where_it_is_decoded() -> None:
    file = io.BytesIO()
    Pillow.fromarray(np.zeros((64, 64), np.uint8)).save(file, "JPEG2000")
    boxed = file.getvalue()
    check_jpeg_2000(boxed)
    first = boxed[:12]
    decoy = struct.pack(">I4s", 60, b"free") + bytes(jpeg_2000()[:52])
    with pytest.raises(ImageError) as caught:
        check_jpeg_2000(first + decoy + boxed[12:])
    assert caught.value.reason == "corrupt"


def test_segments_of_a_jpeg_frame_are_counted() -> None:
    frame = compressed("jpeg")
    exif = b"\xff\xe1\0\x10Exif\0\0" + bytes(8)
    data = encapsulated(frame[:2] + exif * 200 + frame[2:], JPEGBaseline8Bit)
    assert reason(data) == ("too-large", "the file has more than 64 EXIF segments")


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "file.dcm"
    path.write_bytes(data)
    return path


def test_identities_have_the_same_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = drawn([1, 2, 3], ImplicitVRLittleEndian, PatientID="4711")
    found = read_identity(saved(tmp_path, data), "a.dcm")
    assert found is not None and found.patient == "4711"
    at = data.find(b"\x10\0\x20\0")
    long = data[:at] + struct.pack("<HHI", 0x10, 0x10, 1 << 20) + b"A^" * (1 << 19) + data[at:]
    found = read_identity(saved(tmp_path, long), "a.dcm")
    assert found is not None and found.patient == found.person == ""
    monkeypatch.setattr(element_reader, "_PARTS", 800)
    many = data[:at] + struct.pack("<HHI", 0x10, 0x1000, 0) * 900 + data[at:]
    found = read_identity(saved(tmp_path, many), "a.dcm")
    assert found is not None and found.patient == ""


def test_a_radiograph_is_far_from_the_limits() -> None:
    data = drawn(np.zeros((50, 50)), UID("1.2.840.10008.1.2.1"), WindowCenter=[4, 5])
    reader = element_reader.Reader(io.BytesIO(data[132:]))
    reader.data_set(element_reader.Encoding(False, True))
    assert element_reader._PARTS - reader.left < 200


def test_a_sequence_is_no_identifier(tmp_path: Path) -> None:
    """Each level has two items: converted as a whole and printed, they would fill the memory."""
    inner = b""
    for _ in range(12):
        inner = value((0x0010, 0x0020), b"SQ", item(inner) * 2)
    data = drawn([1, 2, 3], PatientID="4711")
    at = data.find(b"\x10\0\x20\0")
    end = at + 8 + data[at + 6]
    found = read_identity(saved(tmp_path, data[:end] + inner + data[end:]), "a.dcm")
    assert found is not None and found.patient == "4711"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_has_no_identity(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    assert read_identity(tmp_path / "pipe.dcm", "pipe.dcm") is None

"""TIFF files that Pillow reads wrongly or gives a wrong reason for, and bare codestreams."""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np
import pytest
from PIL import Image as Pillow
from test_pixels_raster import reason, saved, scene

from plainfilm.pixels import read_full_image

HEIGHT, WIDTH = 48, 40
RAMP = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)


def tiff(
    chunks: list[bytes],
    bits: int,
    order: Literal["<", ">"] = "<",
    tile: int = 0,
    samples: int = 1,
    **tags: int,
) -> bytes:
    """Write a TIFF of 48 x 40 pixels in one strip, or in square tiles."""
    body, offsets = b"", []
    for chunk in chunks:
        offsets.append(8 + len(body))
        body += chunk + b"\0" * (len(chunk) % 2)
    sizes = [len(chunk) for chunk in chunks]
    known = {"photometric": 262, "format": 339, "planar": 284, "extra": 338, "compression": 259}
    entries: dict[int, list[int]] = {256: [WIDTH], 257: [HEIGHT], 258: [bits] * samples}
    entries |= {277: [samples], 262: [1], 259: [1]}
    entries |= {324: offsets, 325: sizes, 322: [tile], 323: [tile]} if tile else {}
    entries |= {} if tile else {273: offsets, 279: sizes, 278: [HEIGHT]}
    for name, value in tags.items():
        entries[known[name]] = [value] * (samples if name == "format" else 1)
    at = 8 + len(body) + 2 + 12 * len(entries) + 4
    directory, extra = struct.pack(f"{order}H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > 4:
            place, extra = struct.pack(f"{order}I", at + len(extra)), extra + packed
        else:
            place = packed
        directory += struct.pack(f"{order}HHI", tag, 4, len(values)) + place
    mark = b"II" if order == "<" else b"MM"
    start = mark + struct.pack(f"{order}HI", 42, 8 + len(body))
    return start + body + directory + bytes(4) + extra


def strip(values: np.ndarray, kind: str, **tags: int) -> bytes:
    array = values.astype(kind)
    order: Literal["<", ">"] = ">" if kind[0] == ">" else "<"
    samples = array.shape[2] if array.ndim == 3 else 1
    return tiff([array.tobytes()], 8 * array.itemsize, order, samples=samples, **tags)


@pytest.mark.parametrize("photometric", [0, 1])
def test_signed_samples_of_8_bits_do_not_wrap(photometric: int) -> None:
    values = RAMP % 256 - 128
    image = read_full_image(strip(values, "i1", format=2, photometric=photometric))
    right = values + 128 if photometric else 127 - values
    np.testing.assert_array_equal(image.pixels, right)
    assert image.metadata["window"] == "-128..127" and image.metadata["bits"] == 8
    positive = read_full_image(strip(RAMP % 128, "i1", format=2))
    np.testing.assert_array_equal(positive.pixels, RAMP % 128)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_unsigned_samples_of_32_bits(order: str, photometric: int) -> None:
    for scale in (1, 34, 1_000_000, 2_200_000):
        values = RAMP * scale
        tags = {"format": 1, "photometric": photometric}
        image = read_full_image(strip(values, f"{order}u4", **tags))
        top = 2047 if scale == 1 else 65535 if scale == 34 else values.max()
        right = np.rint(values * (255 / top))
        off = np.abs(image.pixels - (right if photometric else 255 - right))
        assert off.max() <= (scale == 34), scale
        assert image.metadata["bits"] == 32


@pytest.mark.parametrize(
    "data",
    [
        strip(np.dstack([RAMP % 256] * 2), "u1", extra=1),
        strip(np.dstack([RAMP % 256] * 3), "u1", photometric=8),
        strip(np.dstack([RAMP] * 3), "<u2", photometric=2, planar=2),
        strip(RAMP, "<f8", format=3),
        b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\x08\1\1" + bytes(99),
        b"\xff\xd8\xff\xc3\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\x08\1\1" + bytes(99),
        b"\xff\xd8\xff\xc9\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\x08\1\1" + bytes(99),
    ],
    ids=["premultiplied", "lab", "planes", "double", "jpeg-ls", "lossless", "arithmetic"],
)
def test_a_variant_that_is_not_read_is_no_damage(data: bytes) -> None:
    assert reason(data) == "unsupported-format"


def test_data_that_are_whole_are_not_truncated() -> None:
    # Subsampled colour: a block of 2 x 2 pixels has six samples, which Pillow does not expect.
    blocks = [bytes(32 * 32 * 3 // 2)] * 4
    whole = tiff(blocks, 8, tile=32, samples=3, photometric=6)
    assert reason(whole) == "unsupported-format"
    grey = tiff([bytes(32 * 32)] * 4, 8, tile=32)
    assert read_full_image(grey).pixels.shape == (HEIGHT, WIDTH)
    assert reason(strip(RAMP % 256, "u1")[:1500]) in ("truncated", "corrupt")
    assert reason(tiff([bytes(600)], 8)) == "truncated"
    assert reason(tiff([b"\0" * 600], 8, compression=8)) == "corrupt"


def test_other_tiffs_are_as_before() -> None:
    for picture in (scene(), scene().astype(np.uint16) * 200, scene().astype(np.int32) - 99):
        image = read_full_image(saved(Pillow.fromarray(picture), "tiff"))
        assert "corrected" not in image.metadata and image.pixels.any()

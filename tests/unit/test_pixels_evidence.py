"""DICOM files whose header contradicts their data: the data decide, and the metadata say so."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from test_pixels_dicom import drawn, header, refusal, written
from test_pixels_golden import encoded, needs_dcmtk

from plainfilm.pixels import Image, read_full_image
from plainfilm.pixels.identity import read_identity

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def film(top: int = 4095, rows: int = 60, columns: int = 80) -> np.ndarray:
    """Draw a smooth picture of many values, from 0 to ``top``."""
    y, x = np.mgrid[0:rows, 0:columns] / np.array([rows - 1, columns - 1]).reshape(2, 1, 1)
    return np.rint(top * (0.7 * x + 0.3 * y * y)).astype(int)


def labelled(data: bytes, syntax: str) -> bytes:
    """Return a bare data set behind a meta header that states ``syntax``."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = b"\2\0\x10\0UI" + len(value).to_bytes(2, "little") + value
    length = b"\2\0\0\0UL\4\0" + len(meta).to_bytes(4, "little")
    return bytes(128) + b"DICM" + length + meta + data


def packed(picture: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def with_frames(value: bytes, syntax: UID, undefined: bool = True, **elements: Any) -> bytes:
    """Return a file of one frame, 60 x 80, with ``value`` as its pixel data."""
    dataset = header(60, 80, **elements)
    dataset.PixelData = value + b"\0" * (len(value) % 2)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = undefined
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True)
    return labelled(file.getvalue(), syntax)


def corrected(image: Image) -> set[str]:
    return {*str(image.metadata.get("corrected", "")).split()}


# -- the encoding of the data set


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 100, "WindowWidth": 200}])
@pytest.mark.parametrize("stated", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("actual", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_stated_and_actual_value_representations(
    stated: UID, actual: UID, window: dict[str, int], bits: int
) -> None:
    elements = {"BitsAllocated": bits, "BitsStored": 8, "HighBit": 7, **window}
    right = drawn(film(255), actual, **elements)
    image = read_full_image(labelled(drawn(film(255), actual, bare=True, **elements), stated))
    np.testing.assert_array_equal(image.pixels, read_full_image(right).pixels)
    assert corrected(image) == (set() if stated == actual else {"vr"})


@pytest.mark.parametrize(
    ("stated", "actual"),
    [
        (ExplicitVRBigEndian, ExplicitVRLittleEndian),
        (ExplicitVRBigEndian, ImplicitVRLittleEndian),
        (ExplicitVRLittleEndian, ExplicitVRBigEndian),
        (ImplicitVRLittleEndian, ExplicitVRBigEndian),
    ],
)
def test_stated_and_actual_byte_order(stated: UID, actual: UID) -> None:
    right = read_full_image(drawn(film(), actual, **WINDOW))
    image = read_full_image(labelled(drawn(film(), actual, bare=True, **WINDOW), stated))
    np.testing.assert_array_equal(image.pixels, right.pixels)
    assert "byte-order" in corrected(image) and not corrected(right)
    assert image.metadata["modality"] == "CR"


def test_an_incomplete_file_with_a_wrong_syntax_is_still_truncated() -> None:
    whole = labelled(drawn(film(), ImplicitVRLittleEndian, bare=True), ExplicitVRLittleEndian)
    assert refusal(whole[:-100]).reason == "truncated"


@pytest.mark.parametrize("syntax", ["1.2.3.4.5", "1.2.840.113619.5.2", "1.2.840.10008.1.9999"])
def test_an_unknown_transfer_syntax_is_an_unsupported_format(syntax: str) -> None:
    error = refusal(labelled(drawn(film(), bare=True), syntax))
    assert error.reason == "unsupported-format" and syntax not in str(error)


# -- compression

JPEG = packed(film(255).astype(np.uint8), "jpeg", quality=95)
WAVELET = packed(film(255).astype(np.uint8), "jpeg2000", no_jp2=True)


@pytest.mark.parametrize("frame", [JPEG, WAVELET], ids=["jpeg", "jpeg 2000"])
@pytest.mark.parametrize(
    "stated",
    [ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless, RLELossless],
)
@pytest.mark.parametrize("bare", [False, True])
def test_a_frame_is_decoded_as_what_it_is(frame: bytes, stated: UID, bare: bool) -> None:
    value = frame if bare else encapsulate([frame])
    image = read_full_image(with_frames(value, stated, not bare, **EIGHT))
    kind, right = ("JPEG", JPEGBaseline8Bit) if frame == JPEG else ("JPEG2000", JPEG2000Lossless)
    expected = np.asarray(Pillow.open(io.BytesIO(frame), formats=[kind])).astype(float)
    low, high = expected.min(), expected.max()
    stretched = np.rint((expected - low) * 255 / (high - low))
    np.testing.assert_array_equal(image.pixels, stretched)
    assert corrected(image) == (set() if stated == right else {"compression"})


@pytest.mark.parametrize("items", [False, True])
@pytest.mark.parametrize("stated", [JPEGBaseline8Bit, JPEGLSLossless, RLELossless])
def test_uncompressed_data_under_a_compression(stated: UID, items: bool) -> None:
    raw = film(255).astype(np.uint8).tobytes()
    image = read_full_image(
        with_frames(encapsulate([raw]) if items else raw, stated, items, **EIGHT)
    )
    np.testing.assert_array_equal(image.pixels, film(255))
    assert corrected(image) == {"compression"}


@pytest.mark.parametrize("stated", [ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1])
def test_run_lengths_under_another_compression(stated: UID) -> None:
    dataset = dcmread(io.BytesIO(drawn(film(), **WINDOW)))
    dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    right = written(dataset, RLELossless)
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True)
    image = read_full_image(labelled(file.getvalue()[file.getvalue().find(b"\x08\0") :], stated))
    np.testing.assert_array_equal(image.pixels, read_full_image(right).pixels)
    assert corrected(image) == {"compression"}


def test_compressed_bytes_of_no_known_kind_are_not_shown() -> None:
    data = with_frames(encapsulate([b"nothing" * 9]), ExplicitVRLittleEndian)
    assert refusal(data).reason == "unsupported-format"


@pytest.mark.parametrize("stored", [12, 16])
@pytest.mark.parametrize("window", [{}, WINDOW])
def test_jpeg_of_8_bits_under_a_header_of_more(stored: int, window: dict[str, int]) -> None:
    elements = {"BitsStored": stored, "HighBit": stored - 1, **window}
    image = read_full_image(with_frames(encapsulate([JPEG]), JPEGBaseline8Bit, **elements))
    right = read_full_image(with_frames(encapsulate([JPEG]), JPEGBaseline8Bit, **EIGHT))
    np.testing.assert_array_equal(image.pixels, right.pixels)
    assert corrected(image) == ({"depth", "window"} if window else {"depth"})
    assert image.metadata["bits"] == 8


# -- stored bits and signs


def with_overlay(bits: int) -> bytes:
    overlay = np.zeros((60, 80), int)
    overlay[20:40, 30:50] = 1 << 15
    return drawn(film() | overlay, BitsStored=bits, HighBit=bits - 1, **WINDOW)


def stating_12_bits(dataset: Dataset, syntax: UID) -> Image:
    dataset.BitsStored, dataset.HighBit = 12, 11
    return read_full_image(written(dataset, syntax))


def as_jpeg_2000(data: bytes) -> Dataset:
    pytest.importorskip("openjpeg", reason="the dicom extra is not installed")
    dataset = dcmread(io.BytesIO(data))
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    return dataset


def test_overlays_in_unused_bits_of_jpeg_2000_are_not_picture() -> None:
    image = stating_12_bits(as_jpeg_2000(with_overlay(16)), JPEG2000Lossless)
    np.testing.assert_array_equal(image.pixels, read_full_image(with_overlay(12)).pixels)
    assert image.pixels.max() == 255 and not corrected(image)


@needs_dcmtk
def test_overlays_in_unused_bits_of_jpeg_ls_are_not_picture(tmp_path: Path) -> None:
    pytest.importorskip("libjpeg", reason="the dicom extra is not installed")
    dataset = dcmread(io.BytesIO(encoded(with_overlay(16), tmp_path, "dcmcjpls", "+el")))
    image = stating_12_bits(dataset, JPEGLSLossless)
    np.testing.assert_array_equal(image.pixels, read_full_image(drawn(film(), **WINDOW)).pixels)


def test_a_lossy_frame_that_exceeds_its_bits_by_little_is_not_turned_dark() -> None:
    values = film()
    values[-1, -5:] = 4100, 4110, 4120, 4130, 4140
    dataset = as_jpeg_2000(drawn(values, BitsStored=16, HighBit=15, **WINDOW))
    assert (stating_12_bits(dataset, JPEG2000Lossless).pixels[-1, -5:] == 255).all()


def test_signed_jpeg_2000_under_a_header_of_unsigned_values() -> None:
    plain = drawn(film() - 2048, PixelRepresentation=1, BitsStored=16, HighBit=15)
    dataset = as_jpeg_2000(plain)
    dataset.PixelRepresentation = 0
    image = read_full_image(written(dataset, JPEG2000Lossless))
    np.testing.assert_array_equal(image.pixels, read_full_image(plain).pixels)
    assert corrected(image) == {"sign"} and image.metadata["window"] == "min-max -2048..2047"


# -- elements that are missing or contradict the data


@pytest.mark.parametrize(
    "missing",
    [
        *("PhotometricInterpretation", "SamplesPerPixel", "PixelRepresentation"),
        *("BitsStored", "BitsAllocated", "HighBit"),
    ],
)
def test_a_missing_element_has_its_usual_value(missing: str) -> None:
    whole = drawn(film(), **WINDOW)
    dataset = dcmread(io.BytesIO(whole))
    delattr(dataset, missing)
    image = read_full_image(written(dataset))
    np.testing.assert_array_equal(image.pixels, read_full_image(whole).pixels)
    assert corrected(image) == (set() if missing == "HighBit" else {"pixel-format"})


@pytest.mark.parametrize(
    "elements",
    [
        {"BitsAllocated": 8},
        {"BitsAllocated": 12},
        {"BitsAllocated": 32},
        {"BitsStored": 20, "HighBit": 19},
        {"BitsStored": 0},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "MONOCHROME 2"},
        {"PhotometricInterpretation": "GRAY"},
        {"PixelRepresentation": 7},
    ],
    ids=str,
)
def test_an_element_that_contradicts_the_data(elements: dict[str, Any]) -> None:
    whole = drawn(film(), **WINDOW)
    dataset = dcmread(io.BytesIO(whole))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    image = read_full_image(written(dataset))
    np.testing.assert_array_equal(image.pixels, read_full_image(whole).pixels)
    spelling = elements == {"PhotometricInterpretation": "MONOCHROME 2"}
    assert corrected(image) == (set() if spelling else {"pixel-format"})


def test_other_spellings_of_the_photometric_interpretation_invert() -> None:
    whole = drawn(film(), PhotometricInterpretation="MONOCHROME1", **WINDOW)
    for spelling in (b"monochrome1 ", b"MONOCHROME 1", b" MONOCHROME1"):
        image = read_full_image(whole.replace(b"MONOCHROME1 ", spelling))
        np.testing.assert_array_equal(image.pixels, read_full_image(whole).pixels)
        assert image.metadata["photometric"] == "MONOCHROME1"


def test_colour_without_the_number_of_samples() -> None:
    colour = np.dstack([film(255), film(100), film(10)]).astype(int)
    elements = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, **EIGHT}
    whole = drawn(colour, SamplesPerPixel=3, **elements)
    for samples in (None, 1):
        dataset = dcmread(io.BytesIO(whole))
        dataset.SamplesPerPixel = samples
        image = read_full_image(written(dataset))
        np.testing.assert_array_equal(image.pixels, read_full_image(whole).pixels)


def test_samples_that_are_packed_across_bytes_are_an_unsupported_format() -> None:
    dataset = header(60, 80, BitsAllocated=12)
    dataset.PixelData = bytes(60 * 80 * 3 // 2)
    dataset["PixelData"].VR = "OW"
    assert refusal(written(dataset)).reason == "unsupported-format"


def test_an_ordinary_file_has_nothing_corrected() -> None:
    for elements in ({}, WINDOW, EIGHT, {"PixelRepresentation": 1}):
        top = 255 if elements == EIGHT else 2047
        assert not corrected(read_full_image(drawn(film(top), **elements)))


@pytest.mark.parametrize("signed", [0, 1])
def test_a_high_bit_that_the_values_contradict(signed: int) -> None:
    values = film() - 2048 * signed
    whole = drawn(values, PixelRepresentation=signed, **WINDOW)
    image = read_full_image(drawn(values, PixelRepresentation=signed, HighBit=15, **WINDOW))
    np.testing.assert_array_equal(image.pixels, read_full_image(whole).pixels)
    assert corrected(image) == {"pixel-format"}
    top = read_full_image(drawn(values * 16, PixelRepresentation=signed, HighBit=15, **WINDOW))
    np.testing.assert_array_equal(top.pixels, image.pixels)
    assert not corrected(top)


def test_plain_data_under_the_deflated_transfer_syntax() -> None:
    whole = drawn(film(), **WINDOW)
    data = labelled(drawn(film(), bare=True, **WINDOW), DeflatedExplicitVRLittleEndian)
    image = read_full_image(data)
    np.testing.assert_array_equal(image.pixels, read_full_image(whole).pixels)
    assert corrected(image) == {"compression"}


def test_run_lengths_of_fewer_bytes_than_stated() -> None:
    dataset = dcmread(io.BytesIO(drawn(film(255), **EIGHT)))
    dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    right = read_full_image(written(dataset, RLELossless))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    image = read_full_image(written(dataset, RLELossless))
    np.testing.assert_array_equal(image.pixels, right.pixels)
    assert corrected(image) == {"depth"} and image.metadata["bits"] == 8


@pytest.mark.parametrize("stated", [*PLAIN, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("actual", PLAIN)
def test_the_patient_is_found_whatever_the_header_states(
    stated: UID, actual: UID, tmp_path: Path
) -> None:
    if stated == DeflatedExplicitVRLittleEndian and actual != ExplicitVRLittleEndian:
        pytest.skip("such a file is refused")
    path = tmp_path / "a.dcm"
    path.write_bytes(labelled(drawn(film(), actual, bare=True), stated))
    identity = read_identity(path, "a.dcm")
    assert identity is not None and identity.patient == "ID-SECRET-1"

"""DICOM: values worked out by hand after PS3.3 C.7.6.3 and C.11."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pack_bits
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from plainfilm.errors import ImageError
from plainfilm.pixels import Limits, grey, read_full_image, read_image
from plainfilm.pixels.window import LookupTable, Window, look_up, window_levels
from plainfilm.records import PixelSpec

SECRETS = {
    "PatientName": "Secret^Sam",
    "PatientID": "ID-SECRET-1",
    "PatientBirthDate": "19700102",
    "AccessionNumber": "ACC-SECRET",
    "InstitutionName": "Secret Hospital",
    "StudyDate": "20200304",
    "ReferringPhysicianName": "Secret^Doc",
}


def header(rows: int, columns: int, **elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    for keyword, value in SECRETS.items():
        setattr(dataset, keyword, value)
    dataset.Modality = "CR"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian, bare: bool = False) -> bytes:
    file = io.BytesIO()
    little = syntax != ExplicitVRBigEndian
    implicit = syntax == ImplicitVRLittleEndian
    if bare:
        dataset.save_as(file, implicit_vr=implicit, little_endian=little)
    else:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def drawn(
    stored: Any, syntax: UID = ExplicitVRLittleEndian, bare: bool = False, **elements: Any
) -> bytes:
    array = np.atleast_2d(np.asarray(stored))
    if "BitsAllocated" in elements and elements["BitsAllocated"] == 8:
        elements = {"BitsStored": 8, "HighBit": 7} | elements
    dataset = header(*array.shape[:2], **elements)
    kind = "i" if dataset.PixelRepresentation else "u"
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    values = array.astype(f"{order}{kind}{dataset.BitsAllocated // 8}")
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    return written(dataset, syntax, bare)


def levels(data: bytes) -> list[int]:
    return read_full_image(data).pixels.ravel().tolist()  # type: ignore[no-any-return]


def refusal(data: bytes, limits: Limits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_image(data, PixelSpec(8), limits=limits or Limits())
    return caught.value


# -- windows: PS3.3 C.11.2.1.2.1, C.11.2.1.2.2, C.11.2.1.3.1, C.11.2.1.3.2


def test_the_standards_own_example_of_a_linear_window() -> None:
    # "c=2048, w=4096 becomes: if x <= 0 then y = 0; else if x > 4095 then y = 255; else
    # y = ((x - 2047.5) / 4095 + 0.5) * 255"
    x = np.array([-5.0, 0.0, 1.0, 2048.0, 4095.0, 5000.0])
    expected = np.clip(((x - 2047.5) / 4095 + 0.5), 0, 1)
    np.testing.assert_allclose(window_levels(x, Window(2048, 4096)), expected, atol=1e-12)
    # "c=2048, w=1: if x <= 2047.5 then 0 else 255"
    np.testing.assert_array_equal(
        window_levels(np.array([2047.0, 2047.5, 2048.0]), Window(2048, 1)), [0, 0, 1]
    )
    # "c=0, w=100: if x <= -50 then 0; else if x > 49 then 255; else ((x + 0.5) / 99 + 0.5) * 255"
    np.testing.assert_allclose(
        window_levels(np.array([-50.0, 0.0, 49.0, 50.0]), Window(0, 100)),
        [0, 0.5 / 99 + 0.5, 1, 1],
    )


def test_linear_exact_and_sigmoid() -> None:
    x = np.array([-51.0, -50.0, -25.0, 0.0, 25.0, 50.0, 51.0])
    np.testing.assert_allclose(
        window_levels(x, Window(0, 100, "LINEAR_EXACT")), [0, 0, 0.25, 0.5, 0.75, 1, 1]
    )
    np.testing.assert_allclose(
        window_levels(x, Window(0, 100, "SIGMOID")), 1 / (1 + np.exp(-4 * x / 100))
    )
    assert window_levels(np.array([-1e9, 1e9]), Window(0, 1, "SIGMOID")).tolist() == [
        pytest.approx(0),
        1,
    ]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(function: str) -> None:
    from pydicom.pixels import apply_windowing

    dataset = header(1, 1, WindowCenter=700, WindowWidth=900, VOILUTFunction=function)
    x = np.arange(4096, dtype=np.uint16)
    theirs = apply_windowing(x, dataset) / 4095
    np.testing.assert_allclose(
        window_levels(x.astype(float), Window(700, 900, function)), theirs, atol=1e-6
    )


def test_a_table_takes_its_ends_beyond_its_ends() -> None:
    table = LookupTable(10, np.array([3.0, 5.0, 9.0]), 8)
    assert look_up(np.array([-4.0, 10.0, 11.0, 12.0, 99.0]), table).tolist() == [3, 3, 5, 9, 9]


# -- stored values


@pytest.mark.parametrize(
    ("syntax", "bare"),
    [
        (ExplicitVRLittleEndian, False),
        (ImplicitVRLittleEndian, False),
        (ExplicitVRBigEndian, False),
        (DeflatedExplicitVRLittleEndian, False),
        (ExplicitVRLittleEndian, True),
        (ImplicitVRLittleEndian, True),
        (ExplicitVRBigEndian, True),
    ],
)
@pytest.mark.parametrize("signed", [0, 1])
def test_every_uncompressed_encoding(syntax: UID, bare: bool, signed: int) -> None:
    low = -2048 if signed else 0
    data = drawn(
        [[low, low + 1024], [low + 2048, low + 4095]],
        syntax,
        bare,
        PixelRepresentation=signed,
        WindowCenter=low + 2048,
        WindowWidth=4096,
    )
    assert levels(data) == [0, 64, 128, 255]
    metadata = read_full_image(data).metadata
    assert (metadata["bits"], metadata["mode"], metadata["window"]) == (
        12,
        "I;16",
        f"LINEAR {low + 2048}/4096",
    )


def test_eight_bits_and_one_bit() -> None:
    assert levels(drawn([0, 1, 77, 255], BitsAllocated=8)) == [0, 1, 77, 255]
    bits = np.array([[0, 1, 1, 0, 1, 0, 0, 1]], np.uint8)
    dataset = header(1, 8, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = pack_bits(bits)
    dataset["PixelData"].VR = "OB"
    assert levels(written(dataset)) == (bits * 255).ravel().tolist()


def test_overlays_in_unused_bits_are_not_picture() -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    assert levels(drawn([0xF000, 0xF800, 0x1FFF], **window)) == [0, 128, 255]
    # Signed: the bits above the twelfth do not carry the sign.
    signed = {"PixelRepresentation": 1, "WindowCenter": 0, "WindowWidth": 4096}
    assert levels(drawn([0x0800, 0x0000, 0x07FF], **signed)) == [0, 128, 255]


def test_values_at_the_top_of_the_allocated_bits() -> None:
    data = drawn([0x0000, 0x8000, 0xFFFF], HighBit=15, WindowCenter=2048, WindowWidth=4096)
    assert levels(data) == [0, 128, 255]


def test_thirty_two_bits_and_floats() -> None:
    wide = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}
    assert levels(drawn([[1000000, 1500000, 2000000]], **wide)) == [0, 128, 255]
    dataset = header(1, 4, BitsAllocated=32)
    del dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.FloatPixelData = np.array([0.5, 1.0, np.nan, 1.5], "<f4").tobytes()
    assert levels(written(dataset)) == [0, 128, 0, 255]


# -- modality and VOI


def test_rescale_comes_before_the_window() -> None:
    data = drawn(
        [0, 1000, 2000], RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=0.5, WindowWidth=2001
    )
    assert levels(data) == [0, 255, 255]
    assert read_full_image(data).metadata["window"] == "LINEAR 0.5/2001"


def test_a_slope_of_zero_is_no_rescale() -> None:
    assert levels(drawn([0, 50, 100], RescaleSlope=0, RescaleIntercept=5)) == [0, 128, 255]


def test_the_first_of_several_windows() -> None:
    image = read_full_image(
        drawn([0, 2048, 4095], WindowCenter=[2048, 100], WindowWidth=[4096, 20])
    )
    assert image.pixels.ravel().tolist() == [0, 128, 255]
    assert image.metadata["window"] == "LINEAR 2048/4096" and image.metadata["windows"] == 2


@pytest.mark.parametrize(
    ("width", "function"), [(0, "LINEAR"), (-5, "LINEAR"), (0, "SIGMOID"), (10, "MAGIC")]
)
def test_an_impossible_window_is_none(width: int, function: str) -> None:
    data = drawn([100, 200, 300], WindowCenter=150, WindowWidth=width, VOILUTFunction=function)
    assert levels(data) == [0, 128, 255]
    assert read_full_image(data).metadata["window"] == "min-max 100..300"


def lut(entries: list[int], first: int, bits: int, vr: str = "US") -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    packed: Any = entries if vr == "US" else np.array(entries, "<u2").tobytes()
    item.add_new("LUTData", vr, packed)
    return Sequence([item])


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_voi_lut_is_preferred_to_a_window(vr: str, syntax: UID) -> None:
    data = drawn(
        [0, 100, 101, 102, 900],
        syntax,
        VOILUTSequence=lut([0, 1023, 4095], 100, 12, vr),
        WindowCenter=1,
        WindowWidth=1,
    )
    assert levels(data) == [0, 0, 64, 255, 255]
    assert read_full_image(data).metadata["window"] == "VOI LUT"


def test_a_voi_lut_over_values_that_the_rescale_made_negative() -> None:
    # Read by the sign of the stored values, the first entry would be for 65036, not for -500.
    data = drawn(
        [0, 500, 1000],
        ImplicitVRLittleEndian,
        RescaleSlope=1,
        RescaleIntercept=-500,
        VOILUTSequence=lut(list(range(1001)), -500, 10),
    )
    assert levels(data) == [0, round(500 / 1023 * 255), round(1000 / 1023 * 255)]


def test_a_modality_lut() -> None:
    data = drawn(
        [0, 1, 2, 3], ModalityLUTSequence=lut([1000, 3000, 2000, 0], 0, 12), WindowCenter=1500.5,
        WindowWidth=3001,
    )  # fmt: skip
    assert levels(data) == [85, 255, 170, 0]


def test_without_a_window_the_image_spans_its_own_range() -> None:
    assert levels(drawn([1000, 1500, 2000])) == [0, 128, 255]
    assert levels(drawn([7, 7, 7])) == [0, 0, 0]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_neither_counts_nor_shows(photometric: str) -> None:
    data = drawn(
        [0, 1000, 1500, 2000, 4095],
        PhotometricInterpretation=photometric,
        PixelPaddingValue=0,
    )
    top = [0, 0, 41, 82, 255] if photometric == "MONOCHROME2" else [0, 255, 214, 173, 0]
    # Without the padded 0 the values span 1000 to 4095.
    assert levels(data) == top
    ranged = drawn([0, 5, 10, 1000, 2000], PixelPaddingValue=10, PixelPaddingRangeLimit=0)
    assert levels(ranged) == [0, 0, 0, 0, 255]


def test_negative_padding_of_signed_values() -> None:
    data = drawn(
        [-2000, 0, 100],
        ImplicitVRLittleEndian,
        PixelRepresentation=1,
        BitsStored=16,
        HighBit=15,
        PixelPaddingValue=-2000,
    )
    assert levels(data) == [0, 0, 255]


# -- polarity


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),  # the two say the same; once
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_air_is_dark_and_bone_bright(photometric: str, shape: str | None, inverted: bool) -> None:
    more = {"PresentationLUTShape": shape} if shape else {}
    data = drawn(
        [0, 1024, 4095],
        PhotometricInterpretation=photometric,
        WindowCenter=2048,
        WindowWidth=4096,
        **more,
    )
    assert levels(data) == ([255, 191, 0] if inverted else [0, 64, 255])
    assert read_full_image(data).metadata["polarity"] == ("inverted" if inverted else "as-stored")


# -- colour, frames, compression


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_becomes_luminance(planar: int) -> None:
    colour = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    dataset = header(
        1, 4, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=planar,
        BitsAllocated=8, BitsStored=8, HighBit=7,
    )  # fmt: skip
    dataset.PixelData = (colour.transpose(2, 0, 1) if planar else colour).tobytes()
    dataset["PixelData"].VR = "OB"
    assert levels(written(dataset)) == [76, 150, 29, 9]


def test_ybr_becomes_luminance() -> None:
    dataset = header(
        1, 2, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8, HighBit=7,
    )  # fmt: skip
    dataset.PixelData = bytes([90, 128, 128, 200, 128, 128])
    dataset["PixelData"].VR = "OB"
    assert levels(written(dataset)) == [90, 200]


def test_a_palette_is_looked_up() -> None:
    dataset = header(
        1, 4, PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7
    )
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        entries = np.array([0, 0x4000, 0x8000, 0xFFFF], "<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries)
    dataset.PixelData = bytes([3, 2, 1, 0])
    dataset["PixelData"].VR = "OB"
    assert levels(written(dataset)) == [255, 128, 64, 0]


def test_the_first_frame_is_read_and_the_number_recorded() -> None:
    frames = np.array([[[0, 10, 20]], [[500, 600, 700]]])
    dataset = header(1, 3, NumberOfFrames=2)
    dataset.PixelData = frames.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    image = read_full_image(written(dataset))
    assert image.pixels.tolist() == [[0, 128, 255]] and image.metadata["frames"] == 2


def test_functional_groups_of_enhanced_files() -> None:
    window, shared, rescale = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 0, 4096
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, -2048
    shared.FrameVOILUTSequence = Sequence([window])
    shared.PixelValueTransformationSequence = Sequence([rescale])
    data = drawn([0, 2048, 4095], SharedFunctionalGroupsSequence=Sequence([shared]))
    assert levels(data) == [0, 128, 255]


def encapsulated(frame: bytes, syntax: UID, **elements: Any) -> bytes:
    dataset = header(16, 24, **{"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, **elements})
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return written(dataset, syntax)


def ramp() -> np.ndarray:
    return np.add.outer(np.arange(16) * 6, np.arange(24) * 5).astype(np.uint8)


def compressed(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(ramp()).save(file, kind, **options)
    return file.getvalue()


def test_jpeg_jpeg2000_and_rle_frames() -> None:
    window = {"WindowCenter": 128, "WindowWidth": 256}
    jpeg = encapsulated(compressed("jpeg", quality=98), JPEGBaseline8Bit, **window)
    assert np.abs(read_full_image(jpeg).pixels.astype(int) - ramp()).max() <= 3
    wavelet = encapsulated(compressed("jpeg2000", no_jp2=True), JPEG2000Lossless, **window)
    np.testing.assert_array_equal(read_full_image(wavelet).pixels, ramp())
    plain = drawn(ramp().astype(int) * 16, WindowCenter=2048, WindowWidth=4096)
    dataset = header(16, 24, WindowCenter=2048, WindowWidth=4096)
    dataset.PixelData = (ramp().astype("<u2") * 16).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    np.testing.assert_array_equal(
        read_full_image(file.getvalue()).pixels, read_full_image(plain).pixels
    )


def test_a_frame_that_ends_early_is_refused() -> None:
    frame = compressed("jpeg")
    assert refusal(encapsulated(frame[:-40], JPEGBaseline8Bit)).reason == "truncated"
    whole = encapsulated(frame, JPEGBaseline8Bit)
    assert refusal(whole[: -len(frame) // 2]).reason == "truncated"


def test_a_frame_larger_than_its_header_says_takes_no_memory() -> None:
    frame = bytearray(compressed("jpeg"))
    at = frame.find(b"\xff\xc0")
    frame[at + 5 : at + 9] = b"\xf0\x00\xf0\x00"
    assert refusal(encapsulated(bytes(frame), JPEGBaseline8Bit)).reason == "too-large"
    wave = bytearray(compressed("jpeg2000", no_jp2=True))
    wave[8:16] = b"\0\1\0\0\0\1\0\0"
    assert refusal(encapsulated(bytes(wave), JPEG2000Lossless)).reason == "too-large"


def test_a_missing_codec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders import JPEGLSLosslessDecoder as decoder

    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"pylibjpeg": ("pylibjpeg>=2.0",)})
    error = refusal(encapsulated(b"\xff\xd8\xff\xf7....\xff\xd9", JPEGLSLossless))
    assert error.reason == "needs-codec" and ".[dicom]" in str(error.remedy)
    assert "JPEG-LS" in str(error)


def test_the_extra_brings_a_decoder_for_every_compression_that_is_read() -> None:
    pytest.importorskip("libjpeg", reason="the dicom extra is not installed")
    pytest.importorskip("openjpeg", reason="the dicom extra is not installed")
    from pydicom.pixels import get_decoder

    # JPEG baseline, extended, lossless (both kinds); JPEG-LS; JPEG 2000; high-throughput JPEG 2000.
    for number in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203):
        syntax = UID(f"1.2.840.10008.1.2.4.{number}")
        assert get_decoder(syntax).is_available, syntax.name


@pytest.mark.parametrize("number", [201, 202, 203])
def test_a_missing_codec_of_high_throughput_jpeg_2000(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom.pixels import get_decoder

    syntax = UID(f"1.2.840.10008.1.2.4.{number}")
    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    error = refusal(encapsulated(compressed("jpeg2000", no_jp2=True), syntax))
    assert error.reason == "needs-codec" and ".[dicom]" in str(error.remedy)
    assert "High-Throughput" in str(error)


def test_run_lengths_are_decoded_by_pydicom_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another decoder of them ends in a panic, which is no Exception, where they run over.
    from pydicom.pixels import get_decoder

    decoder = get_decoder(RLELossless)

    def fail(*_: object) -> bytes:
        raise SystemExit

    others = dict.fromkeys(("pylibjpeg", "gdcm"), fail)
    monkeypatch.setattr(decoder, "_available", {**others, **decoder._available, **others})
    runs = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x00\x81\x07"
    with pytest.raises(ImageError) as caught:
        read_full_image(
            encapsulated(runs, RLELossless, BitsAllocated=16, BitsStored=12, HighBit=11)
        )
    assert caught.value.reason in ("corrupt", "truncated")


def test_video_is_not_supported() -> None:
    data = encapsulated(b"\0\0\1\xb3....", UID("1.2.840.10008.1.2.4.100"))
    assert refusal(data).reason == "unsupported-format"


# -- limits and damage


def test_limits_are_checked_from_the_header() -> None:
    data = drawn(np.zeros((10, 10)))
    assert refusal(data, Limits(pixels=99)).reason == "too-large"
    assert levels(data) == [0] * 100
    assert refusal(drawn([1, 2, 3], NumberOfFrames=4), Limits(frames=3)).reason == "too-many-frames"
    claims = drawn([1, 2, 3])
    huge = claims.replace(b"\x28\0\x10\0US\x02\0\x01\0", b"\x28\0\x10\0US\x02\0\xff\xff").replace(
        b"\x28\0\x11\0US\x02\0\x03\0", b"\x28\0\x11\0US\x02\0\xff\xff"
    )
    assert refusal(huge).reason == "too-large"


def test_a_deflated_bomb_is_not_inflated() -> None:
    plain = drawn([1, 2, 3], DeflatedExplicitVRLittleEndian)
    at = 132 + 12 + int.from_bytes(plain[140:144], "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = plain[:at] + squeeze.compress(bytes(50_000_000)) + squeeze.flush()
    assert len(bomb) < 100_000
    assert refusal(bomb, Limits(bytes=1_000_000)).reason == "too-large"
    assert refusal(plain[:-20]).reason == "truncated"


@pytest.mark.parametrize("bare", [False, True])
def test_short_and_missing_pixels(bare: bool) -> None:
    data = drawn(np.arange(100).reshape(10, 10), bare=bare)
    assert refusal(data[:-50]).reason == "truncated"
    dataset = header(10, 10)
    assert refusal(written(dataset, bare=bare)).reason == "no-pixels"
    del dataset.Rows, dataset.Columns
    error = refusal(written(dataset, bare=bare))
    assert error.reason == "no-pixels" and "CR" in str(error)


def test_nothing_but_image_errors_escapes_and_none_quotes_the_file(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(3)
    samples = [
        drawn(np.arange(100).reshape(10, 10), VOILUTSequence=lut([0, 1, 2], 0, 12)),
        drawn(np.arange(100).reshape(10, 10), ImplicitVRLittleEndian, bare=True),
        encapsulated(compressed("jpeg"), JPEGBaseline8Bit),
        encapsulated(compressed("jpeg2000", no_jp2=True), JPEG2000Lossless),
    ]
    outcomes: set[str] = set()
    for data in samples:
        for _ in range(80):
            broken = bytearray(data)
            for at in random.integers(100, len(data), random.integers(1, 8)):
                broken[at] = random.integers(0, 256)
            try:
                metadata = read_image(
                    bytes(broken), PixelSpec(8), limits=Limits(pixels=10**6)
                ).metadata
                outcomes.add("image")
                said = repr(metadata)
            except ImageError as error:
                outcomes.add(error.reason)
                assert error.__cause__ is None and error.__context__ is None
                said = str(error)
            assert not any(secret in said for secret in SECRETS.values())
    assert {"image", "corrupt", "truncated"} <= outcomes
    assert capfd.readouterr().err == "" and not caplog.records


# -- metadata


def test_metadata_describe_the_image_and_not_the_person() -> None:
    data = drawn(
        [1, 2, 3],
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        ImageLaterality="U",
        PatientOrientation=["L", "F"],
        PatientAge="034Y",
        PatientSex="F",
        Manufacturer="SIEMENS Healthineers, Dr Meier",
        ImagerPixelSpacing=[0.14, 0.14],
    )
    metadata = dict(read_full_image(data).metadata)
    for always in ("bytes", "decoded_width", "width", "height", "bits", "mode", "frames"):
        metadata.pop(always)
    assert metadata == {
        "format": "dicom",
        "modality": "CR",
        "body_part": "CHEST",
        "view": "PA",
        "laterality": "U",
        "orientation": "L\\F",
        "age": 34.0,
        "sex": "F",
        "manufacturer": "Siemens",
        "pixel_spacing": 0.14,
        "photometric": "MONOCHROME2",
        "window": "min-max 1..3",
        "polarity": "as-stored",
        "coloured": 0.0,
    }
    assert not any(secret in repr(metadata) for secret in SECRETS.values())


@pytest.mark.filterwarnings("ignore")  # pydicom's, while it writes what is not allowed
@pytest.mark.parametrize(
    ("text", "years"),
    [("034Y", 34.0), ("006M", 0.5), ("026W", 0.4983), ("010D", 0.0274), ("47", 47.0)],
)
def test_ages(text: str, years: float) -> None:
    assert read_full_image(drawn([1, 2], PatientAge=text)).metadata["age"] == pytest.approx(
        years, abs=1e-4
    )


@pytest.mark.filterwarnings("ignore")  # pydicom's, while it writes what is not allowed
@pytest.mark.parametrize(
    "elements",
    [{"PatientAge": "000Y"}, {"PatientAge": "adult"}, {"ViewPosition": "Smith, John"}],
)
def test_what_is_malformed_is_left_out(elements: dict[str, str]) -> None:
    metadata = read_full_image(drawn([1, 2], **elements)).metadata
    assert "age" not in metadata and "view" not in metadata


@pytest.mark.filterwarnings("ignore")  # pydicom's, while it writes what is not allowed
@pytest.mark.parametrize("text", ["MEIER HANS", "19500312", "Dr. Meier, Praxis Bonn", "<b>"])
@pytest.mark.parametrize(
    ("keyword", "fact"),
    [
        ("Manufacturer", "manufacturer"),
        ("Modality", "modality"),
        ("BodyPartExamined", "body_part"),
        ("ViewPosition", "view"),
        ("PatientSex", "sex"),
    ],
)
def test_words_that_are_on_no_list_are_not_repeated(keyword: str, fact: str, text: str) -> None:
    metadata = read_full_image(drawn([1, 2], **{keyword: text})).metadata
    assert fact not in metadata
    assert text not in repr(metadata)


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("FUJI PHOTO FILM Co., ltd.", "Fuji"),
        ("FUJIFILM Corporation", "Fuji"),
        ("GE Healthcare", "GE"),
        ("Agenda of Dr Geiger", None),
    ],
)
def test_makers_are_known_by_name(text: str, maker: str | None) -> None:
    assert read_full_image(drawn([1, 2], Manufacturer=text)).metadata.get("manufacturer") == maker


def test_the_very_old_are_of_one_age() -> None:
    assert read_full_image(drawn([1, 2], PatientAge="101Y")).metadata["age"] == 90


@pytest.mark.parametrize(
    ("meaning", "view"),
    [
        ("postero-anterior", "PA"),
        ("antero-posterior", "AP"),
        ("left lateral", "LL"),
        ("right anterior oblique", "OBLIQUE"),
        ("frontal", None),
    ],
)
def test_the_view_may_be_a_code(meaning: str, view: str | None) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "SCT", meaning
    metadata = read_full_image(drawn([1, 2], ViewCodeSequence=Sequence([code]))).metadata
    assert metadata.get("view") == view


@pytest.mark.parametrize(
    ("text", "view"), [("CHEST LAT", "LATERAL"), ("LEFT LATERAL", "LL"), ("OBL", "OBLIQUE")]
)
def test_the_view_may_be_free_text(text: str, view: str) -> None:
    assert read_full_image(drawn([1, 2], ViewPosition=text)).metadata["view"] == view


@pytest.mark.filterwarnings("ignore")  # pydicom's, while it writes what is not allowed
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("LEFT KNEE, 2 VIEWS", "KNEE"),
        ("chest pa", "CHEST"),
        ("CHEST/ABDOMEN", None),
        ("poumons face", None),
        ("SI JOINT", None),
    ],
)
def test_the_body_part_may_be_a_word_of_free_text_or_a_code(text: str, part: str | None) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "SCT", text
    for elements in (
        {"BodyPartExamined": text},
        {"AnatomicRegionSequence": Sequence([code])},
        {"BodyPartExamined": "?", "AnatomicRegionSequence": Sequence([code])},
    ):
        assert read_full_image(drawn([1, 2], **elements)).metadata.get("body_part") == part
    elements = {"BodyPartExamined": "HIP", "AnatomicRegionSequence": Sequence([code])}
    assert read_full_image(drawn([1, 2], **elements)).metadata["body_part"] == "HIP"


def test_another_modality_or_body_part_is_a_fact_and_no_error() -> None:
    metadata = read_full_image(drawn([1, 2], Modality="MR", BodyPartExamined="KNEE")).metadata
    assert (metadata["modality"], metadata["body_part"]) == ("MR", "KNEE")


def test_the_switches_of_pydicom_are_put_back() -> None:
    from pydicom import config

    config.settings.reading_validation_mode = config.RAISE
    logging.getLogger("pydicom").setLevel(logging.INFO)
    try:
        assert levels(drawn([1, 2])) == [0, 255]
        assert config.settings.reading_validation_mode == config.RAISE
        assert logging.getLogger("pydicom").level == logging.INFO
    finally:
        config.settings.reading_validation_mode = config.WARN
        logging.getLogger("pydicom").setLevel(logging.WARNING)


@pytest.mark.parametrize("at_once", [1, 40, 10_000])
def test_grey_levels_do_not_depend_on_how_many_rows_are_looked_up_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(grey, "_AT_ONCE", at_once)
    stored = np.random.default_rng(0).integers(0, 4096, (23, 17), dtype=np.uint16)
    levels, *_ = grey.grey_from_stored(stored, header(23, 17, WindowCenter=2048, WindowWidth=4096))
    # PS3.3 C.11.2.1.2.1, the linear function, written out.
    expected = np.rint(255 * np.clip((stored - 2047.5) / 4095 + 0.5, 0, 1))
    np.testing.assert_array_equal(levels, expected)

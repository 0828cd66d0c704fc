"""DICOM compared with dcmtk, an independent implementation, on drawn and real files.

dcmtk truncates its 16-bit output where the exact value is between two levels; ours is rounded to
8 bits. So the two agree where they differ by no more than half a level of 8 bits and one of 16.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset
from pydicom.pixels import pack_bits
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
)
from test_pixels_dicom import drawn, encapsulated, header, lut, ramp, refusal, written

from plainfilm.errors import ImageError
from plainfilm.pixels import read_full_image

DATA = Path(
    os.environ.get("PLAINFILM_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
TOOLS = ("dcm2pnm", "dcmj2pnm", "dcml2pnm", "dcmcjpeg", "dcmcjpls", "dcmcrle", "dcmconv")
needs_dcmtk = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="dcmtk is not installed (Debian: apt-get install dcmtk)",
)

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def call(*words: object) -> int:
    return subprocess.run([str(word) for word in words], capture_output=True).returncode


def theirs(source: bytes | Path, folder: Path, *options: object) -> np.ndarray:
    """Return what dcmtk makes of a file, as levels of 0 to 255 with fractions."""
    path, out = folder / "in.dcm", folder / "out.png"
    if isinstance(source, bytes):
        path.write_bytes(source)
    else:
        path = source
    for tool in ("dcm2pnm", "dcmj2pnm", "dcml2pnm"):  # plain and RLE, JPEG, JPEG-LS
        if call(tool, "-q", "-O", "+on2", *options, path, out) == 0:
            return np.asarray(Pillow.open(out)).astype(float) / 257
    raise AssertionError("dcmtk does not read it")


def agree(ours: np.ndarray, other: np.ndarray, slack: float = 0.0) -> None:
    assert ours.shape == other.shape
    assert np.abs(ours - other).max() <= 0.5 + 1 / 257 + slack


def grainy(top: int = 4096, rows: int = 40, columns: int = 48) -> np.ndarray:
    """Draw every kind of value, the lowest and the highest among them."""
    values = np.random.default_rng(0).integers(0, top, (rows, columns))
    values[0, :2] = 0, top - 1
    return values


SIGNED = {"PixelRepresentation": 1}
TWO = {"WindowCenter": [2048, 300], "WindowWidth": [4096, 100]}
BRANCHES: dict[str, tuple[np.ndarray, dict[str, Any], tuple[object, ...]]] = {
    "linear": (grainy(), {"WindowCenter": 1800, "WindowWidth": 999}, ("+Wi", 1)),
    # With more values, a threshold would hide the image and would not be used.
    "threshold": (grainy() // 99 * 99, {"WindowCenter": 1800, "WindowWidth": 1}, ("+Wi", 1)),
    "sigmoid": (
        grainy(),
        {"WindowCenter": 1800, "WindowWidth": 999, "VOILUTFunction": "SIGMOID"},
        ("+Wi", 1),
    ),
    "first of two": (grainy(), TWO, ("+Wi", 1)),
    "rescaled": (
        grainy(),
        {"RescaleSlope": 2, "RescaleIntercept": -700, "WindowCenter": 40, "WindowWidth": 4000},
        ("+Wi", 1),
    ),
    "signed": (grainy() - 2048, {**SIGNED, "WindowCenter": -3, "WindowWidth": 3000}, ("+Wi", 1)),
    "16 bits": (
        grainy(65536),
        {"BitsStored": 16, "HighBit": 15, "WindowCenter": 30000, "WindowWidth": 50000},
        ("+Wi", 1),
    ),
    "10 bits at the top": (
        grainy(1024) << 6,
        {"BitsStored": 10, "HighBit": 15, "WindowCenter": 512, "WindowWidth": 700},
        ("+Wi", 1),
    ),
    "8 bits": (
        grainy(256),
        {"BitsAllocated": 8, "WindowCenter": 100, "WindowWidth": 80},
        ("+Wi", 1),
    ),
    "32 bits": (
        grainy(1 << 30),
        {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31},
        ("+Wm",),
    ),
    "no window": (grainy(3000), {}, ("+Wm",)),
    "voi lut": (
        grainy(),
        {"VOILUTSequence": lut([int(n**0.5 * 63) for n in range(3000)], 500, 12)},
        ("+Wl", 1),
    ),
    "voi lut of negative values": (
        grainy() - 2048,
        {**SIGNED, "VOILUTSequence": lut([n * 16 for n in range(4096)], -2048, 16)},
        ("+Wl", 1),
    ),
    "modality lut": (
        grainy(),
        {
            "ModalityLUTSequence": lut([4095 - n // 2 for n in range(4096)], 0, 12),
            "WindowCenter": 3000,
            "WindowWidth": 1500,
        },
        ("+Wi", 1),
    ),
}


@needs_dcmtk
@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_branches(branch: str, photometric: str, tmp_path: Path) -> None:
    values, elements, options = BRANCHES[branch]
    data = drawn(values, PhotometricInterpretation=photometric, **elements)
    # Before it has 16 bits, a table's output is divided by a power of two rather than one less.
    slack = 255 / 4096 if "lut" in branch else 0
    agree(read_full_image(data).pixels, theirs(data, tmp_path, *options), slack)


@needs_dcmtk
def test_the_second_window_is_another_picture(tmp_path: Path) -> None:
    data = drawn(grainy(), **TWO)
    assert np.abs(read_full_image(data).pixels - theirs(data, tmp_path, "+Wi", 2)).max() > 50


@needs_dcmtk
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_polarity(photometric: str, shape: str, tmp_path: Path) -> None:
    data = drawn(
        grainy(), PhotometricInterpretation=photometric, PresentationLUTShape=shape, **WINDOW
    )
    ours = read_full_image(data).pixels
    # The shape "shall be" INVERSE with MONOCHROME1 and IDENTITY otherwise (PS3.3 C.7.6.1): the two
    # mean the same. If they contradict each other, dcmtk uses the shape. In known files of this
    # kind the shape is wrong, so MONOCHROME1 is always inverted here.
    inverted = photometric == "MONOCHROME1" or shape == "INVERSE"
    agree(ours, theirs(data, tmp_path, "+Wi", 1, *(("+Piv",) if inverted else ())))
    if (photometric, shape) != ("MONOCHROME1", "IDENTITY"):
        agree(ours, theirs(data, tmp_path, "+Wi", 1))
    assert read_full_image(data).metadata["presentation"] == shape


def colour_file(kind: str, planar: int = 0) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    dataset = header(
        20, 24, SamplesPerPixel=3, PhotometricInterpretation=kind, PlanarConfiguration=planar,
        BitsAllocated=8, BitsStored=8, HighBit=7,
    )  # fmt: skip
    dataset.PixelData = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes()
    dataset["PixelData"].VR = "OB"
    return written(dataset)


def palette_file(bits: int) -> bytes:
    random = np.random.default_rng(2)
    dataset = header(
        20, 24, PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7
    )
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
        entries = random.integers(0, 256, 256).astype("<u2") * (257 if bits == 16 else 1)
        packed = entries.astype("<u2" if bits == 16 else "u1").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", packed)
    dataset.PixelData = random.integers(0, 256, (20, 24), np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    return written(dataset)


@needs_dcmtk
@pytest.mark.parametrize(
    "data",
    [
        colour_file("RGB"),
        colour_file("RGB", 1),
        colour_file("YBR_FULL"),
        palette_file(16),
        palette_file(8),
    ],
    ids=["rgb", "planes", "ybr", "palette16", "palette8"],
)
def test_colour_becomes_luminance(data: bytes, tmp_path: Path) -> None:
    # Here red, green and blue are rounded, and dcmtk's weights have two digits.
    agree(read_full_image(data).pixels, theirs(data, tmp_path, "+G"), slack=2.5)


def test_luminance_of_ybr_by_hand() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8).astype(float)
    y, cb, cr = pixels[..., 0], pixels[..., 1] - 128, pixels[..., 2] - 128
    # PS3.3 C.7.6.3.1.2, YBR_FULL, inverted; then ITU-R BT.601.
    rgb = np.dstack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb])
    exact = np.clip(rgb, 0, 255) @ [0.299, 0.587, 0.114]
    assert np.abs(read_full_image(colour_file("YBR_FULL")).pixels - exact).max() < 1


@needs_dcmtk
def test_every_frame(tmp_path: Path) -> None:
    data = many_frames(5)
    for frame in range(5):
        image = read_full_image(data, frame=frame)
        agree(image.pixels, theirs(data, tmp_path, "+Wi", 1, "+F", frame + 1))
        assert (image.metadata["frame"], image.metadata["frames"]) == (frame, 5)


def test_colour_of_sixteen_bits_goes_by_its_bits_and_not_by_the_picture() -> None:
    dataset = header(
        1, 3, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
        BitsStored=16, HighBit=15,
    )  # fmt: skip
    dataset.PixelData = np.repeat([0, 0x1000, 0x4000], 3).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    assert read_full_image(written(dataset)).pixels.tolist() == [[0, 0x10, 0x40]]


def test_frames_of_one_bit_that_begin_within_a_byte() -> None:
    frames = np.array([[[0, 1, 1], [1, 0, 0], [1, 0, 1]], [[1, 0, 0], [0, 1, 1], [0, 0, 1]]])
    dataset = header(3, 3, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=2)
    dataset.PixelData = pack_bits(frames.astype(np.uint8))
    dataset["PixelData"].VR = "OB"
    for number, frame in enumerate(frames):
        pixels = read_full_image(written(dataset), frame=number).pixels
        np.testing.assert_array_equal(pixels, frame * 255)


# -- encodings


LOSSLESS = {
    "implicit": ("dcmconv", "+ti"),
    "explicit": ("dcmconv", "+te"),
    "big endian": ("dcmconv", "+tb"),
    "deflated": ("dcmconv", "+td"),
    "rle": ("dcmcrle",),
    "jpeg lossless": ("dcmcjpeg", "+el"),
    "jpeg lossless, first order": ("dcmcjpeg", "+e1"),
    "jpeg-ls": ("dcmcjpls", "+el"),
}
LOSSY = {
    "jpeg baseline": ("dcmcjpeg", "+eb", "+q", 95),
    "jpeg extended": ("dcmcjpeg", "+ee", "+q", 95),
    "jpeg-ls near lossless": ("dcmcjpls", "+en", "+md", 3),
}
OPTIONAL = ("jpeg lossless", "jpeg-ls", "jpeg extended")


def encoded(data: bytes, folder: Path, tool: str, *options: object) -> bytes:
    source, target = folder / "plain.dcm", folder / "packed.dcm"
    source.write_bytes(data)
    assert call(tool, *options, source, target) == 0
    return target.read_bytes()


def needs(name: str) -> None:
    if name.startswith(OPTIONAL):
        pytest.importorskip("libjpeg", reason="the dicom extra is not installed")


@needs_dcmtk
@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [0, 1])
def test_lossless_encodings_lose_nothing(name: str, bits: int, signed: int, tmp_path: Path) -> None:
    needs(name)
    low = -(1 << bits - 1) if signed else 0
    middle = low + (1 << bits - 1)
    data = drawn(
        grainy(1 << bits) + low,
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=signed,
        WindowCenter=middle,
        WindowWidth=1 << bits,
    )
    packed = encoded(data, tmp_path, *LOSSLESS[name])
    np.testing.assert_array_equal(read_full_image(packed).pixels, read_full_image(data).pixels)


@needs_dcmtk
@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("bits", [8, 12])
def test_lossy_encodings_become_what_dcmtk_makes_of_them(
    name: str, bits: int, tmp_path: Path
) -> None:
    needs(name)
    if name == "jpeg baseline" and bits == 12:
        pytest.skip("JPEG baseline has 8 bits")
    smooth = np.add.outer(np.arange(40), np.arange(48)) * ((1 << bits) // 90)
    data = drawn(
        smooth,
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        WindowCenter=1 << bits - 1,
        WindowWidth=1 << bits,
    )
    packed = encoded(data, tmp_path, *LOSSY[name])
    # Decoders of JPEG may differ by one stored level (ISO 10918-2), which at 8 bits is one of ours.
    window = ("+Ww", 1 << bits - 1, 1 << bits)
    agree(
        read_full_image(packed).pixels, theirs(packed, tmp_path, *window), slack=256 / (1 << bits)
    )


@needs_dcmtk
@pytest.mark.parametrize("name", ["rle", "jpeg lossless, first order", "jpeg-ls", "jpeg baseline"])
def test_colour_in_compressed_frames(name: str, tmp_path: Path) -> None:
    needs(name)
    smooth = np.add.outer(np.arange(20) * 4, np.arange(24) * 5).astype(np.uint8)
    dataset = header(
        20, 24, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8, HighBit=7,
    )  # fmt: skip
    dataset.PixelData = np.dstack([smooth, 255 - smooth, smooth // 2]).tobytes()
    dataset["PixelData"].VR = "OB"
    data = written(dataset)
    packed = encoded(data, tmp_path, *(LOSSLESS | LOSSY)[name])
    slack = 3.0 if name == "jpeg baseline" else 1.5
    agree(read_full_image(packed).pixels, theirs(packed, tmp_path, "+G"), slack=slack)
    assert read_full_image(packed).metadata["coloured"] == 1


@needs_dcmtk
@pytest.mark.parametrize("name", ["rle", "jpeg lossless", "jpeg-ls", "deflated"])
@pytest.mark.parametrize("fragments", [False, True])
def test_frames_of_compressed_files(name: str, fragments: bool, tmp_path: Path) -> None:
    needs(name)
    data = many_frames(3)
    more = ("+fs", 1) if fragments and name.startswith("jpeg") else ()  # 1 kB each
    packed = encoded(data, tmp_path, *LOSSLESS[name], *more)
    for frame in range(3):
        np.testing.assert_array_equal(
            read_full_image(packed, frame=frame).pixels, read_full_image(data, frame=frame).pixels
        )


def many_frames(count: int) -> bytes:
    frames = np.random.default_rng(3).integers(0, 4096, (count, 40, 48))
    dataset = header(40, 48, NumberOfFrames=count, **WINDOW)
    dataset.PixelData = frames.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return written(dataset)


def test_a_named_frame_and_its_own_window() -> None:
    groups = []
    for center in (100, 1000, 3000):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth, window.VOILUTFunction = center, 200, "LINEAR_EXACT"
        group.FrameVOILUTSequence = Sequence([window])
        groups.append(group)
    dataset = header(1, 3, NumberOfFrames=3, PerFrameFunctionalGroupsSequence=Sequence(groups))
    values = [[0, 100, 200], [900, 1050, 1100], [2900, 2950, 3100]]
    dataset.PixelData = np.array(values, "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    data = written(dataset)
    expected = [[0, 128, 255], [0, 191, 255], [0, 64, 255]]
    assert [read_full_image(data, frame=n).pixels[0].tolist() for n in range(3)] == expected
    assert read_full_image(data, frame=1).metadata["window"] == "LINEAR_EXACT 1000/200"
    with pytest.raises(ImageError) as caught:
        read_full_image(data, frame=3)
    assert caught.value.reason == "no-such-frame" and "frame 3" in str(caught.value)
    # Only what is missing is missed.
    short = data[:-6]
    assert read_full_image(short, frame=1).pixels[0].tolist() == expected[1]
    with pytest.raises(ImageError) as caught:
        read_full_image(short, frame=2)
    assert caught.value.reason == "truncated"


def test_a_single_frame_is_frame_0() -> None:
    assert "frame" not in read_full_image(drawn([1, 2, 3])).metadata
    with pytest.raises(ImageError) as caught:
        read_full_image(drawn([1, 2, 3]), frame=1)
    assert caught.value.reason == "no-such-frame"


def test_the_first_of_several_voi_luts_is_taken_and_recorded() -> None:
    both = Sequence([*lut([0, 100, 255], 0, 8), *lut([255, 100, 0], 0, 8)])
    image = read_full_image(drawn([0, 1, 2], VOILUTSequence=both))
    assert image.pixels.ravel().tolist() == [0, 100, 255] and image.metadata["windows"] == 2


# -- JPEG 2000 and its high-throughput kind, which dcmtk does not read


# ramp() and ramp() * 16 + 7, encoded without loss by OpenJPH 0.26. No encoder of this kind comes
# with what is installed here.
HIGH_THROUGHPUT = {
    8: """
|4;u>04YEK0000O0000G00000000000000O0000G0000000000009R90sl|{2mk^A00092QUDA90ssL31q1{@0smY86Cg-XP
*6}%P*6}%P*6}vNJ#%=02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000bpQeXlfWhO0Ect{z!HF}0S9ydz!E?c0R1O(0B
rUEA~XQN6F?JyEc<{9bO5%s03>%+0KgN#6+lEp*r&pE09sX5;0*W4?6&~GD&Q7~0002<@TaGzLU;fwNs=V#{}2S8{gQk3N$k
7;|Je
""",
    12: """
|4;u>04YEK0000O0000G00000000000000O0000G0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?k
dTm&kdTm&kdTmwh=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000ng9X+lfVEbQ}+c2bO68r69BaO0|#^fzyK1!02
6@O0Ect{+Sc{}qBH=&029Cf6+qZx`+^H}0BWmM`v4GtcUAzv02MF*1#o6&W@g%Pf^`6{U0q#WUEmn@F@fy30Kfn%-
~blT9*@W4@pwG*`g(eC0(bzvKA+F$^Z9%}pYQ(=0uUbkh(LSxApz{a0RPz
""",
}


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K])
def test_high_throughput_jpeg_2000(bits: int, syntax: UID) -> None:
    pytest.importorskip("openjpeg", reason="the dicom extra is not installed")
    frame = base64.b85decode("".join(HIGH_THROUGHPUT[bits].split()))
    assert frame.find(b"\xff\x50") > 0  # CAP: capabilities of part 15
    sizes = {8: {}, 12: {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}}[bits]
    window = {"WindowCenter": 1 << bits - 1, "WindowWidth": 1 << bits}
    data = encapsulated(frame, syntax, **sizes, **window)
    plain = drawn(ramp() if bits == 8 else ramp().astype(int) * 16 + 7, **window)
    if bits == 8:
        np.testing.assert_array_equal(read_full_image(data).pixels, ramp())
    np.testing.assert_array_equal(read_full_image(data).pixels, read_full_image(plain).pixels)
    assert refusal(data[: -len(frame) // 2]).reason in ("truncated", "corrupt")


@pytest.mark.parametrize("signed", [0, 1])
def test_jpeg_2000_of_sixteen_bits(signed: int) -> None:
    pytest.importorskip("openjpeg", reason="the dicom extra is not installed")
    values = np.add.outer(np.arange(64), np.arange(80)) * 350 - 32768 * signed
    window = {"WindowCenter": 25000 - 32768 * signed, "WindowWidth": 50000}
    wide = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": signed}
    plain = drawn(values, **wide, **window)
    dataset = pydicom.dcmread(io.BytesIO(plain))
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    packed = io.BytesIO()
    dataset.save_as(packed)
    assert len(packed.getvalue()) < len(plain)
    np.testing.assert_array_equal(
        read_full_image(packed.getvalue()).pixels, read_full_image(plain).pixels
    )


# -- real files


@needs_dcmtk
@pytest.mark.real
@pytest.mark.skipif(not (DATA / "dicom").is_dir(), reason="no real images (PLAINFILM_DATA)")
def test_real_files(tmp_path: Path) -> None:
    compared = []
    for path in sorted((DATA / "dicom").rglob("*")):
        if not path.is_file() or path.suffix == ".csv":
            continue
        try:
            image = read_full_image(path)
        except ImageError:
            continue  # no pixels: see test_pixels_real
        window = str(image.metadata.get("window", ""))
        options: tuple[object, ...] = ("+Wm",) if window.startswith("min-max") else ("+Wi", 1)
        if image.metadata["mode"] in ("RGB", "P"):
            options = ("+G",)
        elif window == "VOI LUT":
            options = ("+Wl", 1)
        try:
            other = theirs(path, tmp_path, *options)
        except AssertionError:
            assert "j2k" in path.name or "jp2k" in path.name, path.name
            continue
        loose = (
            image.metadata["mode"] in ("RGB", "P") or "jpeg" in path.name or path.name in LOSSY_JPEG
        )
        agree(image.pixels, other, slack=1.5 if loose else 0)
        compared.append(path.name)
    assert len(compared) >= 20


LOSSY_JPEG = ("mg_breast.dcm",)

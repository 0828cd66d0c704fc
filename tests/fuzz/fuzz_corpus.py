"""The files that fuzzing starts from: one small drawn radiograph in every encoding that is read."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from plainfilm.phantom import draw

__all__ = ["draw_corpus"]

Grey = NDArray[np.uint8]


def draw_corpus(seed: int = 0) -> dict[str, bytes]:
    """Return name to file; every one is an image.

    JPEG-LS, JPEG lossless and extended are among them where dcmtk and the ``dicom`` extra are here.
    """
    picture = draw(np.random.default_rng(seed), size=(40, 48))
    drawn = dict(_dicoms(picture))
    return dict(_rasters(picture)) | drawn | dict(_packed(drawn["explicit.dcm"]))


def _packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    if find_spec("libjpeg") is None:
        return
    for name, tool, option in (
        ("ls.dcm", "dcmcjpls", "+el"),
        ("near.dcm", "dcmcjpls", "+en"),
        ("lossless.dcm", "dcmcjpeg", "+e1"),
        ("extended.dcm", "dcmcjpeg", "+ee"),
    ):
        if shutil.which(tool) is None:
            continue
        with TemporaryDirectory() as folder:
            source, target = Path(folder) / "plain.dcm", Path(folder) / name
            source.write_bytes(data)
            subprocess.run([tool, option, source, target], check=True, capture_output=True)
            yield name, target.read_bytes()


def _saved(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.copy().save(file, kind, **options)  # saving leaves options of its format behind
    return file.getvalue()


def _rasters(picture: Grey) -> Iterator[tuple[str, bytes]]:
    grey = Pillow.fromarray(picture)
    deep = Pillow.fromarray(picture.astype(np.uint16) * 200)
    colour = Pillow.fromarray(np.dstack([picture, picture // 2, 255 - picture]))
    clear = Pillow.fromarray(np.dstack([picture, picture]))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    yield "grey.jpg", _saved(grey, "jpeg", exif=exif)
    yield "colour.jpg", _saved(colour, "jpeg")
    yield "progressive.jpg", _saved(colour, "jpeg", progressive=True)
    yield "rgb.jpg", _saved(colour, "jpeg", keep_rgb=True)
    parts = {"exif": exif, "icc_profile": bytes(300), "xmp": b"<x/>", "comment": b"drawn"}
    yield "parts.jpg", _saved(grey, "jpeg", **parts)
    yield "cmyk.jpg", _saved(colour.convert("CMYK"), "jpeg")
    yield "grey.png", _saved(grey, "png", exif=exif)
    yield "deep.png", _saved(deep, "png")
    yield "palette.png", _saved(colour.convert("P"), "png", transparency=3)
    texts = PngInfo()
    for number, name in enumerate(("Comment", "Raw profile type exif", "exif")):
        texts.add_text(name, "\nexif\n9\n" + exif.tobytes().hex(), zip=number == 0)
    yield "texts.png", _saved(grey, "png", pnginfo=texts, icc_profile=bytes(300))
    yield "alpha.png", _saved(clear, "png")
    yield "bits.png", _saved(grey.convert("1"), "png")
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"{name}.tiff", _saved(grey, "tiff", compression=name, exif=exif)
    yield "fax.tiff", _saved(grey.convert("1"), "tiff", compression="group4")
    yield "strips.tiff", _saved(grey, "tiff", compression="tiff_lzw", strip_size=200)
    yield "deep.tiff", _saved(deep, "tiff")
    yield "float.tiff", _saved(Pillow.fromarray(picture / np.float32(255)), "tiff")
    yield "pages.tiff", _saved(grey, "tiff", save_all=True, append_images=[colour.copy(), deep])
    yield "big.tiff", _saved(grey, "tiff", big_tiff=True)
    yield "grey.bmp", _saved(grey, "bmp")
    yield "runs.bmp", _runs(picture)
    yield "colour.bmp", _saved(colour, "bmp")
    yield "colour.webp", _saved(colour, "webp", exif=exif)
    yield "lossless.webp", _saved(clear.convert("RGBA"), "webp", lossless=True)
    yield "grey.gif", _saved(grey, "gif")
    yield "comment.gif", _saved(grey, "gif", comment=b"drawn " * 99)
    yield "moving.gif", _saved(grey, "gif", save_all=True, append_images=[colour.convert("P")])


def _runs(picture: Grey) -> bytes:
    """Write a bitmap with run-length encoding: one run for each pixel."""
    height, width = picture.shape
    pixels = b"".join(b"".join(b"\1%c" % v for v in row) + b"\0\0" for row in picture[::-1])
    palette = b"".join(bytes((v, v, v, 0)) for v in range(256))
    at = 54 + len(palette)
    head = struct.pack("<IHHIIiiHH", at + len(pixels), 0, 0, at, 40, width, height, 1, 8)
    return b"BM" + head + struct.pack("<IIiiII", 1, len(pixels), 0, 0, 256, 0) + palette + pixels


def _header(rows: int, columns: int, bits: int, **elements: Any) -> Dataset:
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    header.SOPInstanceUID = "2.25.1"
    header.Modality, header.BodyPartExamined, header.ViewPosition = "DX", "CHEST", "PA"
    header.PatientAge, header.PatientSex = "044Y", "F"
    header.Rows, header.Columns, header.SamplesPerPixel = rows, columns, 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = 8 if bits == 8 else 16
    header.BitsStored, header.HighBit, header.PixelRepresentation = bits, bits - 1, 0
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def _written(header: Dataset, pixels: bytes, syntax: UID, bare: bool = False) -> bytes:
    header.PixelData = pixels
    header["PixelData"].VR = "OB" if header.BitsAllocated == 8 or syntax.is_compressed else "OW"
    file = io.BytesIO()
    if bare:
        header.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=True)
        return file.getvalue()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    if syntax.is_encapsulated:
        header["PixelData"].is_undefined_length = True
    header.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _table(entries: list[int], first: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, 12]
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    return Sequence([item])


def _dicoms(picture: Grey) -> Iterator[tuple[str, bytes]]:
    rows, columns = picture.shape
    deep = picture.astype(np.uint16) * 16
    little, window = deep.astype("<u2").tobytes(), {"WindowCenter": 2048, "WindowWidth": 4096}

    def header(bits: int = 12, **elements: Any) -> Dataset:
        return _header(rows, columns, bits, **elements)

    for name, syntax in (
        ("explicit", ExplicitVRLittleEndian),
        ("implicit", ImplicitVRLittleEndian),
        ("deflated", DeflatedExplicitVRLittleEndian),
    ):
        yield f"{name}.dcm", _written(header(**window), little, syntax)
    swapped = deep.astype(">u2").tobytes()
    yield "big.dcm", _written(header(**window), swapped, ExplicitVRBigEndian)
    yield "bare.dcm", _written(header(), little, ImplicitVRLittleEndian, bare=True)
    tables = {
        "ModalityLUTSequence": _table(list(range(0, 4096, 2)), 0),
        "VOILUTSequence": _table(list(range(4095, 0, -4)), 100),
        "PhotometricInterpretation": "MONOCHROME1",
        "PixelPaddingValue": 0,
    }
    yield "tables.dcm", _written(header(**tables), little, ExplicitVRLittleEndian)
    signed = (deep.astype(np.int16) - 2048).astype("<i2").tobytes()
    yield (
        "signed.dcm",
        _written(
            header(PixelRepresentation=1, RescaleSlope=2, RescaleIntercept=-9),
            signed,
            ExplicitVRLittleEndian,
        ),
    )
    frames = header(NumberOfFrames=2, **window)
    yield "frames.dcm", _written(frames, little + little, ExplicitVRLittleEndian)
    colour = np.dstack([picture, picture // 2, 255 - picture])
    for name, kind in (("rgb", "RGB"), ("ybr", "YBR_FULL")):
        three = header(8, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation=kind)
        yield f"{name}.dcm", _written(three, colour.tobytes(), ExplicitVRLittleEndian)
    yield "palette.dcm", _written(_palette(header(8)), picture.tobytes(), ExplicitVRLittleEndian)
    yield (
        "segments.dcm",
        _written(_palette(header(8), segmented=True), picture.tobytes(), ExplicitVRLittleEndian),
    )
    grey = Pillow.fromarray(picture)
    for name, syntax, frame in (
        ("jpeg", JPEGBaseline8Bit, _saved(grey, "jpeg")),
        ("jpeg2000", JPEG2000Lossless, _saved(grey, "jpeg2000", no_jp2=True, num_resolutions=2)),
    ):
        yield f"{name}.dcm", _written(header(8), encapsulate([frame]), syntax)
    packed = header(**window)
    packed.PixelData = little
    packed["PixelData"].VR = "OW"
    packed.file_meta = FileMetaDataset()
    packed.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    packed.compress(RLELossless, encoding_plugin="pydicom")
    file = io.BytesIO()
    packed.save_as(file, enforce_file_format=True)
    yield "rle.dcm", file.getvalue()


def _palette(header: Dataset, segmented: bool = False) -> Dataset:
    header.PhotometricInterpretation = "PALETTE COLOR"
    for colour, gain in (("Red", 1), ("Green", 2), ("Blue", 3)):
        name = f"{colour}PaletteColorLookupTable"
        setattr(header, f"{name}Descriptor", [256, 0, 16])
        if segmented:
            words = [0, 2, 0, 256 * gain, 1, 250, 20000 * gain, 2, 1, 8, 0]
            setattr(header, f"Segmented{name}Data", np.array(words, "<u2").tobytes())
        else:
            setattr(header, f"{name}Data", (np.arange(256) * 85 * gain).astype("<u2").tobytes())
    return header

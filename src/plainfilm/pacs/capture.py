"""Makes a Secondary Capture: the image with its heat map, and the prediction in words below.

The picture is that of the image, its longest side 1024 pixels. Colours are drawn only where the
network saw the image, and where the heat map is not 0; every other pixel keeps its grey level. The
caption is below the picture and covers nothing of it. It has no name of a patient.

The file is not compressed, so that every archive and viewer can show it: 3 to 4 MB with colours, a
third of that without. RLE would save a fifth of it, and take 20 times as long.
"""

from __future__ import annotations

import copy
import functools
import io
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from plainfilm.explain import heat_colours, overlay
from plainfilm.pacs.caption import Line, caption, choose_label
from plainfilm.pacs.lettering import draw_text, load_font, wrap
from plainfilm.pacs.results import AnsweredImage, Model, Result, instance_number, subject_of
from plainfilm.pacs.signature import CAPTURE_SERIES, MANUFACTURER, MODEL_NAME, derived_uid
from plainfilm.pixels.prepare import Box

__all__ = ["draw_capture", "make_capture"]

SIDE = 1024
"""Longest side of the picture in pixels; smaller images are enlarged, so that the text fits."""
NARROWEST = 640
"""Smallest width of the capture; a narrower picture is in the middle of it."""

_MARGIN, _GAP, _INDENT = 20, 8, 24  # indent of the second line of a text
_LARGE, _SMALL = 24, 19  # height of the letters in pixels
_WHITE, _GREY = 255, 190
_AT_ONCE = 32  # lines of the picture whose colours fit into the processor's cache
_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\0\0"  # tag (7FE0,0010) and VR, in explicit little endian
_SCALE = (120, 14)  # width and height of the scale of colours


def make_capture(model: Model, image: AnsweredImage) -> Result:
    """Return the capture of an image that has a prediction and a picture.

    The same image and model always give the same file, to the byte.
    """
    dataset = _describe(model, image)
    pixels = draw_capture(model, image)
    if not _has_colours(model, image):
        pixels = np.ascontiguousarray(pixels[..., 0])
    _describe_pixels(dataset, pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    # The pixels are the last element. pydicom would copy their megabytes four times.
    padding = b"\0" * (pixels.size % 2)
    head = _PIXEL_DATA + (pixels.size + len(padding)).to_bytes(4, "little")
    data = b"".join((out.getvalue(), head, pixels.data, padding))
    return Result(dataset.SOPInstanceUID, "capture", dataset.SOPClassUID, data)


def draw_capture(model: Model, image: AnsweredImage) -> NDArray[np.uint8]:
    """Return the picture with heat map and caption, (height, width, 3)."""
    assert image.picture is not None and image.prediction is not None
    picture = _at_full_size(image.picture)
    height, width = picture.shape
    lower = _draw_caption(caption(model, image), max(width, NARROWEST))
    canvas = np.zeros((height + lower.shape[0], lower.shape[1], 3), np.uint8)
    left = (lower.shape[1] - width) // 2
    upper = canvas[:height, left : left + width]
    upper[...] = np.asarray(Image.fromarray(picture).convert("RGB"))
    if _has_colours(model, image):
        assert image.heatmap is not None
        _colour(upper, picture, image.heatmap, image.region)
    canvas[height:] = lower
    return canvas


def _has_colours(model: Model, image: AnsweredImage) -> bool:
    """Return whether the capture shows a heat map."""
    assert image.prediction is not None
    return image.heatmap is not None and choose_label(model, image.prediction) is not None


def _at_full_size(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = SIDE / max(picture.shape)
    if scale == 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape)
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _colour(
    canvas: NDArray[np.uint8], picture: NDArray[np.uint8], heat: NDArray[np.float32], region: Box
) -> None:
    """Draw a heat map over its region of a picture."""
    height, width = picture.shape
    x, columns = _overlap(region[0] * width, region[2] * width, width, heat.shape[1])
    y, rows = _overlap(region[1] * height, region[3] * height, height, heat.shape[0])
    if x.start >= x.stop or y.start >= y.stop:
        return
    coarse = Image.fromarray(np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8))
    size, part = (x.stop - x.start, y.stop - y.start), (columns[0], rows[0], columns[1], rows[1])
    levels = np.asarray(coarse.resize(size, Image.Resampling.BILINEAR, part))
    canvas, picture, mixtures = canvas[y, x], picture[y, x], _mixtures()
    for first in range(0, len(levels), _AT_ONCE):
        lines = slice(first, first + _AT_ONCE)
        index = np.left_shift(levels[lines], 8, dtype=np.uint16) | picture[lines]
        colours = mixtures[index].view(np.uint8).reshape(*index.shape, 4)
        for channel in range(3):  # three times as fast as all at once
            canvas[lines, :, channel] = colours[..., channel]


def _overlap(start: float, stop: float, side: int, cells: int) -> tuple[slice, tuple[float, float]]:
    """Return the pixels of a side that an interval covers, and what of a map is drawn there."""
    first, last = max(0, round(start)), min(side, round(stop))
    scale = cells / (stop - start)
    return slice(first, last), (
        max(0.0, (first - start) * scale),
        min(float(cells), (last - start) * scale),
    )


@functools.cache
def _mixtures() -> NDArray[np.uint32]:
    """Return the colours of `overlay` for each heat (high byte) and grey level (low byte)."""
    levels = np.arange(256)
    heat = np.repeat(levels / 255, 256).astype(np.float32)[None]
    colours = overlay(np.tile(levels, 256).astype(np.uint8)[None], heat)[0]
    padded = np.zeros((1 << 16, 4), np.uint8)
    padded[:, :3] = colours
    return padded.view(np.uint32)[:, 0]


def _draw_caption(lines: list[Line], width: int) -> NDArray[np.uint8]:
    drawn: list[Callable[[Image.Image], None]] = []
    y = _MARGIN
    for line in lines:
        size = _SMALL if line.is_small else _LARGE
        font = load_font(size, is_bold=line.is_bold)
        left = _MARGIN + (_SCALE[0] + _GAP if line.has_scale else 0)
        y += _GAP if line.has_gap else 0
        if line.has_scale:
            drawn.append(partial(_draw_scale, place=(_MARGIN, y + 4)))
        level = _WHITE if line.is_bold else _GREY
        for number, text in enumerate(wrap(line.text, font, width - _MARGIN - left - _INDENT)):
            place = left + (_INDENT if number else 0), y
            drawn.append(partial(draw_text, place=place, text=text, font=font, level=level))
            y += size + _GAP
    canvas = Image.new("RGB", (width, y + _MARGIN - _GAP))
    for draw in drawn:
        draw(canvas)
    return np.asarray(canvas)


def _draw_scale(canvas: Image.Image, place: tuple[int, int]) -> None:
    """Draw the scale of colours, weak to strong."""
    scale = np.tile(np.linspace(0, 1, _SCALE[0], dtype=np.float32), (_SCALE[1], 1))
    canvas.paste(Image.fromarray(heat_colours(scale)), place)


def _describe_pixels(made: Dataset, pixels: NDArray[np.uint8]) -> None:
    """Describe the pixels: (height, width) in grey levels, or (height, width, 3) in colour."""
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    if pixels.ndim == 3:
        made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"
        made.PlanarConfiguration = 0
    made.PixelRepresentation = 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7


def _describe(model: Model, image: AnsweredImage) -> Dataset:
    """Return the data set without its pixels."""
    header = image.header
    made = copy.deepcopy(header.evidence)  # an assignment would change elements that are shared
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = derived_uid("capture", header.sop_uid, image.sha256, model.bundle_id)
    made.SeriesInstanceUID = derived_uid("captures", *subject_of(image), model.bundle_id)
    made.SeriesNumber = CAPTURE_SERIES
    made.InstanceNumber = instance_number(made.SOPInstanceUID)
    made.SeriesDescription = "plainfilm picture: research only, not for diagnosis"
    # Other: an archive or a program that looks for radiographs must not find this one.
    made.Modality = "OT"
    if header.body_part:
        made.BodyPartExamined = header.body_part
    if header.body_part != "CHEST":  # Type 2C: absent if the body part is known to be unpaired
        made.Laterality = header.laterality if header.laterality in ("L", "R") else ""
    made.PatientOrientation = [*header.orientation]
    made.Manufacturer, made.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    made.SoftwareVersions, made.DeviceSerialNumber = model.version, model.bundle_id[:16]
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    if header.burned_in:  # the caption has no identity, but the image may have one
        made.BurnedInAnnotation = header.burned_in
    if header.is_lossy:  # it stays so in all that is derived (PS3.3 C.7.6.1.1.5)
        made.LossyImageCompression = "01"
    source, purpose = Dataset(), Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.sop_class, header.sop_uid
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    source.PurposeOfReferenceCodeSequence = [purpose]
    made.SourceImageSequence = [source]
    return made

"""Decodes DICOM files to one grey image with the decoders of pydicom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from plainfilm._optional import install_hint
from plainfilm.errors import ImageError
from plainfilm.pixels.dicom_file import QUIET_PYDICOM, open_dicom
from plainfilm.pixels.grey import grey_from_stored
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.pixels.layout import Layout
from plainfilm.pixels.limits import Limits, broken
from plainfilm.pixels.metadata import read_metadata
from plainfilm.pixels.palette import look_up_palette
from plainfilm.pixels.pixel_data import DicomFile
from plainfilm.pixels.raster import GreyImage, shows_colour


def decode_dicom(data: bytes, limits: Limits, frame: int = 0) -> GreyImage:
    """Decode one frame, counted from 0, of a DICOM file with or without preamble.

    The limits are checked against the header, and against the header of a compressed frame, before
    memory is taken. An ImageError never quotes the file.
    """
    with ISOLATION, QUIET_PYDICOM:
        try:
            file = open_dicom(data, limits, frame)
            stored = _stored_frame(file)
            if _ignores_high_bit(stored, file.layout):
                file = file.with_low_bits()
            return _to_grey(file, _stored_bits(stored, file), frame, len(data))
        except ImageError as error:
            failure = error
        except Exception as error:  # libraries raise all kinds for hostile bytes
            failure = _explain(error)
    # Outside of the handler, so that no message of a library is attached as its context.
    failure.__context__ = None
    raise failure


def _to_grey(file: DicomFile, stored: NDArray[Any], frame: int, size: int) -> GreyImage:
    header, layout = file.header, file.layout
    metadata = read_metadata(header)
    metadata |= {"format": "dicom", "bytes": float(size), "frames": float(layout.frames)}
    if layout.frames > 1:
        metadata["frame"] = float(frame)
    metadata["bits"] = float(layout.stored)
    corrected = {*layout.corrected}
    if stored.ndim == 3 or layout.photometric == "PALETTE COLOR":
        metadata["mode"] = "RGB" if stored.ndim == 3 else "P"
        shown = _colour(stored, header, layout)
        metadata["coloured"] = float(shows_colour(shown))
        picture = shown.convert("L")
    else:
        metadata["coloured"] = 0.0
        metadata["mode"] = "L" if stored.itemsize == 1 else "I;16" if stored.itemsize == 2 else "I"
        levels, notes, changed = grey_from_stored(stored, header, frame, layout.stored)
        metadata |= notes
        corrected |= changed
        picture = Pillow.fromarray(levels)
    if corrected:
        metadata["corrected"] = " ".join(sorted(corrected))
    width, height = picture.size
    metadata |= {"width": float(width), "height": float(height), "decoded_width": float(width)}
    return GreyImage(picture, (width, height), 1, metadata)


def _stored_frame(file: DicomFile) -> NDArray[Any]:
    """Return the stored values of one frame, (rows, columns) or (rows, columns, 3)."""
    syntax = file.syntax
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None:
        raise ImageError("unsupported-format", "this DICOM compression is not supported")
    if not decoder.is_available:
        raise _needs_codec(syntax)
    options = _options(file)
    if not syntax.is_encapsulated:
        options["correct_unused_bits"] = False
    failure = ImageError("corrupt", "the DICOM data are damaged")
    # Pillow is always installed and comes first, so that the levels of a lossy image do not depend
    # on what else is installed; "" lets pydicom try every decoder.
    for plugin in ("pillow", ""):
        if plugin and plugin not in decoder.available_plugins:
            continue
        file.stream.seek(file.start)
        try:
            stored: NDArray[Any]
            stored, _ = decoder.as_array(
                file.stream, index=file.index, decoding_plugin=plugin, **options
            )
        except ImageError:
            raise
        except Exception as error:
            failure = _explain(error)
        else:
            stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
            return stored
    # One of several decoders may be installed, but not the one that this file needs.
    if syntax.is_encapsulated and any(
        name.startswith("pylibjpeg") for name in decoder.missing_dependencies
    ):
        failure = _needs_codec(syntax)
    raise failure


def _options(file: DicomFile) -> dict[str, Any]:
    """Return the layout as options of the decoders of pydicom."""
    layout = file.layout
    options: dict[str, Any] = {
        "pixel_keyword": file.keyword,
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
    }
    if file.vr is not None:
        options["pixel_vr"] = file.vr
    return options


def _ignores_high_bit(stored: NDArray[Any], layout: Layout) -> bool:
    """Whether the values are in the low bits although the header states higher ones."""
    unused = layout.high + 1 - layout.stored
    if stored.dtype.kind not in "iu" or unused <= 0 or not stored.size:
        return False
    low, high = int(stored.min()), int(stored.max())
    fits = -(1 << layout.stored - 1) <= low and high < 1 << layout.stored
    return fits and bool((stored & ((1 << unused) - 1)).any())


def _stored_bits(stored: NDArray[Any], file: DicomFile) -> NDArray[Any]:
    """Cut the stored bits out of the allocated ones (PS3.5 section 8.1.1).

    pydicom assumes that the high bit is the last of the stored ones. Older files store them at the
    top, or overlays in the remaining bits. A compressed frame may be lossy and exceed its range by
    a few levels, which are limited: cut, they would become the opposite of what they are.
    """
    stream, layout = file.codestream, file.layout
    if file.syntax.is_encapsulated:
        if stream is None or stream.bits <= layout.stored:
            return stored
    else:
        stream = None
    allocated, bits, high = 8 * stored.itemsize, layout.stored, layout.high
    if stored.dtype.kind not in "iu" or not 1 < bits < allocated or high >= allocated:
        return stored
    unsigned = stored.view(f"u{stored.itemsize}")
    if stored.dtype.kind == "u" and high == bits - 1:
        most = int(unsigned.max(initial=0))
        if most < 1 << bits:
            return stored  # there is nothing to cut in nearly every file
        if stream is not None and most < (1 << bits) + (1 << bits >> 3):
            limited: NDArray[Any] = np.minimum(stored, stored.dtype.type((1 << bits) - 1))
            return limited
    values: NDArray[Any] = unsigned >> (high + 1 - bits) & ((1 << bits) - 1)
    if stored.dtype.kind == "u":
        return values
    sign = 1 << (bits - 1)
    signed: NDArray[Any] = (values ^ sign).view(stored.dtype) - stored.dtype.type(sign)
    return signed


def _colour(stored: NDArray[Any], header: Any, layout: Layout) -> Pillow.Image:
    """Return RGB of RGB or palette pixels; pydicom has converted YBR to RGB."""
    colour = stored[..., :3] if stored.ndim == 3 else look_up_palette(stored, header)
    if colour.itemsize > 1:
        colour = colour >> max(0, layout.stored - 8)
    return Pillow.fromarray(np.ascontiguousarray(colour, dtype=np.uint8))


def _needs_codec(syntax: UID) -> ImageError:
    return ImageError(
        "needs-codec",
        "decoding this DICOM compression needs an optional package",
        received=syntax.name if not syntax.is_private else "a private compression",
        remedy=install_hint("dicom"),
    )


def _explain(error: Exception) -> ImageError:
    """Return the ImageError for an exception of a library, without quoting the file."""
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return ImageError("out-of-memory", "there was not enough memory to decode the image")
    if isinstance(error, EOFError) or any(
        sign in text for sign in ("less than expected", "truncated", "too short", "end of")
    ):
        return broken("truncated", "the DICOM file ends before the image is complete")
    return broken("corrupt", "the DICOM data are damaged", type(error).__name__)

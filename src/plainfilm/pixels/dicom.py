"""Decodes DICOM files to one grey image with the decoders of pydicom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID, RLELossless

from plainfilm._optional import install_hint
from plainfilm.errors import ImageError
from plainfilm.pixels.dicom_file import QUIET_PYDICOM, DicomFile, open_dicom
from plainfilm.pixels.grey import grey_from_stored
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.pixels.limits import Limits, broken
from plainfilm.pixels.metadata import element, read_metadata
from plainfilm.pixels.palette import look_up_palette
from plainfilm.pixels.raster import GreyImage, shows_colour


def decode_dicom(data: bytes, limits: Limits, frame: int = 0) -> GreyImage:
    """Decode one frame, counted from 0, of a DICOM file with or without preamble.

    The limits are checked against the header, and against the header of a compressed frame, before
    memory is taken. An ImageError never quotes the file.
    """
    with ISOLATION, QUIET_PYDICOM:
        try:
            file = open_dicom(data, limits, frame)
            return _to_grey(file, _stored_frame(file, frame), frame, len(data))
        except ImageError as error:
            failure = error
        except Exception as error:  # libraries raise all kinds for hostile bytes
            failure = _explain(error)
    # Outside of the handler, so that no message of a library is attached as its context.
    failure.__context__ = None
    raise failure


def _to_grey(file: DicomFile, stored: NDArray[Any], frame: int, size: int) -> GreyImage:
    header = file.header
    metadata = read_metadata(header)
    metadata |= {"format": "dicom", "bytes": float(size), "frames": float(file.frames)}
    if file.frames > 1:
        metadata["frame"] = float(frame)
    metadata["bits"] = float(element(header, "BitsStored") or 8 * stored.itemsize)
    if stored.ndim == 3 or metadata.get("photometric") == "PALETTE COLOR":
        metadata["mode"] = "RGB" if stored.ndim == 3 else "P"
        shown = _colour(stored, header)
        metadata["coloured"] = float(shows_colour(shown))
        picture = shown.convert("L")
    else:
        metadata["coloured"] = 0.0
        metadata["mode"] = "L" if stored.itemsize == 1 else "I;16" if stored.itemsize == 2 else "I"
        levels, notes = grey_from_stored(stored, header, frame)
        metadata |= notes
        picture = Pillow.fromarray(levels)
    width, height = picture.size
    metadata |= {"width": float(width), "height": float(height), "decoded_width": float(width)}
    return GreyImage(picture, (width, height), 1, metadata)


def _stored_frame(file: DicomFile, frame: int) -> NDArray[Any]:
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
    plain = not syntax.is_encapsulated or syntax == RLELossless
    options = {"correct_unused_bits": False} if plain else {}
    failure = ImageError("corrupt", "the DICOM data are damaged")
    # Pillow is always installed and comes first, so that the levels of a lossy image do not depend
    # on what else is installed; "" lets pydicom try every decoder. Run lengths are for pydicom
    # alone: another decoder panics where they are too long.
    for plugin in ("pydicom",) if syntax == RLELossless else ("pillow", ""):
        if plugin and plugin not in decoder.available_plugins:
            continue
        try:
            stored: NDArray[Any] = pixel_array(
                file.stream,
                index=frame,
                transfer_syntax_uid=syntax,
                decoding_plugin=plugin,
                **options,
            )
        except ImageError:
            raise
        except Exception as error:
            failure = _explain(error)
        else:
            stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
            return _stored_bits(stored, file.header) if plain else stored
    # One of several decoders may be installed, but not the one that this file needs.
    if not plain and any(name.startswith("pylibjpeg") for name in decoder.missing_dependencies):
        failure = _needs_codec(syntax)
    raise failure


def _stored_bits(stored: NDArray[Any], header: Any) -> NDArray[Any]:
    """Cut the stored bits out of the allocated ones (PS3.5 section 8.1.1).

    pydicom assumes that the high bit is the last of the stored ones. Older files store them at the
    top, or overlays in the remaining bits.
    """
    allocated = 8 * stored.itemsize
    bits = int(element(header, "BitsStored") or allocated)
    high = element(header, "HighBit")
    high = bits - 1 if high is None else int(high)
    if (
        stored.dtype.kind not in "iu"
        or not 1 < bits < allocated
        or not bits - 1 <= high < allocated
    ):
        return stored
    unsigned = stored.view(f"u{stored.itemsize}")
    plain = stored.dtype.kind == "u" and high == bits - 1
    if plain and unsigned.max(initial=0) < 1 << bits:
        return stored  # there is nothing to cut in nearly every file
    values: NDArray[Any] = unsigned >> (high + 1 - bits) & ((1 << bits) - 1)
    if stored.dtype.kind == "u":
        return values
    sign = 1 << (bits - 1)
    signed: NDArray[Any] = (values ^ sign).view(stored.dtype) - stored.dtype.type(sign)
    return signed


def _colour(stored: NDArray[Any], header: Any) -> Pillow.Image:
    """Return RGB of RGB or palette pixels; pydicom has converted YBR to RGB."""
    colour = stored[..., :3] if stored.ndim == 3 else look_up_palette(stored, header)
    if colour.itemsize > 1:
        bits = int(element(header, "BitsStored") or 8 * colour.itemsize)
        colour = colour >> max(0, bits - 8)
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

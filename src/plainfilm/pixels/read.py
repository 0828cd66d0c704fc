"""Reads a path or bytes as an image: detects the format, decodes, prepares."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm._files import hash_bytes, open_at_once
from plainfilm.errors import ImageError
from plainfilm.pixels.limits import LIMITS, Limits, check_bytes
from plainfilm.pixels.prepare import Box, cover, find_borders, find_region, fit, upright
from plainfilm.pixels.raster import GreyImage, Need, decode_raster
from plainfilm.pixels.sniff import Format, sniff
from plainfilm.records import PixelSpec

DECODER_VERSION = 5
"""Version of the pixels and metadata that this package makes of a file; caches depend on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A grey image and the metadata of its file.

    Attributes
    ----------
    pixels
        uint8 (size, size), or (height, width) from :func:`read_full_image`; 0 to 255, air is dark
        and bone is bright. Read-only.
    metadata
        Always ``format``, ``bytes`` (of the file), ``width``, ``height`` (upright), ``bits``,
        ``mode`` and ``decoded_width``. ``frame`` (counted from 0) and ``frames`` if there are
        several; DICOM always has ``frames``. ``window`` if more than 8 bits became 8. ``trimmed``
        (share of the area cut off as border, 0 to 1) if the spec trims. ``coloured`` (1 if the
        image shows colour, else 0; absent if unknown) and ``text`` (lines of burnt-in text), see
        :func:`read_image_and_text`. ``alpha``
        (``opaque``, ``partial`` or ``hidden``) if the file has transparency. ``corrected`` (words,
        separated by spaces) if the data overrule the header or an extreme pixel does not set the
        scale, see ``plainfilm.pixels.metadata.CORRECTIONS``. ``exif``, ``progressive`` and
        ``quantisation`` of ``plainfilm.pixels.raster.decode_raster``. For
        DICOM those of ``plainfilm.pixels.metadata.read_metadata``. Never an identity.
    """

    pixels: NDArray[np.uint8]
    metadata: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class WholeImage:
    """A whole upright grey image.

    ``region`` is the part of it that the image prepared for a network shows: left, top, right and
    bottom in units of width and height, below 0 or above 1 where that has borders.
    """

    picture: Pillow.Image
    region: Box


def read_image(source: bytes | str | Path, spec: PixelSpec, *, limits: Limits = LIMITS) -> Image:
    """Read any supported file as the square grey image that ``spec`` describes.

    The pixels depend only on the bytes of the file and on ``spec``.

    Parameters
    ----------
    source
        Bytes or path of a file.
    spec
        Size, geometry, trimming and frame.
    limits
        Limits of the file.

    Returns
    -------
    image
        Its ``pixels`` have the shape (spec.size, spec.size).

    Raises
    ------
    ImageError
        For every failure. ``reason`` is one of ``missing``, ``unreadable``, ``empty``,
        ``not-an-image``, ``unsupported-format``, ``too-large``, ``too-many-frames``,
        ``no-such-frame``, ``truncated``, ``corrupt``, ``no-pixels``, ``needs-codec``,
        ``out-of-memory`` (which may succeed another time).
    """
    return _read(_load(source, limits), spec, limits, False)[0]


def read_image_and_text(
    source: bytes | str | Path, spec: PixelSpec, *, limits: Limits = LIMITS
) -> Image:
    """Read as :func:`read_image` does, and also look for colour and for burnt-in text.

    The pixels are the same to the bit. The metadata contain ``coloured`` also for a JPEG with
    colour channels; :func:`read_image` decodes only its luminance. They contain ``text`` if
    ``plainfilm.pixels.text`` finds any. A cache filled with this reader also serves
    :func:`read_image`.
    """
    from plainfilm.pixels.text import SIDE, find_text, write_lines

    data = _load(source, limits)
    image, decoded, _ = _read(data, spec, limits, True)
    whole = PixelSpec(SIDE, frame=spec.frame)
    if spec.size < SIDE and decoded.metadata["decoded_width"] != decoded.metadata["width"]:
        # A JPEG was decoded at a fraction of its size: letters need more.
        decoded = _decode(data, sniff(data), limits, cover(whole), spec.frame, False)
    if lines := find_text(np.asarray(fit(decoded, whole))):
        return Image(image.pixels, {**image.metadata, "text": write_lines(lines)})
    return image


def read_image_and_whole(
    source: bytes | str | Path, spec: PixelSpec, *, limits: Limits = LIMITS
) -> tuple[Image, WholeImage]:
    """Read as :func:`read_image` does, and return the whole upright grey image too.

    Both have the pixels of :func:`read_image` and :func:`read_full_image`, to the bit. A file is
    decoded once, unless it is a JPEG that :func:`read_image` decodes at a fraction of its size.
    """
    data = _load(source, limits)
    image, decoded, box = _read(data, spec, limits, False)
    region = find_region(decoded, spec, box)
    whole = upright(decoded.picture, decoded.orientation)
    if whole.size != (image.metadata["width"], image.metadata["height"]):
        decoded = _decode(data, sniff(data), limits, None, spec.frame, False)
        whole = upright(decoded.picture, decoded.orientation)
    return image, WholeImage(whole, region)


def _read(
    data: bytes, spec: PixelSpec, limits: Limits, colour: bool
) -> tuple[Image, GreyImage, Box | None]:
    kind = sniff(data)
    decoded = _decode(data, kind, limits, cover(spec), spec.frame, colour)
    box = None
    if spec.trim:
        box = find_borders(decoded)
        wide, high = decoded.size
        share = (box[2] - box[0]) / wide, (box[3] - box[1]) / high
        decoded.metadata["trimmed"] = round(1 - share[0] * share[1], 6)
        if share[0] == share[1] == 1:
            box = None
        elif decoded.metadata["decoded_width"] != decoded.metadata["width"]:
            # Without the borders the image may be too small for the network: decode a larger one.
            finer = _decode(data, kind, limits, cover(spec, share), spec.frame, colour)
            x, y = finer.size[0] / wide, finer.size[1] / high
            box = box[0] * x, box[1] * y, box[2] * x, box[3] * y
            finer.metadata["trimmed"] = decoded.metadata["trimmed"]
            decoded = finer
    return Image(_array(fit(decoded, spec, box)), decoded.metadata), decoded, box


def read_full_image(
    source: bytes | str | Path, *, limits: Limits = LIMITS, frame: int = 0
) -> Image:
    """Read any supported file as an upright grey image (height, width) at its own size.

    ``frame`` is counted from 0. Metadata and errors are those of :func:`read_image`.
    """
    data = _load(source, limits)
    decoded = _decode(data, sniff(data), limits, None, frame, False)
    return Image(_array(upright(decoded.picture, decoded.orientation)), decoded.metadata)


def read_pixel_hash(source: bytes | str | Path, spec: PixelSpec) -> Image:
    """Read a file as a black image with the SHA-256 of its full pixels (metadata ``pixels``).

    Files with equal pixels of the same shape have the same hash, whatever their format.
    """
    pixels = read_full_image(source, frame=spec.frame).pixels
    digest = hash_bytes(f"{pixels.shape}".encode() + pixels.tobytes())
    return Image(np.zeros((spec.size, spec.size), np.uint8), {"pixels": digest})


def _array(picture: Pillow.Image) -> NDArray[np.uint8]:
    pixels = np.asarray(picture)
    pixels.flags.writeable = False
    return pixels


def _decode(
    data: bytes, kind: Format, limits: Limits, need: Need | None, frame: int, colour: bool
) -> GreyImage:
    if kind is Format.DICOM:
        from plainfilm.pixels.dicom import decode_dicom  # pydicom only when a DICOM file arrives

        return decode_dicom(data, limits, frame)
    return decode_raster(data, kind, limits, need, frame=frame, colour=colour)


def _load(source: bytes | str | Path, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        check_bytes(len(source), limits)
        return source
    try:
        # Unbuffered: one read puts the whole file into the bytes that are decoded.
        with open(source, "rb", buffering=0, opener=open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(
                    "unreadable", "the path is not a regular file", received=str(source)
                )
            check_bytes(status.st_size, limits)
            return file.readall()
    except FileNotFoundError:
        failure = ImageError("missing", "the file does not exist", received=str(source))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        failure = ImageError(
            "unreadable", f"the file cannot be read: {reason}", received=str(source)
        )
    raise failure

"""The hallway: a path or bytes to the canonical image, the same way everywhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import LIMITS, Limits, check_bytes
from plainfilm.pixels.prepare import cover, find_borders, fit, upright
from plainfilm.pixels.raster import Decoded, Need, decode_raster
from plainfilm.pixels.sniff import Format, sniff
from plainfilm.records import PixelSpec

DECODER_VERSION = 3
"""Raise it when this room makes other pixels or metadata of a file; caches are then filled anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A grey image and what its file says about itself.

    Attributes
    ----------
    pixels
        uint8 (size, size), or (height, width) from :func:`read_picture`; 0 to 255, air dark and
        bone bright. Not writeable.
    metadata
        Always ``format``, ``bytes`` (of the file), ``width``, ``height`` (upright), ``bits``,
        ``mode`` and ``decoded_width``; ``frame`` (which one this is, from 0) and ``frames`` where
        there are several (``frames`` of DICOM always); ``window`` where more than 8 bits became 8;
        ``trimmed`` (part of the area cut off as border, 0 to 1) where the spec asks for it;
        ``coloured`` (1 where colour is shown, 0 where the picture is grey, whatever the file is;
        absent where that was not looked at: see :func:`read_image_and_colour`); ``exif``,
        ``progressive`` and ``quantisation`` of ``plainfilm.pixels.raster.decode_raster``; the
        metadata of ``plainfilm.pixels.metadata`` for DICOM. Never an identity.
    """

    pixels: NDArray[np.uint8]
    metadata: Mapping[str, str | float] = field(default_factory=dict)


def read_image(source: bytes | str | Path, spec: PixelSpec, *, limits: Limits = LIMITS) -> Image:
    """Read any supported file as the square grey image that ``spec`` describes.

    The pixels depend on the file's bytes and on ``spec``, and on nothing else.

    Parameters
    ----------
    source
        The bytes of a file, or its path.
    spec
        Size, geometry, trimming, and which picture of several.
    limits
        What the file may take.

    Returns
    -------
    image
        ``pixels`` of shape (spec.size, spec.size).

    Raises
    ------
    ImageError
        For every failure; ``reason`` is one of ``missing``, ``unreadable``, ``empty``,
        ``not-an-image``, ``unsupported-format``, ``too-large``, ``too-many-frames``,
        ``no-such-frame``, ``truncated``, ``corrupt``, ``no-pixels``, ``needs-codec``,
        ``out-of-memory`` (which may pass).
    """
    return _read(source, spec, limits, False)


def read_image_and_colour(
    source: bytes | str | Path, spec: PixelSpec, *, limits: Limits = LIMITS
) -> Image:
    """Read as :func:`read_image` does, and know in every case whether the file shows colour.

    The pixels are the same to the bit. The fact ``coloured`` is there for a JPEG with colour
    channels too, of which :func:`read_image` decodes the luminance only. A small one (224 x 224)
    takes about twice as long here, every other file as long as there. Give it as the ``reader`` of
    :func:`plainfilm.data.fill_cache`; what it fills serves :func:`read_image` as well.

    Parameters, metadata and errors are those of :func:`read_image`.
    """
    return _read(source, spec, limits, True)


def _read(source: bytes | str | Path, spec: PixelSpec, limits: Limits, colour: bool) -> Image:
    data = _load(source, limits)
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
            # The borders may have taken so much that the rest would have to be scaled up.
            finer = _decode(data, kind, limits, cover(spec, share), spec.frame, colour)
            x, y = finer.size[0] / wide, finer.size[1] / high
            box = box[0] * x, box[1] * y, box[2] * x, box[3] * y
            finer.metadata["trimmed"] = decoded.metadata["trimmed"]
            decoded = finer
    return Image(_array(fit(decoded, spec, box)), decoded.metadata)


def read_picture(source: bytes | str | Path, *, limits: Limits = LIMITS, frame: int = 0) -> Image:
    """Read any supported file as a grey image at its own size and shape.

    Parameters, metadata and errors are those of :func:`read_image`, ``frame`` is that of the spec;
    ``pixels`` has the shape (height, width) of the upright picture.
    """
    data = _load(source, limits)
    decoded = _decode(data, sniff(data), limits, None, frame, False)
    return Image(_array(upright(decoded.picture, decoded.orientation)), decoded.metadata)


def _array(picture: Pillow.Image) -> NDArray[np.uint8]:
    pixels = np.asarray(picture)
    pixels.flags.writeable = False
    return pixels


def _decode(
    data: bytes, kind: Format, limits: Limits, need: Need | None, frame: int, colour: bool
) -> Decoded:
    if kind is Format.DICOM:
        from plainfilm.pixels.dicom import decode_dicom  # pydicom only when a DICOM file arrives

        return decode_dicom(data, limits, frame)
    return decode_raster(data, kind, limits, need, frame=frame, colour=colour)


def _load(source: bytes | str | Path, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        check_bytes(len(source), limits)
        return source
    try:
        # Unbuffered: the whole file comes in one read, straight into the bytes that are decoded.
        with open(source, "rb", buffering=0, opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("unreadable", "this is no ordinary file", received=str(source))
            check_bytes(status.st_size, limits)
            return file.readall()
    except FileNotFoundError:
        failure = ImageError("missing", "there is no such file", received=str(source))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        failure = ImageError(
            "unreadable", f"the file cannot be read: {reason}", received=str(source)
        )
    raise failure


def _open_at_once(path: str, flags: int) -> int:
    # A named pipe would otherwise wait for someone to write into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

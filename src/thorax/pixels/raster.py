"""JPEG, PNG, TIFF, BMP, WebP and GIF through Pillow: bytes to one grey picture."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageChops, ImageFile

from thorax.errors import ImageError
from thorax.pixels.isolate import ISOLATION, QUIET_STDERR
from thorax.pixels.limits import Limits, check_pixels
from thorax.pixels.sniff import Format

__all__ = ["Decoded", "Need", "decode_raster", "grey_from_depth"]

Need = Callable[[int, int], tuple[int, int]]
"""Full width and height to the width and height that a reduced decoding must still have."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A grey picture as the file stores it, perhaps at a fraction of its full size.

    Attributes
    ----------
    picture
        Mode ``L``, air dark, bone bright.
    size
        Width and height of what the picture shows, in its own pixels. Below the picture's own
        size by a fraction of a pixel where a reduced decoding rounded up.
    orientation
        EXIF orientation, 1 to 8, that turns the picture upright.
    facts
        What the file says about itself.
    """

    picture: Pillow.Image
    size: tuple[float, float]
    orientation: int
    facts: dict[str, str | float]


_PLUGINS = {
    Format.JPEG: ("PIL.JpegImagePlugin", "JpegImageFile"),
    Format.PNG: ("PIL.PngImagePlugin", "PngImageFile"),
    Format.TIFF: ("PIL.TiffImagePlugin", "TiffImageFile"),
    Format.BMP: ("PIL.BmpImagePlugin", "BmpImageFile"),
    Format.WEBP: ("PIL.WebPImagePlugin", "WebPImageFile"),
    Format.GIF: ("PIL.GifImagePlugin", "GifImageFile"),
}


def decode_raster(data: bytes, kind: Format, limits: Limits, need: Need | None) -> Decoded:
    """Decode the (first) picture of ``data``.

    Parameters
    ----------
    data
        The whole file.
    kind
        Its format, as sniffed.
    limits
        Checked against the header, before memory is taken.
    need
        The size that is needed out of the full one. A JPEG is then decoded at 1/2, 1/4 or 1/8
        where that still covers the need on both axes. None decodes at full size.

    Raises
    ------
    ImageError
        ``too-large``, ``truncated``, ``corrupt`` or ``unsupported-format``.
    """
    with ISOLATION, QUIET_STDERR if kind is Format.TIFF else contextlib.nullcontext():
        try:
            return _decode(data, kind, limits, need)
        except ImageError:
            raise
        except Exception as error:  # whatever a library raises about hostile bytes
            failure = _explain(error, data, kind)
    raise failure


def _decode(data: bytes, kind: Format, limits: Limits, need: Need | None) -> Decoded:
    if kind is Format.WEBP:
        check_pixels(*_webp_size(data), limits)  # Pillow's reader takes the memory on opening
    module, name = _PLUGINS[kind]
    # The plugin itself rather than Pillow.open: no guessing among dozens of formats, and no
    # second opinion about how many pixels are too many.
    file: ImageFile.ImageFile = getattr(importlib.import_module(module), name)(io.BytesIO(data))
    width, height = file.size
    check_pixels(width, height, limits)
    facts: dict[str, str | float] = {
        "format": str(kind),
        "bytes": float(len(data)),
        "mode": file.mode,
        "bits": float(_bits(file, data, kind)),
    }
    orientation = _orientation(file)
    inverted = kind is Format.TIFF and _is_white_zero(file)
    scale = _draft(file, need, len(data)) if kind is Format.JPEG else 1
    picture = _to_grey(file, inverted, facts)
    turned = orientation >= 5
    facts["width"], facts["height"] = map(float, (height, width) if turned else (width, height))
    facts["decoded_width"] = float(picture.height if turned else picture.width)
    return Decoded(picture, (width / scale, height / scale), orientation, facts)


def _draft(file: ImageFile.ImageFile, need: Need | None, size: int) -> int:
    """Ask libjpeg for luminance only, at the smallest scale that covers the need."""
    if file.mode == "CMYK":
        mode = None  # its luminance has to be worked out of all four channels
    else:
        mode = "L"
    width = file.width
    file.draft(mode, need(*file.size) if need else None)
    file.decodermaxblock = size  # hand libjpeg the file in one piece
    return round(width / file.width) if file.width > 1 else 1


def _to_grey(
    file: ImageFile.ImageFile, inverted: bool, facts: dict[str, str | float]
) -> Pillow.Image:
    if file.mode == "L" and "transparency" not in file.info:
        file.load()
        return file
    if file.mode[0] in "IF":
        levels, window = grey_from_depth(np.asarray(file))
        facts["window"] = window
        if inverted:
            np.subtract(255, levels, out=levels)
        return Pillow.fromarray(levels)
    if file.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in file.info:
        # What is transparent is no image: it becomes air. Multiplying by the opacity is
        # compositing over black.
        colour = file.convert("RGBA")
        return ImageChops.multiply(colour.convert("L"), colour.getchannel("A"))
    return file.convert("L")


def grey_from_depth(values: NDArray[np.generic]) -> tuple[NDArray[np.uint8], str]:
    """Bring samples of more than 8 bits to 8, and name the range that became 0 to 255.

    Integers are divided by the range of the smallest depth (8 to 16 bits) that holds the largest
    one: 12-bit values in a 16-bit file look as they should, values that fill 16 bits become
    exactly their upper 8 bits, and the exposure of an image is kept, which stretching each one
    from its minimum to its maximum would lose (one burnt-in white letter would decide it).
    Floats within 0 to 1 keep that range. Everything else (negative, 32 bit, other floats) has no
    range to go by, and is stretched from minimum to maximum; what is not finite becomes black.

    Parameters
    ----------
    values
        Any integer or float array.

    Returns
    -------
    levels, window
        uint8 array of the same shape; ``"0..4095"`` or the like.
    """
    if values.dtype.kind in "ui":
        lowest, highest = int(values.min()), int(values.max())
        if lowest >= 0 and highest < 1 << 16:
            top = (1 << max(8, highest.bit_length())) - 1
            # Rounded to the nearest, in integers; the table is as long as the range.
            table = ((np.arange(top + 1, dtype=np.uint32) * 510 + top) // (2 * top)).astype("u1")
            return table[values], f"0..{top}"
        low, high = float(lowest), float(highest)
    else:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
    span = high - low or 1.0
    scaled = (values.astype(np.float64) - low) * (255 / span)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(scaled).astype(np.uint8), f"{low:g}..{high:g}"


def _orientation(file: ImageFile.ImageFile) -> int:
    """Return the EXIF (or XMP) orientation; damaged metadata do not damage the image."""
    if not {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & file.info.keys() and (
        not hasattr(file, "tag_v2")
    ):
        return 1
    try:
        value = file.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_white_zero(file: ImageFile.ImageFile) -> bool:
    # Pillow turns such files itself, except those of more than 8 bits.
    return file.mode[0] in "IF" and file.tag_v2.get(262) == 0  # type: ignore[attr-defined]


def _bits(file: ImageFile.ImageFile, data: bytes, kind: Format) -> int:
    if kind is Format.PNG:
        return data[24]
    if kind is Format.TIFF:
        return int(file.tag_v2.get(258, (1,))[0])  # type: ignore[attr-defined]
    return 1 if file.mode == "1" else 8


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the size of the canvas off the first chunk (RFC 9649, section 2)."""
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L" and len(data) >= 25:
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if chunk == b"VP8 " and len(data) >= 30:
        return (
            int.from_bytes(data[26:28], "little") & 0x3FFF,
            int.from_bytes(data[28:30], "little") & 0x3FFF,
        )
    raise ImageError("truncated", "the file ends within its header", received="WebP")


def _explain(error: Exception, data: bytes, kind: Format) -> ImageError:
    name = kind.upper() if kind is not Format.WEBP else "WebP"
    received = f"{len(data):,} bytes of {name}"
    text = str(error).lower()
    if isinstance(error, (MemoryError, Pillow.DecompressionBombError)) or "too large" in text:
        return ImageError("too-large", "the image needs too much memory", received=received)
    if "truncated" in text or "not enough" in text or isinstance(error, EOFError):
        return ImageError(
            "truncated",
            "the file ends before the image is complete",
            received=received,
            todo="fetch the file again",
        )
    if "cannot handle" in text or "unsupported" in text or "unknown" in text:
        return ImageError(
            "unsupported-format",
            f"this kind of {name} is not read",
            received=str(error),
            todo="save it as an 8-bit or 16-bit PNG",
        )
    return ImageError(
        "corrupt",
        f"the {name} data are damaged",
        received=f"{received}; {type(error).__name__}: {error}"[:200],
        todo="fetch the file again",
    )

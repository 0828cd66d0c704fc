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

from plainfilm.errors import ImageError
from plainfilm.pixels.codestream import check_scans
from plainfilm.pixels.isolation import ISOLATION, QUIET_STDERR
from plainfilm.pixels.limits import Limits, Source, check_frame, check_pixels
from plainfilm.pixels.sniff import Format
from plainfilm.pixels.tiff import choose_page
from plainfilm.pixels.traits import has_exif, jpeg_metadata, shows_colour, stores_rgb

_SMALL = 1 << 20  # bytes: too few for a header that takes long

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
    metadata
        What the file says about itself.
    """

    picture: Pillow.Image
    size: tuple[float, float]
    orientation: int
    metadata: dict[str, str | float]


_PLUGINS = {
    Format.JPEG: ("PIL.JpegImagePlugin", "JpegImageFile"),
    Format.PNG: ("PIL.PngImagePlugin", "PngImageFile"),
    Format.TIFF: ("PIL.TiffImagePlugin", "TiffImageFile"),
    Format.BMP: ("PIL.BmpImagePlugin", "BmpImageFile"),
    Format.WEBP: ("PIL.WebPImagePlugin", "WebPImageFile"),
    Format.GIF: ("PIL.GifImagePlugin", "GifImageFile"),
}


def decode_raster(
    data: bytes,
    kind: Format,
    limits: Limits,
    need: Need | None,
    *,
    frame: int = 0,
    colour: bool = False,
) -> Decoded:
    """Decode one picture of ``data``.

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
    frame
        Which page of a TIFF, counted from 0. Of an animation the first picture is read and no
        other: later ones are differences, whose memory and time no header tells.
    colour
        Whether to know of a JPEG with colour channels if they show any. The picture is the same to
        the bit, but those channels, which are otherwise left alone, have to be decoded.

    Returns
    -------
    decoded
        The metadata of every format are ``coloured`` (absent for a JPEG with colour channels unless
        ``colour`` is asked for; see :func:`plainfilm.pixels.traits.shows_colour`) and ``exif`` (1
        where the file has such a block, else 0). Of a JPEG: ``progressive`` (1 or 0), and
        ``quantisation``, the mean of the luminance quantisation table (ISO 10918-1, B.2.4.1): 1 is
        the finest, Pillow's quality 75 makes about 29. Of a TIFF with several pages: ``frame`` and
        ``frames``.

    Raises
    ------
    ImageError
        ``too-large``, ``too-many-frames``, ``no-such-frame``, ``truncated``, ``corrupt`` or
        ``unsupported-format``.
    """
    with ISOLATION, QUIET_STDERR if kind is Format.TIFF else contextlib.nullcontext():
        # Also where somebody has set it again since the isolation began.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            return _decode(data, kind, limits, need, frame, colour)
        except ImageError:
            raise
        except Exception as error:  # whatever a library raises about hostile bytes
            failure = _explain(error, data, kind)
    raise failure


def _decode(
    data: bytes, kind: Format, limits: Limits, need: Need | None, frame: int, colour: bool
) -> Decoded:
    size, frames = len(data), 1
    if kind is Format.TIFF:
        data, frames = choose_page(data, frame, limits)
    else:
        check_frame(frame, frames)
    if kind is Format.WEBP:
        check_pixels(*_webp_size(data), limits)  # Pillow's reader takes the memory on opening
    module, name = _PLUGINS[kind]
    # The plugin itself rather than Pillow.open: no guessing among dozens of formats, and no
    # second opinion about how many pixels are too many.
    stream = Source(data) if size > _SMALL else io.BytesIO(data)
    file: ImageFile.ImageFile = getattr(importlib.import_module(module), name)(stream)
    width, height = file.size
    check_pixels(width, height, limits)
    metadata: dict[str, str | float] = {
        "format": str(kind),
        "bytes": float(size),
        "mode": file.mode,
        "bits": float(_bits(file, data, kind)),
    }
    if frames > 1:
        metadata |= {"frame": float(frame), "frames": float(frames)}
    orientation = _orientation(file)
    inverted = kind is Format.TIFF and _is_white_zero(file)
    scale = 1
    if kind is Format.JPEG:
        check_scans(data, width, height, limits)
        metadata |= jpeg_metadata(file)
        scale = _draft(file, need, len(data), colour)
    picture = _to_grey(file, inverted, metadata)
    metadata["exif"] = float(has_exif(file))  # a PNG may have it behind the pixels
    turned = orientation >= 5
    metadata["width"], metadata["height"] = map(
        float, (height, width) if turned else (width, height)
    )
    metadata["decoded_width"] = float(picture.height if turned else picture.width)
    return Decoded(picture, (width / scale, height / scale), orientation, metadata)


def _draft(file: ImageFile.ImageFile, need: Need | None, size: int, colour: bool) -> int:
    """Ask libjpeg for luminance only, at the smallest scale that covers the need."""
    mode: str | None = "L"
    if file.mode == "CMYK":
        mode = None  # its luminance has to be worked out of all four channels
    elif colour and file.mode == "RGB":
        # libjpeg turns RGB to luminance by the very formula that Pillow has.
        mode = None if stores_rgb(file) else "YCbCr"
    width = file.width
    file.draft(mode, need(*file.size) if need else None)
    file.decodermaxblock = size  # hand libjpeg the file in one piece
    return round(width / file.width) if file.width > 1 else 1


def _to_grey(
    file: ImageFile.ImageFile, inverted: bool, metadata: dict[str, str | float]
) -> Pillow.Image:
    """Return the grey picture, and note whether there was colour where that can be told."""
    if file.mode == "L" and "transparency" not in file.info:
        file.load()
        if metadata["mode"] == "L":
            metadata["coloured"] = 0.0
        return file
    if file.mode == "YCbCr" and metadata["format"] == Format.JPEG:
        file.load()
        metadata["coloured"] = float(shows_colour(file))
        return file.getchannel("Y")
    if file.mode[0] in "IF":
        metadata["coloured"] = 0.0
        levels, window = grey_from_depth(np.asarray(file))
        metadata["window"] = window
        if inverted:
            np.subtract(255, levels, out=levels)
        return Pillow.fromarray(levels)
    if file.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in file.info:
        # What is transparent is no image: it becomes air. Multiplying by the opacity is
        # compositing over black.
        colour = file.convert("RGBA")
        seen = Pillow.merge("RGB", colour.convert("RGBa").split()[:3])
        metadata["coloured"] = float(shows_colour(seen))
        return ImageChops.multiply(colour.convert("L"), colour.getchannel("A"))
    metadata["coloured"] = float(file.mode != "1" and shows_colour(file.convert("RGB")))
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
    if isinstance(error, MemoryError):
        return ImageError("out-of-memory", "there was not enough memory to decode the image")
    if isinstance(error, Pillow.DecompressionBombError) or "too large" in text:
        return ImageError("too-large", "the image needs too much memory", received=received)
    if "truncated" in text or "not enough" in text or isinstance(error, EOFError):
        return ImageError(
            "truncated",
            "the file ends before the image is complete",
            received=received,
            remedy="fetch the file again",
        )
    if "cannot handle" in text or "unsupported" in text or "unknown" in text:
        return ImageError(
            "unsupported-format",
            f"this kind of {name} is not read",
            received=str(error),
            remedy="save it as an 8-bit or 16-bit PNG",
        )
    return ImageError(
        "corrupt",
        f"the {name} data are damaged",
        received=f"{received}; {type(error).__name__}: {error}"[:200],
        remedy="fetch the file again",
    )

"""Decodes JPEG, PNG, TIFF, BMP, WebP and GIF files to one grey image with Pillow."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageChops, ImageFile

from plainfilm.errors import ImageError
from plainfilm.pixels.codestream import check_scans, describe
from plainfilm.pixels.depth import grey_from_depth
from plainfilm.pixels.headers import (
    PHANTOM,
    bits_per_sample,
    exif_orientation,
    has_exif,
    is_drawn,
    jpeg_metadata,
    stores_rgb,
    webp_size,
)
from plainfilm.pixels.isolation import ISOLATION, QUIET_STDERR
from plainfilm.pixels.limits import Limits, Source, broken, check_frame, check_pixels
from plainfilm.pixels.sniff import Format
from plainfilm.pixels.structure import check_structure, is_harmless

_SMALL = 1 << 20  # bytes: a smaller file has no header that takes long to read
_GIF_READS = 20_000  # two for each block before the image, and one for 64 KiB of the image
_TINT = 8  # levels of Cb or Cr away from the middle; the chroma of a grey JPEG stays below
_SPECK = 0.001  # share of the pixels of a grey image that may be tinted, of a hidden one visible

_UNSUPPORTED = {
    "jpeg-ls": "JPEG-LS",
    "lossless": "lossless JPEG",
    "other": "arithmetic or hierarchical JPEG",
}

Need = Callable[[int, int], tuple[int, int]]
"""Full width and height to the width and height that a reduced decoding must still have."""


@dataclass(frozen=True, slots=True)
class GreyImage:
    """A grey image as the file stores it, perhaps at a fraction of its full size."""

    picture: Pillow.Image
    """Pillow image of mode ``L``; air is dark, bone is bright."""
    size: tuple[float, float]
    """Width and height of the image in pixels of ``picture``. A fraction of a pixel below the size
    of ``picture`` where a reduced decoding rounded up."""
    orientation: int
    """EXIF orientation, 1 to 8, that turns the image upright."""
    metadata: dict[str, str | float]


def decode_raster(
    data: bytes,
    kind: Format,
    limits: Limits,
    need: Need | None,
    *,
    frame: int = 0,
    colour: bool = False,
) -> GreyImage:
    """Decode one image of a file.

    A JPEG is decoded at 1/2, 1/4 or 1/8 if that covers the ``need`` on both axes; None decodes at
    full size. ``frame`` is the page of a TIFF, counted from 0. Only the first image of an animation
    is read: later ones are differences, and no header says how much memory and time they take.

    The metadata always have ``exif`` (1 if the file has such a block, else 0) and ``coloured`` (see
    :func:`shows_colour`; absent for a JPEG with colour channels unless ``colour`` is set: they are
    decoded for it alone, and the image is the same to the bit). ``alpha`` (``opaque``, ``partial``,
    or ``hidden`` if at most 0.1 % of the pixels are visible) if the file has transparency. A JPEG
    has ``progressive`` (1 or 0)
    and ``quantisation``, the mean of the luminance quantisation table (ISO 10918-1, B.2.4.1): 1 is
    the finest, Pillow's quality 75 gives about 29. An image drawn by plainfilm has a
    ``manufacturer``. A TIFF with several pages has ``frame`` and
    ``frames``.
    """
    with ISOLATION, QUIET_STDERR if kind is Format.TIFF else contextlib.nullcontext():
        # Another thread may have changed it after the isolation began.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            return _decode(data, kind, limits, need, frame, colour)
        except ImageError:
            raise
        except Exception as error:  # libraries raise all kinds for hostile bytes
            failure = _explain(error, data, kind)
    raise failure


def _decode(
    data: bytes, kind: Format, limits: Limits, need: Need | None, frame: int, colour: bool
) -> GreyImage:
    size, frames = len(data), 1
    if kind is Format.TIFF:
        from plainfilm.pixels.tiff import choose_page  # Pillow's reader only when a TIFF arrives

        data, frames = choose_page(data, frame, limits)
    else:
        check_frame(frame, frames)
    if not is_harmless(data, kind):
        check_structure(data, kind, limits)
    if kind is Format.WEBP:
        check_pixels(*webp_size(data), limits)  # Pillow takes the memory when it opens the file
    file = _open(data, kind)
    width, height = file.size
    check_pixels(width, height, limits)
    metadata: dict[str, str | float] = {
        "format": str(kind),
        "bytes": float(size),
        "mode": file.mode,
        "bits": float(bits_per_sample(file, data, kind)),
    }
    if frames > 1:
        metadata |= {"frame": float(frame), "frames": float(frames)}
    if is_drawn(file):
        metadata["manufacturer"] = PHANTOM
    orientation = exif_orientation(file)
    scale = 1
    if kind is Format.JPEG:
        check_scans(data, width, height, limits)
        metadata |= jpeg_metadata(file)
        scale = _draft(file, need, len(data), colour)
    picture = _to_grey(file, metadata)
    if kind is Format.TIFF:  # Pillow has turned it upright
        orientation, (width, height) = 1, file.size
    metadata["exif"] = float(has_exif(file))
    turned = orientation >= 5
    metadata["width"], metadata["height"] = map(
        float, (height, width) if turned else (width, height)
    )
    metadata["decoded_width"] = float(picture.height if turned else picture.width)
    return GreyImage(picture, (width / scale, height / scale), orientation, metadata)


def _open(data: bytes, kind: Format) -> ImageFile.ImageFile:
    """Open a file without decoding it.

    This uses the plugin itself and not Pillow.open, which tries dozens of formats and has its own
    limit of pixels.
    """
    stream = io.BytesIO(data) if len(data) <= _SMALL else Source(data)
    if kind is Format.GIF:  # whose comments are small blocks
        stream = Source(data, _GIF_READS + len(data) // 4096)
    if kind is Format.TIFF:
        from plainfilm.pixels.tiff import TiffFile

        tiff = TiffFile(stream)
        tiff.length = len(data)
        return tiff
    plugin = importlib.import_module(f"PIL.{_name(kind)}ImagePlugin")
    file: ImageFile.ImageFile = getattr(plugin, f"{_name(kind)}ImageFile")(stream)
    return file


def _name(kind: Format) -> str:
    return "WebP" if kind is Format.WEBP else kind.title()


def _draft(file: ImageFile.ImageFile, need: Need | None, size: int, colour: bool) -> int:
    """Set libjpeg to luminance at the smallest scale that covers the need; return the divisor."""
    mode: str | None = "L"
    if file.mode == "CMYK":
        mode = None  # luminance depends on all four channels
    elif colour and file.mode == "RGB":
        # libjpeg converts RGB to luminance with the same formula as Pillow.
        mode = None if stores_rgb(file) else "YCbCr"
    width = file.width
    file.draft(mode, need(*file.size) if need else None)
    file.decodermaxblock = size  # give libjpeg the file in one piece
    return round(width / file.width) if file.width > 1 else 1


def _to_grey(file: ImageFile.ImageFile, metadata: dict[str, str | float]) -> Pillow.Image:
    """Return the grey image, and add ``coloured`` to the metadata if it is known."""
    sign = getattr(file, "sign", "")  # of a TIFF whose samples are not those of Pillow's array
    if file.mode == "L" and not sign and "transparency" not in file.info:
        file.load()
        if metadata["mode"] == "L":
            metadata["coloured"] = 0.0
        return file
    if file.mode == "YCbCr" and metadata["format"] == Format.JPEG:
        file.load()
        metadata["coloured"] = float(shows_colour(file))
        return file.getchannel("Y")
    if sign or file.mode[0] in "IF":
        metadata["coloured"] = 0.0
        samples = np.asarray(file)
        levels, notes = grey_from_depth(
            samples.view(f"{sign}{samples.itemsize}") if sign else samples
        )
        metadata |= notes
        if getattr(file, "white_zero", False):
            np.subtract(255, levels, out=levels)
        return Pillow.fromarray(levels)
    if file.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in file.info:
        # Transparent pixels become air: multiplying by the opacity composites over black.
        rgba = file.convert("RGBA")
        visible = Pillow.merge("RGB", rgba.convert("RGBa").split()[:3])
        metadata["coloured"] = float(shows_colour(visible))
        opacity = rgba.getchannel("A")
        metadata["alpha"] = _visibility(opacity)
        return ImageChops.multiply(rgba.convert("L"), opacity)
    metadata["coloured"] = float(file.mode != "1" and shows_colour(file.convert("RGB")))
    return file.convert("L")


def _visibility(opacity: Pillow.Image) -> str:
    """Return ``opaque``, ``partial`` or ``hidden`` for an alpha channel."""
    if opacity.getextrema() == (255, 255):
        return "opaque"
    seen = opacity.width * opacity.height - opacity.histogram()[0]
    return "partial" if seen > _SPECK * opacity.width * opacity.height else "hidden"


def shows_colour(picture: Pillow.Image) -> bool:
    """Whether an image of mode ``RGB`` or ``YCbCr`` shows colour, or is grey in a colour format.

    It shows colour if Cb or Cr (ITU-R BT.601, full range) is more than 8 levels away from the
    middle in more than 0.1 % of the pixels. Grey images saved as colour JPEG stay below that.
    """
    chroma = picture if picture.mode == "YCbCr" else picture.convert("YCbCr")
    tinted = 0
    for channel in (1, 2):
        level = np.asarray(chroma.getchannel(channel))
        # Lower levels wrap around, so that one comparison is enough.
        off = level - np.uint8(128 - _TINT) > 2 * _TINT
        tinted = max(tinted, int(np.count_nonzero(off)))
    return tinted > _SPECK * chroma.width * chroma.height


def _explain(error: Exception, data: bytes, kind: Format) -> ImageError:
    """Return the ImageError for an exception of Pillow."""
    name = _name(kind) if kind is Format.WEBP else kind.upper()
    received = f"{len(data):,} bytes of {name}"
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return ImageError("out-of-memory", "there was not enough memory to decode the image")
    stream = describe(data) if kind is Format.JPEG else None
    if stream is not None and stream.kind in _UNSUPPORTED:
        return ImageError(
            "unsupported-format",
            f"{_UNSUPPORTED[stream.kind]} is not supported outside of DICOM",
            received=received,
            remedy="save it as an 8-bit or 16-bit PNG",
        )
    if isinstance(error, Pillow.DecompressionBombError) or "too large" in text:
        return ImageError("too-large", "the image needs too much memory", received=received)
    if "truncated" in text or "not enough" in text or isinstance(error, EOFError):
        return broken("truncated", "the file ends before the image is complete", received)
    if any(sign in text for sign in ("cannot handle", "unsupported", "unknown", "conversion from")):
        return ImageError(
            "unsupported-format",
            f"this variant of {name} is not supported",
            received=str(error),
            remedy="save it as an 8-bit or 16-bit PNG",
        )
    received = f"{received}; {type(error).__name__}: {error}"[:200]
    return broken("corrupt", f"the {name} data are damaged", received)

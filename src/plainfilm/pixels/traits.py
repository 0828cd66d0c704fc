"""What a picture file tells beyond its pixels: colour, EXIF, how a JPEG was made."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile

_TINT = 8  # levels of Cb or Cr off the middle: the chroma of a grey JPEG stays below
_SPECK = 0.001  # part of the pixels that may be tinted and the picture still be grey


def shows_colour(picture: Pillow.Image) -> bool:
    """Whether a picture shows colour, or is a grey one in a colour file.

    It does where Cb or Cr (ITU-R BT.601, full range) is more than 8 levels off the middle in more
    than 0.1 % of the pixels: grey pictures that went through a colour JPEG stay below.

    Parameters
    ----------
    picture
        Mode ``RGB`` or ``YCbCr``.
    """
    chroma = picture if picture.mode == "YCbCr" else picture.convert("YCbCr")
    tinted = 0
    for channel in (1, 2):
        level = np.asarray(chroma.getchannel(channel))
        # What lies below wraps around, so that one comparison is enough.
        off = level - np.uint8(128 - _TINT) > 2 * _TINT
        tinted = max(tinted, int(np.count_nonzero(off)))
    return tinted > _SPECK * chroma.width * chroma.height


def stores_rgb(file: ImageFile.ImageFile) -> bool:
    """Whether the three components of a JPEG are RGB rather than YCbCr, by libjpeg's rules."""
    if "jfif" in file.info:
        return False
    if "adobe" in file.info:
        return file.info.get("adobe_transform") == 0
    return bytes(layer[0] for layer in file.layer) == b"RGB"  # type: ignore[attr-defined]


def jpeg_metadata(file: ImageFile.ImageFile) -> dict[str, float]:
    """Return ``progressive``, and ``quantisation`` where the file has a table."""
    metadata = {"progressive": float("progressive" in file.info)}
    tables, layers = file.quantization, file.layer  # type: ignore[attr-defined]
    table = tables.get(layers[0][3]) if layers else None
    if table:
        metadata["quantisation"] = sum(table) / len(table)
    return metadata


def has_exif(file: ImageFile.ImageFile) -> bool:
    """Whether the file has an EXIF block; ask once it is decoded."""
    tags = getattr(file, "tag_v2", {})  # of a TIFF, where it is a directory of its own
    return bool({"exif", "Raw profile type exif"} & file.info.keys()) or 34665 in tags

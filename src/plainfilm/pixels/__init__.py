"""Bytes to the canonical grey image: any X-ray, read the same way everywhere.

``sniff`` tells the format by content, ``raster`` and ``dicom`` decode it to one grey picture,
``prepare`` makes it the square that a network sees; ``read`` is the hallway through them.
"""

from plainfilm.pixels.limits import LIMITS, Limits
from plainfilm.pixels.read import (
    DECODER_VERSION,
    Image,
    read_image,
    read_image_and_colour,
    read_picture,
)
from plainfilm.pixels.sniff import IMAGE_SUFFIXES, Format, sniff

__all__ = [
    "DECODER_VERSION",
    "IMAGE_SUFFIXES",
    "LIMITS",
    "Format",
    "Image",
    "Limits",
    "read_image",
    "read_image_and_colour",
    "read_picture",
    "sniff",
]

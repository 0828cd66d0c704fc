"""Reads any X-ray image file as a grey image, the same way everywhere.

The format is recognised by its content (``sniff``), the file is decoded to one grey image
(``raster``, ``dicom``), and that is resized to the square input of a network (``prepare``).
"""

from plainfilm.pixels.limits import LIMITS, Limits
from plainfilm.pixels.read import (
    DECODER_VERSION,
    Image,
    read_full_image,
    read_image,
    read_image_and_text,
    read_image_and_whole,
    read_pixel_hash,
)
from plainfilm.pixels.sniff import IMAGE_SUFFIXES, Format, sniff

__all__ = [
    "DECODER_VERSION",
    "IMAGE_SUFFIXES",
    "LIMITS",
    "Format",
    "Image",
    "Limits",
    "read_full_image",
    "read_image",
    "read_image_and_text",
    "read_image_and_whole",
    "read_pixel_hash",
    "sniff",
]

"""Limits of one file, checked before memory is taken."""

from __future__ import annotations

import io
from dataclasses import dataclass

from plainfilm.errors import ImageError

_READS = 2_000_000
_SLACK = 65_536  # bytes; an image of few pixels may have a long header


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one image; a file above one of them is rejected from its header alone.

    Attributes
    ----------
    bytes
        Size of the file, and of a compressed header or data set after inflation.
    pixels
        Width times height, and compressed bytes of a PNG or of a TIFF with Deflate, LZMA or
        Zstandard.
        The largest radiographs have about 30 million pixels.
    frames
        Number of frames of a DICOM file, or of pages of a TIFF; one of them is read.
    """

    bytes: int = 512 * 1024 * 1024
    pixels: int = 100_000_000
    frames: int = 10_000


LIMITS = Limits()
"""Large enough for radiographs, too small for decompression bombs."""


class Source(io.BytesIO):
    """The bytes of a whole file, which can be read a limited number of times.

    Libraries read a header in small steps, one or two for each marker, chunk, data element or
    fragment, and keep what they read. Radiographs have some hundreds of them, and an enhanced
    DICOM file of 10,000 frames some hundred thousand. A file that consists of nothing else has up
    to half a billion: reading it would take hours, and all memory.
    """

    def __init__(self, data: bytes, reads: int = _READS) -> None:
        super().__init__(data)
        self.left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as from any file, or raise an ImageError ``too-large``."""
        self.left -= 1
        if self.left < 0:
            raise ImageError("too-large", "the header of the file has too many parts")
        return super().read(size)


def broken(reason: str, problem: str, received: object = None) -> ImageError:
    """Return the ImageError for a file that is damaged or incomplete."""
    return ImageError(reason, problem, received=received, remedy="fetch the file again")


def _above(what: str, limit: str, received: str, reason: str = "too-large") -> ImageError:
    return ImageError(
        reason,
        f"the {what} exceeds the limit of {limit}",
        received=received,
        remedy="exclude the file, or raise the limit if you trust it",
    )


def check_parts(what: str, count: int, most: int) -> None:
    """Raise an ImageError ``too-large`` for more than ``most`` parts of a file."""
    if count > most:
        raise ImageError(
            "too-large",
            f"the file has more than {most:,} {what}",
            received=f"{count:,}",
            remedy="save the image again with another program",
        )


def check_deflated(stored: int, limits: Limits) -> None:
    """Raise an ImageError ``too-large`` for more compressed bytes than ``limits.pixels``.

    Such data may consist of code tables, and each one takes as long as a thousand pixels.
    """
    check_parts("compressed bytes", stored, limits.pixels + _SLACK)


def check_bytes(count: int, limits: Limits) -> None:
    """Raise an ImageError ``too-large`` for more than ``limits.bytes`` bytes."""
    if count > limits.bytes:
        raise _above("file", f"{limits.bytes:,} bytes", f"{count:,} bytes or more")


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise an ImageError ``corrupt`` without area, ``too-large`` above ``limits.pixels``."""
    received = f"{width} x {height} pixels"
    if width < 1 or height < 1:
        raise ImageError("corrupt", "the image has no area", received=received)
    if width * height > limits.pixels:
        raise _above("image", f"{limits.pixels:,} pixels", received)


def check_frames(frames: int, limits: Limits) -> None:
    """Raise an ImageError ``too-many-frames`` above ``limits.frames``."""
    if frames > limits.frames:
        limit = f"{limits.frames:,} frames"
        raise _above("file", limit, f"{frames:,} frames", "too-many-frames")


def check_frame(frame: int, frames: int) -> None:
    """Raise an ImageError ``no-such-frame`` unless 0 <= ``frame`` < ``frames``."""
    if not 0 <= frame < frames:
        raise ImageError(
            "no-such-frame",
            "the file does not have the requested frame",
            received=f"frame {frame}, counted from 0, of {frames:,}",
            remedy="request frame 0, or exclude the file",
        )

"""How much one file may take, checked before memory is taken."""

from __future__ import annotations

import io
from dataclasses import dataclass

from plainfilm.errors import ImageError

_READS = 2_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may take; anything above is refused from its header alone.

    Attributes
    ----------
    bytes
        Size of the file, and of what a compressed header or data set inflates to.
    pixels
        Width times height. The largest radiographs have about 30 million.
    frames
        Number of frames of a DICOM file, or of pages of a TIFF (one of them is read).
    """

    bytes: int = 512 * 1024 * 1024
    pixels: int = 100_000_000
    frames: int = 10_000


LIMITS = Limits()
"""Generous for radiographs, too narrow for decompression bombs."""


class Source(io.BytesIO):
    """Bytes that can be read so many times and no more.

    Libraries read a header step by step, a step or two for each marker, chunk, data element or
    fragment, and keep what they read. Radiographs have some hundreds of these, and an enhanced
    DICOM file of 10,000 frames some hundred thousand; a file of nothing else has as many as half a
    billion, and would take hours, and all memory.

    Parameters
    ----------
    data
        The whole file.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.left = _READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does, or raise an ImageError ``too-large``."""
        self.left -= 1
        if self.left < 0:
            raise ImageError("too-large", "the header of the file has too many parts")
        return super().read(size)


def check_bytes(count: int, limits: Limits) -> None:
    """Refuse more than ``limits.bytes`` bytes.

    Raises
    ------
    ImageError
        ``too-large``.
    """
    if count > limits.bytes:
        raise ImageError(
            "too-large",
            f"the file is larger than the limit of {limits.bytes:,} bytes",
            received=f"{count:,} bytes or more",
            remedy="leave it out, or raise the limit if you trust it",
        )


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Refuse pictures without area, and those of more than ``limits.pixels`` pixels.

    Raises
    ------
    ImageError
        ``corrupt`` or ``too-large``.
    """
    if width < 1 or height < 1:
        raise ImageError("corrupt", "the image has no area", received=f"{width} x {height} pixels")
    if width * height > limits.pixels:
        raise ImageError(
            "too-large",
            f"the image is larger than the limit of {limits.pixels:,} pixels",
            received=f"{width} x {height} pixels",
            remedy="leave it out, or raise the limit if you trust it",
        )


def check_frames(frames: int, limits: Limits) -> None:
    """Refuse more than ``limits.frames`` frames.

    Raises
    ------
    ImageError
        ``too-many-frames``.
    """
    if frames > limits.frames:
        raise ImageError(
            "too-many-frames",
            f"the file has more frames than the limit of {limits.frames:,}",
            received=f"{frames:,} frames",
            remedy="leave it out, or raise the limit if you trust it",
        )


def check_frame(frame: int, frames: int) -> None:
    """Refuse a frame, counted from 0, that the file does not have.

    Raises
    ------
    ImageError
        ``no-such-frame``.
    """
    if not 0 <= frame < frames:
        raise ImageError(
            "no-such-frame",
            "the file does not have the frame that was asked for",
            received=f"frame {frame}, counted from 0, of {frames:,}",
            remedy="ask for frame 0, or leave the file out",
        )

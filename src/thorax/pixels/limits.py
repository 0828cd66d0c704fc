"""How much one file may take, checked before memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

from thorax.errors import ImageError

__all__ = ["LIMITS", "Limits", "check_bytes", "check_frames", "check_pixels"]


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
        Number of frames of a DICOM file (the first one is read).
    """

    bytes: int = 512 * 1024 * 1024
    pixels: int = 100_000_000
    frames: int = 10_000


LIMITS = Limits()
"""Generous for radiographs, too narrow for decompression bombs."""


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
            todo="leave it out, or raise the limit if you trust it",
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
            todo="leave it out, or raise the limit if you trust it",
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
            todo="leave it out, or raise the limit if you trust it",
        )

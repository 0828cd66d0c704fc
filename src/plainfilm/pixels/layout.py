"""Resolves how the pixels of a DICOM file are stored, from its header and from its data.

The data win over the header: a decoder that follows a wrong header returns a wrong image or none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from plainfilm.errors import ImageError
from plainfilm.pixels.codestream import Codestream
from plainfilm.pixels.metadata import GREY, stated_photometric
from plainfilm.pixels.used_elements import element

_WIDTHS = (8, 16, 32, 64)  # bits of a sample in memory


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels are stored."""

    rows: int
    columns: int
    frames: int
    samples: int  # of a pixel, 1 or 3
    allocated: int  # bits of a sample
    stored: int  # bits of a sample that belong to the image
    high: int  # position of the highest of them
    signed: bool
    photometric: str
    planar: int
    corrected: frozenset[str] = frozenset()  # words of the metadata ``corrected``

    @property
    def frame_bits(self) -> int:
        """Bits of an uncompressed frame."""
        bits = self.rows * self.columns * self.samples * self.allocated
        # Two pixels share their colour.
        return bits * 2 // 3 if self.photometric == "YBR_FULL_422" else bits

    def as_floats(self, bits: int) -> Layout:
        """Return the layout for floating-point pixels, which need fewer elements."""
        return replace(self, allocated=bits, stored=bits, high=bits - 1, signed=True)


def resolve_layout(
    header: Any, frames: int, length: int | None, stream: Codestream | None = None
) -> Layout:
    """Resolve the layout of a file with ``Rows`` and ``Columns``.

    ``length`` is the number of bytes of uncompressed pixel data, None if they are compressed;
    ``stream`` is the header of a compressed frame, if it is known.
    """
    pixels = header.Rows * header.Columns * frames
    samples = _samples(header, pixels, length, stream)
    photometric, stated = stated_photometric(header), _whole(header, "PixelRepresentation")
    odd = samples != _whole(header, "SamplesPerPixel") or stated not in (0, 1)
    if photometric is None or (samples == 3 and photometric in GREY):
        photometric, odd = _usual_photometric(samples, stream), True
    if photometric == "YBR_FULL_422" and length is not None and length >= 3 * pixels:
        photometric, odd = "YBR_FULL", True
    count = pixels * (2 if photometric == "YBR_FULL_422" else samples)
    allocated = _whole(header, "BitsAllocated")
    kept = _whole(header, "BitsStored")
    width = _allocated(allocated, kept, count, length) if stream is None else _width(stream.bits)
    if stream is not None and "2000" in stream.kind and allocated in _WIDTHS:
        width = max(width, allocated)  # these decoders extend the samples
    high = _whole(header, "HighBit")
    corrected = {"depth"} if stream is not None and kept and stream.bits < kept else set()
    bits = kept
    if bits is None and high is not None and 0 < high < width:
        bits = high + 1
    if bits is None or not 1 <= bits <= width:
        bits = width
    if stream is not None:
        bits = min(bits, stream.bits)
    if allocated is None or kept is None or not 1 <= kept <= allocated:
        odd = True
    if stream is not None and stream.signed and stated == 0:
        stated = 1
        corrected.add("sign")
    if odd or (stream is None and width != allocated):
        corrected.add("pixel-format")
    if high is None or not bits - 1 <= high < width:
        high = bits - 1
    planar = 1 if _whole(header, "PlanarConfiguration") == 1 else 0
    return Layout(
        *(header.Rows, header.Columns, frames, samples, width, bits, high, stated == 1),
        *(photometric, planar, frozenset(corrected)),
    )


def _whole(header: Any, keyword: str) -> int | None:
    value = element(header, keyword)
    return value if isinstance(value, int) else None


def _samples(header: Any, pixels: int, length: int | None, stream: Codestream | None) -> int:
    """Return the samples of a pixel, 1 or 3."""
    if stream is not None and stream.samples in (1, 3):
        return stream.samples
    stated, photometric = _whole(header, "SamplesPerPixel"), stated_photometric(header)
    usual = 1 if photometric is None or photometric in GREY else 3
    if stated not in (1, 3, None):
        raise ImageError(
            "unsupported-format",
            "this number of samples per pixel is not supported",
            received=stated,
            remedy="save the image with 1 sample (grey) or 3 (colour)",
        )
    if stated is None:
        return usual
    if length is not None and usual != stated:
        each = max(1, (_whole(header, "BitsAllocated") or 8) // 8)
        fits = pixels * each * usual
        if length in (fits, fits + 1) and photometric != "YBR_FULL_422":
            return usual
    return stated


def _usual_photometric(samples: int, stream: Codestream | None) -> str:
    if samples == 1:
        return "MONOCHROME2"
    lossy = stream is not None and stream.kind in ("baseline", "extended", "progressive")
    return "YBR_FULL" if lossy else "RGB"


def _width(bits: int) -> int:
    return next((width for width in _WIDTHS if bits <= width), _WIDTHS[-1])


def _allocated(stated: int | None, kept: int | None, count: int, length: int | None) -> int:
    """Return the bits of each of ``count`` samples in ``length`` bytes."""
    exact = [
        width for width in _WIDTHS if length is not None and 0 <= length - count * width // 8 <= 1
    ]
    if stated == 1 or stated in _WIDTHS:
        short = length is not None and length < (count * stated + 7) // 8
        if exact and (short or (kept is not None and kept > stated)):
            return exact[0]
        return stated
    if stated is not None and length is not None and 0 <= length - (count * stated + 7) // 8 <= 1:
        raise ImageError(
            "unsupported-format",
            "samples that are packed across bytes are not supported",
            received=f"{stated} bits allocated",
            remedy="save the image with 8 or 16 bits allocated",
        )
    return exact[0] if exact else _width(stated or kept or 8)

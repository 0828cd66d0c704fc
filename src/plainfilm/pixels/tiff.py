"""Reads what Pillow does not of TIFF files: pages, signs of samples, and whether data are missing.

Sources: TIFF 6.0, sections 2, 8 and 15, and supplement 2 for sample formats.
"""

from __future__ import annotations

from typing import Any, Literal

from PIL import TiffImagePlugin

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import Limits, broken, check_frame, check_frames

_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _FORMAT = 258, 259, 262, 284, 339
_PLACES = ((273, 279), (324, 325))  # offsets and lengths of strips, and of tiles
_TILE = (322, 323)  # width and height
_UNSIGNED, _SIGNED = 1, 2
_WHITE_ZERO, _BLACK_ZERO, _SUBSAMPLED = 0, 1, 6

_DAMAGED = "the TIFF data are damaged"


class TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF file with samples of 8 or 32 bits of either sign, and of either polarity."""

    length = 0
    """Length of the file in bytes."""
    white_zero = False
    """Whether 0 is white in samples that Pillow does not invert."""
    sign: Literal["", "i", "u"] = ""
    """Kind of the samples if it is not that of the array of Pillow."""

    def _setup(self) -> None:
        tags: Any = self.tag_v2
        bits, kind = tags.get(_BITS, (1,)), tags.get(_FORMAT, (_UNSIGNED,))
        if bits == (8,) and kind == (_SIGNED,):
            self.sign, tags[_FORMAT] = "i", (_UNSIGNED,)
        elif bits == (32,) and kind == (_UNSIGNED,):
            self.sign, tags[_FORMAT] = "u", (_SIGNED,)
        wide = bits in ((16,), (32,)) or self.sign
        if wide and tags.get(_PHOTOMETRIC) == _WHITE_ZERO:
            self.white_zero, tags[_PHOTOMETRIC] = True, _BLACK_ZERO
        if len(bits) > 1 and max(bits) > 8 and tags.get(_PLANAR) == 2:
            raise SyntaxError("unsupported: colour planes of more than 8 bits")
        super()._setup()

    def load(self) -> Any:
        """Decode the image; data that are whole but cannot be decoded are not truncated."""
        if not self.tile:  # decoded before
            return super().load()
        tags: Any = self.tag_v2
        compressed = tags.get(_COMPRESSION, 1) != 1
        stored, ends = self._strips()
        across, down = tags.get(_TILE[0]) or self.width, tags.get(_TILE[1]) or self.height
        pixels = -(-self.width // across) * across * -(-self.height // down) * down
        needed = pixels * sum(tags.get(_BITS, (1,))) // 8
        if not compressed and tags.get(_PHOTOMETRIC) == _SUBSAMPLED and 0 < stored < needed:
            raise _unsupported("subsampled colour")
        try:
            return super().load()
        except (EOFError, OSError, ValueError) as error:
            if ends > self.length or (not compressed and stored < needed):
                raise
            failure = error
        raise broken("corrupt", _DAMAGED, failure) if compressed else _unsupported(self.mode)

    def _strips(self) -> tuple[int, int]:
        """Return the bytes of all strips or tiles, and the end of the last one in the file."""
        tags: Any = self.tag_v2
        for offsets, lengths in _PLACES:
            if sizes := tags.get(lengths, ()):
                ends = map(sum, zip(tags.get(offsets, ()), sizes, strict=False))
                return sum(sizes), max(ends, default=self.length + 1)
        return 0, self.length + 1


def _unsupported(received: str) -> ImageError:
    return ImageError(
        "unsupported-format",
        "this variant of TIFF is not supported",
        received=received,
        remedy="save it as an 8-bit or 16-bit PNG",
    )


def choose_page(data: bytes, page: int, limits: Limits) -> tuple[bytes, int]:
    """Return a TIFF file with one of its pages moved to the first place, and the number of pages.

    The directories of the pages form a chain, and only its links are followed (TIFF 6.0, section
    2; they are wider in BigTIFF). A library would read every directory up to the page.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = 43 in data[2:4]
    first, link, count, entry = (8, 8, 8, 20) if big else (4, 4, 2, 12)

    def number(at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], order)

    pages: dict[int, None] = {}
    at = number(first, link)
    while at and at + count <= len(data) and at not in pages:
        pages[at] = None
        check_frames(len(pages), limits)
        at = number(at + count + entry * number(at, count), link)
    total = max(1, len(pages))
    check_frame(page, total)
    if page:
        data = data[:first] + [*pages][page].to_bytes(link, order) + data[first + link :]
    return data, total

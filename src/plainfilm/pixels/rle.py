"""Decodes the run lengths of a DICOM frame (PS3.5 annex G) with the decoder of Pillow.

That of pydicom is a loop in Python, and expands what a frame holds beyond its pixels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plainfilm.pixels.limits import broken

_HEADER = 64  # bytes: the number of segments, and the offset of each
_MOST = 15  # segments


def is_rle(packed: bytes) -> bool:
    """Whether a frame begins as run lengths do."""
    count, *starts = _numbers(packed)
    starts, unused = starts[:count], starts[count:]
    return (
        1 <= count <= _MOST
        and starts[0] == _HEADER
        and starts == sorted(set(starts))
        and starts[-1] < len(packed)
        and not any(unused)
    )


def count_segments(packed: bytes) -> int:
    """Return the stated number of segments."""
    return _numbers(packed)[0]


def decode_rle(packed: bytes, pixels: int, samples: int, bits: int) -> bytes:
    """Return the samples in little endian, those of one colour after those of another.

    A frame that does not have one segment for each byte of a pixel, or whose segments do not fill
    the pixels, is ``corrupt``.
    """
    count, *starts = _numbers(packed)
    size = bits // 8
    if count != samples * size or bits % 8 or not 1 <= count <= _MOST:
        raise broken("corrupt", "the number of run length segments does not fit the image", count)
    bounds = [*starts[:count], len(packed)]
    if bounds != sorted(bounds):  # otherwise segments could share bytes
        raise broken("corrupt", "the run length segments are not in ascending order")
    out = np.empty((samples, pixels, size), np.uint8)
    for number, (start, end) in enumerate(pairwise(bounds)):
        sample, place = divmod(number, size)  # the highest byte comes first
        out[sample, :, size - 1 - place] = _segment(packed[start:end], pixels)
    return out.tobytes()


def _segment(packed: bytes, pixels: int) -> NDArray[np.uint8]:
    try:
        # As one row: here, runs may cross the rows of the image.
        row: NDArray[np.uint8] = np.asarray(
            Pillow.frombytes("L", (pixels, 1), packed, "packbits", "L")
        )
    except ValueError:
        failure = broken("corrupt", "a run length segment ends before its pixels do")
    else:
        return row.reshape(pixels)
    raise failure


def _numbers(packed: bytes) -> list[int]:
    return [int.from_bytes(packed[at : at + 4], "little") for at in range(0, _HEADER, 4)]

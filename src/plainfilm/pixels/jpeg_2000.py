"""Counts the parts of a JPEG 2000 frame before a decoder takes memory for them.

A decoder makes objects for each tile, precinct and code block, and visits each packet, also where
the file has no data for them. Their sizes are in the headers (ISO 15444-1, annex A): a file of
some hundred bytes could state more than fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainfilm.pixels.limits import broken, check_parts

_PARTS = 4_000_000  # precincts of three bands, and code blocks; usual are 64 x 64 pixels
_PACKETS = 10_000_000  # layers of all precincts
_TILE_PARTS = 100_000
_SEGMENTS = 300_000  # marker segments of all headers
_COMPONENTS, _LEVELS = 4, 32
_HEADER = 4096  # bytes before the codestream

_JP2, _SIZ = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_COD, _COC, _POC, _SOT, _SOD, _EOC = 0xFF52, 0xFF53, 0xFF5F, 0xFF90, 0xFF93, 0xFFD9


def check_jpeg_2000(frame: bytes) -> None:
    """Raise an ImageError for a JPEG 2000 frame of more parts than any encoder writes.

    A frame of another kind passes.
    """
    start = _start(frame)
    if not frame.startswith(_SIZ, start):
        return
    # By each segment as if it applied to the whole image: tile parts may override the main header.
    tiles = precincts = blocks = layers = orders = 0
    for marker, at in _segments(frame, start + 2):
        length = _number(frame, at + 2, 2)
        if marker == _COD:
            layers = max(layers, _number(frame, at + 6, 2))
        elif marker == _POC:
            orders += length // 7
        if marker in (_COD, _COC):
            first = at + (9 if marker == _COD else 6)
            stated = bool(_number(frame, at + (4 if marker == _COD else 5), 1) & 1)
            found = _count_parts(frame, first, stated, _tile_size(frame, start + 4))
            precincts, blocks = max(precincts, found[0]), max(blocks, found[1])
    components = _number(frame, start + 40, 2)
    check_parts("components of a pixel", components, _COMPONENTS)
    tiles = _count_tiles(frame, start + 4) * components
    check_parts("parts of a JPEG 2000 frame", tiles * (3 * precincts + blocks), _PARTS)
    packets = tiles * precincts * layers * max(1, orders)
    check_parts("packets of a JPEG 2000 frame", packets, _PACKETS)


def _start(frame: bytes) -> int:
    """Return the position of the codestream, which boxes may surround."""
    if not frame.startswith(_JP2):
        return 0
    at, header = 0, False
    while at < _HEADER:
        length, kind = _number(frame, at, 4), frame[at + 4 : at + 8]
        head = 16 if length == 1 else 8
        header = header or kind == b"jp2h"
        if kind == b"jp2c" and header and frame.find(_SIZ, 0, _HEADER) == at + head:
            return at + head
        at += max(8, _number(frame, at + 8, 8) if length == 1 else length)
    raise broken("corrupt", "the header of a JPEG 2000 frame is damaged")


def _segments(frame: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield marker and position of each segment of the main header and of those of tile parts."""
    part = parts = 0
    for _ in range(_SEGMENTS):
        marker, length = _number(frame, at, 2), _number(frame, at + 2, 2)
        if marker == _SOD:
            # The length of a tile part counts from its first marker; 0 is the rest of the frame.
            if not (size := _number(frame, part + 6, 4)):
                return
            at = part + max(14, size)
            continue
        if marker <= 0xFF4F or marker == _EOC:
            return
        if marker == _SOT:
            part, parts = at, parts + 1
            check_parts("tile parts", parts, _TILE_PARTS)
        yield marker, at
        at += 2 + length
    check_parts("segments of a JPEG 2000 frame", _SEGMENTS + 1, _SEGMENTS)


def _sizes(frame: bytes, at: int) -> list[int]:
    """Return width, height, left and top of the image, then those of a tile."""
    return [_number(frame, at + 4 + 4 * n, 4) for n in range(8)]


def _tile_size(frame: bytes, at: int) -> tuple[int, int]:
    right, bottom, left, top, width, height, *_ = _sizes(frame, at)
    return max(0, min(width, right - left)), max(0, min(height, bottom - top))


def _count_tiles(frame: bytes, at: int) -> int:
    right, bottom, _, _, width, height, left, top = _sizes(frame, at)
    if not width or not height:
        raise broken("corrupt", "the tiles of a JPEG 2000 frame are damaged")
    return max(1, -(-(right - left) // width) * -(-(bottom - top) // height))


def _count_parts(frame: bytes, at: int, stated: bool, size: tuple[int, int]) -> tuple[int, int]:
    """Return the precincts and the code blocks of one component of a tile.

    ``at`` is the position of the number of levels; ``stated`` says whether the sizes of precincts
    follow.
    """
    levels, across, down = (
        _number(frame, at, 1),
        _number(frame, at + 1, 1),
        _number(frame, at + 2, 1),
    )
    check_parts("levels of a JPEG 2000 frame", levels, _LEVELS)
    precincts = blocks = 0
    for level in range(levels + 1):
        shift = levels - level
        width, height = -(-size[0] >> shift), -(-size[1] >> shift)
        exponents = _number(frame, at + 5 + level, 1) if stated else 0xFF
        x, y = exponents & 15, exponents >> 4
        precincts += -(-width >> x) * -(-height >> y)
        half = int(level > 0)  # code blocks are parts of bands, which have half of the size
        x, y = min(across + 2, max(0, x - half)), min(down + 2, max(0, y - half))
        blocks += -(-width >> x) * -(-height >> y)
    return precincts, blocks


def _number(frame: bytes, at: int, count: int) -> int:
    return int.from_bytes(frame[at : at + count], "big")

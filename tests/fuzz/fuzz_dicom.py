"""Feed the reader of DICOM headers with drawn files whose elements are rearranged.

    python tests/fuzz/fuzz_dicom.py [SECONDS]

Each input is read unchanged, and once more after its elements were changed: other value
representations, lengths, values and nesting. The input decides the changes, so that the file that
is kept repeats a finding. The invariants:

- nothing but an ImageError escapes, and the identity of the patient is plain text or nothing;
- an image has uint8 pixels and metadata that are finite numbers and words;
- no input takes more than some seconds or some hundred megabytes.
"""

from __future__ import annotations

import contextlib
import io
import math
import random
import struct
import sys
import time
import zlib
from collections.abc import Iterator

import numpy as np
from fuzzing import run

__all__ = ["check", "main", "rearrange"]

_SECONDS = 5
_MEGABYTES = 1_500  # of the whole process

_SHORT = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ZZ"
_LONG = "OB OD OF OL OV OW SQ SV UC UN UR UT UV"
_VRS = f"{_SHORT} {_LONG}".split()
_VALUES = (
    *(b"", b"\0", b" ", b"\\", b"1", b"-1", b"0", b"nan", b"inf", b"1e400", b"\xff" * 8),
    *(b"1\\" * 9, b"1\\" * 300, b"2048\\40", b"DX", b"M", b"044Y", b"PA", b"MONOCHROME1"),
    *(b"PALETTE COLOR", b"YBR_FULL_422", b"SIGMOID", b"INVERSE", b"YES", b"A^B=C\\D"),
    *(b"ISO_IR 192", b"\\ISO 2022 IR 87\\ISO 2022 IR 149", b"GB18030", b"punycode", b"\x1b$B1234"),
    *(
        bytes(2),
        b"\1\0",
        b"\x10\0",
        b"\x20\0",
        b"\0\0\0\0\x10\0",
        b"\1\0\0\0\x08\0",
        bytes(range(256)),
    ),
)
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_END_OF_ITEM, _OPEN = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xff\xff\xff\xff"
_PIXELS = 0x7FE0


def check(data: bytes) -> str:
    """Read an input and its variant; return what became of the variant: ``image`` or a reason."""
    _check(data)
    return _check(rearrange(data))


def _check(data: bytes) -> str:
    from plainfilm.errors import ImageError
    from plainfilm.pixels import Limits, read_full_image
    from plainfilm.pixels.identity import read_identity_from

    began = time.monotonic()
    outcome = "image"
    with contextlib.suppress(ImageError):  # not an image
        found = read_identity_from(io.BytesIO(data), "folder/4711.dcm")
        assert found is None or all(
            isinstance(text, str)
            for text in (found.patient, found.issuer, found.study, found.person)
        )
    try:
        image = read_full_image(data, limits=Limits(bytes=1 << 22, pixels=1 << 18, frames=100))
    except ImageError as error:
        assert error.reason and str(error)
        outcome = error.reason
    else:
        assert image.pixels.dtype == np.uint8 and image.pixels.ndim == 2
        for name, value in image.metadata.items():
            assert isinstance(value, str) or math.isfinite(value), (name, value)
    assert time.monotonic() - began < _SECONDS, "too slow"
    assert _megabytes() < _MEGABYTES, "too much memory"
    return outcome


def _megabytes() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def rearrange(data: bytes) -> bytes:
    """Return a file with some elements changed; the same bytes give the same file."""
    chance = random.Random(zlib.crc32(data))
    start = 132 if data[128:132] == b"DICM" else 0
    found = [*_elements(data, start)]
    if not found:
        return data
    # Pixels and what follows stay where they are, else few files remain images.
    head = [one for one in found if struct.unpack_from("<H", one)[0] != _PIXELS]
    rest = data[start + sum(map(len, head)) :]
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        at = chance.randrange(len(head))
        kind = chance.randrange(8)
        if kind == 0:
            head.insert(at, head[chance.randrange(len(head))])
        elif kind == 1 and len(head) > 1:
            del head[at]
        elif kind == 2:
            head[at] = _written(chance, head[at][:4], chance.choice(_VRS), _value(chance, head))
        elif kind == 3:
            vr = head[at][4:6].decode("latin-1")
            head[at] = _written(chance, head[at][:4], vr, _value(chance, head))
        elif kind == 4:
            head.insert(
                at, _written(chance, _tag(chance), chance.choice(_VRS), _value(chance, head))
            )
        elif kind == 5:
            head.insert(at, _nested(chance, _tag(chance), head))
        elif kind == 6:
            width = chance.choice((2, 4))
            place = chance.choice((6, 8))
            value = chance.choice((0, 1, 3, 0x7FFF, 0xFFFE, 0xFFFF, (1 << 32) - 1))
            changed = bytearray(head[at])
            changed[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
            head[at] = bytes(changed)
        else:
            head.insert(at, chance.choice((_ITEM + bytes(4), _END, _END_OF_ITEM)))
    return data[:start] + b"".join(head) + rest


def _elements(data: bytes, at: int) -> Iterator[bytes]:
    """Yield the elements of a file in explicit or implicit VR little endian."""
    while at + 8 <= len(data):
        vr = data[at + 4 : at + 6].decode("latin-1")
        if vr in _LONG.split():
            size = 12 + int.from_bytes(data[at + 8 : at + 12], "little")
        elif vr in _VRS:
            size = 8 + int.from_bytes(data[at + 6 : at + 8], "little")
        else:
            size = 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if at + size > len(data):
            return
        yield data[at : at + size]
        at += size


def _tag(chance: random.Random) -> bytes:
    """Return the tag of an element that is read, and now and then of any other."""
    from plainfilm.pixels.element_reader import TAGS

    tag = chance.choice(TAGS) if chance.random() < 0.9 else chance.randrange(1 << 32)
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def _value(chance: random.Random, head: list[bytes]) -> bytes:
    if chance.random() < 0.2:
        return chance.choice(head)[8:]
    return chance.choice(_VALUES)


def _written(chance: random.Random, tag: bytes, vr: str, value: bytes) -> bytes:
    """Write an element in explicit VR, and now and then in implicit VR."""
    value += b" " * (len(value) % 2)
    if chance.random() < 0.2:
        return tag + struct.pack("<I", len(value)) + value
    if vr in _LONG.split():
        return tag + vr.encode() + struct.pack("<HI", 0, len(value)) + value
    return tag + vr.encode("latin-1") + struct.pack("<H", len(value) % 65536) + value


def _nested(chance: random.Random, tag: bytes, head: list[bytes]) -> bytes:
    """Write a sequence of items of some elements, up to 80 levels deep."""
    inner = b"".join(chance.choice(head) for _ in range(chance.randrange(4)))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 10, 80))):
        items = b""
        for _ in range(chance.choice((1, 1, 2))):
            if chance.random() < 0.5:
                items += _ITEM + struct.pack("<I", len(inner)) + inner
            else:
                items += _ITEM + _OPEN + inner + _END_OF_ITEM * (chance.random() < 0.9)
            if len(items) > 10_000:
                break
        if chance.random() < 0.5:
            inner = tag + b"SQ\0\0" + struct.pack("<I", len(items)) + items
        else:
            inner = tag + b"SQ\0\0" + _OPEN + items + _END * (chance.random() < 0.9)
        tag = _tag(chance)
    return inner


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for some seconds; return 0 if nothing was found."""
    from fuzz_corpus import draw_corpus

    from plainfilm.pixels.dicom_file import QUIET_PYDICOM
    from plainfilm.pixels.isolation import ISOLATION

    corpus = {name: data for name, data in draw_corpus().items() if name.endswith(".dcm")}
    packages = ("plainfilm.pixels", "pydicom")
    with ISOLATION, QUIET_PYDICOM:  # once, and not for each input
        return run(check, corpus, packages, arguments, modules=("plainfilm.pixels.dicom",))


if __name__ == "__main__":
    sys.exit(main())

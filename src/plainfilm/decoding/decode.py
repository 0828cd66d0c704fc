"""Decodes one file into an image and its metadata, or into the reason why that fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes
from plainfilm.errors import ImageError
from plainfilm.pixels import LIMITS, Image, Limits, read_image_and_whole
from plainfilm.pixels.display import Display, encode_display
from plainfilm.pixels.prepare import Box
from plainfilm.records import PixelSpec

FEW = 64
"""Below this number of files, starting processes takes longer than decoding."""

TEMPORARY = frozenset(
    {"changed", "decoder-died", "decoder-failed", "decoder-timeout", "missing", "needs-codec"}
    | {"no-decoder", "out-of-memory", "unreachable", "unreadable"}
)
"""Reasons of failures that may not occur the next time."""

Reader = Callable[[Any, PixelSpec], Image]
"""A function like :func:`plainfilm.pixels.read_image`, of a path or bytes and a pixel spec."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A file that became an image."""

    pixels: NDArray[np.uint8]  # (size, size)
    metadata: dict[str, str | float]  # finite numbers and strings only
    display: bytes = b""  # the whole image; empty unless requested
    region: Box = (0.0, 0.0, 1.0, 1.0)  # of the whole image that the pixels show, with a display
    sha256: str = ""  # of the file where it was given as bytes, else empty


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a file did not become an image: a stable code and a sentence."""

    reason: str
    problem: str


def decode_one(
    reader: Reader,
    spec: PixelSpec,
    source: str | bytes,
    out: NDArray[np.uint8],
    *,
    display: Display | None = None,
    limits: Limits = LIMITS,
) -> Decoded | Failure:
    """Decode a file into ``out``, (size, size); return every failure, raise none.

    With ``display``, the file is read by ``read_image_and_whole`` with ``limits`` instead of by the
    reader.
    """
    try:
        encoded, region, digest = b"", (0.0, 0.0, 1.0, 1.0), ""
        if display is None:
            image = reader(source, spec)
        else:
            image, whole = read_image_and_whole(source, spec, limits=limits)
            encoded, region = encode_display(whole.picture, display), whole.region
        out[...] = image.pixels
        if isinstance(source, bytes):
            digest = hash_bytes(source)
        return Decoded(out, clean_metadata(image.metadata), encoded, region, digest)
    except ImageError as error:
        return Failure(error.reason, error.problem)
    except MemoryError:
        return Failure("out-of-memory", "there was not enough memory to decode the file")
    except Exception as error:  # a defect of a decoder must cost one file, not all
        # Only the type: the message may quote the file.
        return Failure("decoder-failed", f"the decoder failed: {type(error).__name__}")


def clean_metadata(metadata: Mapping[str, Any]) -> dict[str, str | float]:
    """Return the metadata that JSON can hold, whole numbers as int."""
    clean: dict[str, str | float] = {}
    for name, value in metadata.items():
        if isinstance(value, str):
            clean[name] = value
        elif math.isfinite(value):
            clean[name] = int(value) if value == int(value) and abs(value) < 2**53 else float(value)
    return clean


def reader_name(reader: Reader) -> str | None:
    """Return ``module:name`` if another process can import ``reader``, else None."""
    module = getattr(reader, "__module__", "__main__")
    name = getattr(reader, "__qualname__", "<")
    if module == "__main__" or "<" in name:
        return None
    return f"{module}:{name}"

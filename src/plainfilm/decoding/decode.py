"""Decodes one file into an image and its metadata, or into the reason why it is no image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ImageError
from plainfilm.records import PixelSpec

__all__ = [
    "Decoded",
    "Failure",
    "Reader",
    "attempt",
    "clean_metadata",
    "decode_one",
    "reader_name",
]

T = TypeVar("T")


class ReadImage(Protocol):
    """What is used of :class:`plainfilm.pixels.Image`."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Grey values, (size, size)."""

    @property
    def metadata(self) -> Mapping[str, str | float]:
        """What the file says about itself."""


Reader = Callable[[str, PixelSpec], ReadImage]
"""A function like :func:`plainfilm.pixels.read_image`."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The metadata of a file that became an image."""

    metadata: dict[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file did not become an image: a stable code and a sentence."""

    reason: str
    problem: str


def decode_one(
    reader: Reader, spec: PixelSpec, path: str, out: NDArray[np.uint8]
) -> Decoded | Failure:
    """Decode ``path`` into ``out``, (size, size); every failure is an answer, not an error."""

    def read() -> Decoded:
        image = reader(path, spec)
        out[...] = image.pixels
        return Decoded(clean_metadata(image.metadata))

    return attempt(read)


def attempt(read: Callable[[], T]) -> T | Failure:
    """Return what ``read`` returns, or why it failed; no file may end the process by an error."""
    try:
        return read()
    except ImageError as error:
        return Failure(error.reason, error.problem)
    except MemoryError:
        return Failure("out-of-memory", "there was not enough memory to decode the file")
    except Exception as error:  # a defect of a decoder must cost one file, not the run
        # The type alone: its words may quote the file.
        return Failure("decoder-failed", f"the decoder failed: {type(error).__name__}")


def clean_metadata(metadata: Mapping[str, Any]) -> dict[str, str | float]:
    """Keep what JSON can hold."""
    clean: dict[str, str | float] = {}
    for name, value in metadata.items():
        if isinstance(value, str):
            clean[name] = value
        elif math.isfinite(value):
            clean[name] = int(value) if value == int(value) and abs(value) < 2**53 else float(value)
    return clean


def reader_name(reader: Reader) -> str | None:
    """Return ``module:name`` if another process can import ``reader`` by it, else None."""
    module = getattr(reader, "__module__", "__main__")
    name = getattr(reader, "__qualname__", "<")
    if module == "__main__" or "<" in name:
        return None
    return f"{module}:{name}"

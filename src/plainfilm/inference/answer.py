"""The options of a request for one file, and the answer of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes
from plainfilm.errors import ImageError
from plainfilm.inference.codes import InferenceError, image_error
from plainfilm.pixels import Image, sniff
from plainfilm.pixels.display import Display, read_pgm
from plainfilm.pixels.prepare import Box
from plainfilm.prediction import Prediction


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The content of one received file, without its name."""

    data: bytes  # empty if the file exceeds the limit
    declared: str | None = None  # the format that its content type declares
    too_large: str | None = None  # SHA-256 of a file that exceeds the limit

    def check(self) -> None:
        """Reject the file by its size and first bytes, without decoding it."""
        if self.too_large is not None:
            raise InferenceError("too-large")
        try:
            found = sniff(self.data)
        except ImageError as error:
            raise image_error(error.reason) from error
        if self.declared is not None and found != self.declared:
            raise InferenceError("wrong-content-type")

    async def hash(self) -> str:
        """Return its SHA-256, computed in a thread if the file is large."""
        if self.too_large is not None:
            return self.too_large
        if len(self.data) > 1 << 20:
            return await asyncio.to_thread(hash_bytes, self.data)
        return hash_bytes(self.data)


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """Optional content of an answer.

    Attributes
    ----------
    display
        Format of a copy of the whole upright image, or None.
    heatmap
        Function that returns the label of the heat map of a prediction, or None for no map.
    occlusion
        Whether to make the heat map of a network without activation maps, which takes hundreds of
        runs. If not, the answer has none.
    """

    display: Display | None = None
    heatmap: Callable[[Prediction], str | None] = lambda prediction: None
    occlusion: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The prediction for one file that could be read, and what else was requested.

    ``display`` is empty and ``heatmap`` None unless requested. The heat map has the shape of the
    pixels of ``image``, the input of the network; values are 0 to 1. ``region`` is the part of the
    display that this input shows, see `plainfilm.pixels.read.WholeImage`.
    """

    sha256: str
    prediction: Prediction
    image: Image
    display: bytes = b""
    region: Box = (0.0, 0.0, 1.0, 1.0)
    heatmap: NDArray[np.float32] | None = None

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The whole upright image (height, width), if ``display`` is a PGM."""
        return read_pgm(self.display)

"""Predictions as JSON items, with the same values as ``plainfilm predict``."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.decoding.fair_queue import Key
from plainfilm.explain import heat_colours
from plainfilm.inference.answer import Answer, AnswerOptions, ImageFile
from plainfilm.inference.codes import FileError, InferenceError
from plainfilm.inference.engine import Engine
from plainfilm.inference.registry import LoadedBundle
from plainfilm.pixels.display import encode_png
from plainfilm.prediction import Prediction

PICTURES = ("seen", "original", "heatmap")
"""Pictures that a client can request."""
PROBABILITIES = "probabilities"
"""Requests the probabilities of rejected images too."""
INCLUDED = (*PICTURES, PROBABILITIES)
"""All values of ``include``."""


@dataclass(frozen=True, slots=True)
class ItemOptions:
    """Optional content of an item."""

    include: frozenset[str] = frozenset()  # names from INCLUDED
    label: str | None = None  # of the heat map; None uses the most probable one

    @property
    def pictures(self) -> frozenset[str]:
        """The requested pictures."""
        return self.include & {*PICTURES}

    @property
    def all_probabilities(self) -> bool:
        """Whether to include the probabilities of rejected images."""
        return PROBABILITIES in self.include

    def choose_label(self, prediction: Prediction) -> str | None:
        """Return the label of the heat map of a prediction, or None if it has no map."""
        if "heatmap" not in self.include or (prediction.rejected and not self.all_probabilities):
            return None
        probabilities = prediction.probabilities
        return self.label or max(probabilities, key=probabilities.__getitem__)


@dataclass(frozen=True, slots=True)
class Item:
    """The result of one image as a JSON object; ``error`` is why there is no prediction."""

    content: bytes
    error: InferenceError | None = None


async def make_item(
    engine: Engine,
    loaded: LoadedBundle,
    file: ImageFile,
    index: int,
    options: ItemOptions,
    key: Key,
) -> Item:
    """Predict on one file; a file without a prediction gives an item with its error.

    Any other InferenceError is a failure of the server.
    """
    requested = AnswerOptions(
        "png" if "original" in options.include else None, options.choose_label
    )
    try:
        answer = await engine.answer(loaded, file, requested, key)
    except FileError as error:
        fields = Prediction("", {}, reason=error.code, problem=error.title).to_json()
        content = {"index": index, "sha256": error.sha256, **fields}
        return Item(json.dumps(content).encode(), error)
    fields = answer.prediction.to_json(all_probabilities=options.all_probabilities)
    content = {"index": index, "sha256": answer.sha256, **fields}
    if options.pictures:
        content["images"] = await asyncio.to_thread(_pictures, answer, options)
    return Item(json.dumps(content, default=str).encode())


def _pictures(answer: Answer, options: ItemOptions) -> dict[str, str]:
    """Return the requested pictures as ``data:`` URLs."""
    pictures = {}
    if "seen" in options.include:
        pictures["seen"] = encode_png(answer.image.pixels)
    if "original" in options.include:
        pictures["original"] = answer.display
    if answer.heatmap is not None:
        pictures["heatmap"] = draw_heatmap(answer.heatmap)
    start = "data:image/png;base64,"
    return {name: start + base64.b64encode(png).decode() for name, png in pictures.items()}


def draw_heatmap(heat: NDArray[np.float32]) -> bytes:
    """Return a heat map as a PNG overlay; its opacity shows the strength."""
    alpha = np.rint(255.0 * np.sqrt(heat)).astype(np.uint8)
    return encode_png(np.dstack([heat_colours(heat), alpha]))

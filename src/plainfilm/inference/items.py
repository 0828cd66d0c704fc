"""Predictions as JSON items, with the same values as ``plainfilm predict``."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plainfilm.explain import heat_colours, heatmap
from plainfilm.inference.codes import InferenceError
from plainfilm.pixels import Image
from plainfilm.pixels.display import encode_png
from plainfilm.prediction import Prediction
from plainfilm.runtime import Predictor

PICTURES = ("seen", "original", "heatmap")
"""Pictures that a client can request."""
PROBABILITIES = "probabilities"
"""Requests the probabilities of rejected images too."""
INCLUDED = (*PICTURES, PROBABILITIES)
"""All values of ``include``."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The content of one received file, without its name."""

    data: bytes  # empty if the file exceeds the limit
    declared: str | None = None  # the format that its content type declares
    too_large: str | None = None  # SHA-256 of a file that exceeds the limit


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


@dataclass(frozen=True, slots=True)
class Item:
    """The result of one image as a JSON object; ``error`` is why there is no prediction."""

    content: bytes
    error: InferenceError | None = None


def success(
    index: int,
    sha256: str,
    prediction: Prediction,
    images: Mapping[str, str],
    options: ItemOptions,
) -> Item:
    """Return the item of an image that could be read."""
    fields = prediction.to_json(all_probabilities=options.all_probabilities)
    content: dict[str, object] = {"index": index, "sha256": sha256, **fields}
    if images:
        content["images"] = dict(images)
    return Item(json.dumps(content, default=str).encode())


def failure(index: int, sha256: str, error: InferenceError) -> Item:
    """Return the item of an image that could not be read."""
    fields = Prediction("", {}, reason=error.code, problem=error.title).to_json()
    return Item(json.dumps({"index": index, "sha256": sha256, **fields}).encode(), error)


def picture_url(png: bytes) -> str:
    """Return a PNG as a ``data:`` URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def draw_heatmap(predictor: Predictor, image: Image, label: str) -> bytes:
    """Return the heat map of a label as a PNG overlay; its opacity shows the strength."""
    heat = heatmap(predictor, image.pixels, label)
    alpha = np.rint(255.0 * np.sqrt(heat)).astype(np.uint8)
    return encode_png(np.dstack([heat_colours(heat), alpha]))

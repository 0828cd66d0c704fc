"""A prediction as the service answers it, equal to what ``plainfilm predict`` prints."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from plainfilm.explain import heat_colours, heatmap
from plainfilm.pixels import Image
from plainfilm.pixels.display import encode_png
from plainfilm.records import Prediction
from plainfilm.runtime import Predictor
from plainfilm.serve.problems import Problem, item_error

__all__ = ["PICTURES", "Ask", "Item", "body_of", "draw_heat", "failure", "picture_url", "success"]

PICTURES = ("seen", "original", "heatmap")
"""Pictures that a client may ask for with ``include``."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a client wants of each image beside the prediction.

    Attributes
    ----------
    include
        Which of :data:`PICTURES`.
    label
        The label that the heat map is about; None takes the most likely one.
    """

    include: frozenset[str] = frozenset()
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """The answer for one image.

    Attributes
    ----------
    content
        Its JSON object.
    problem
        What went wrong, or None.
    """

    content: bytes
    problem: Problem | None = None


def success(
    index: int, sha256: str, prediction: Prediction, images: Mapping[str, str] | None
) -> Item:
    """Return the item of an image that was read."""
    content: dict[str, Any] = {"index": index, "sha256": sha256, **prediction.to_json()}
    if images:
        content["images"] = dict(images)
    return Item(json.dumps(content, default=str).encode())


def failure(index: int, sha256: str, problem: Problem) -> Item:
    """Return the item of an image that was not."""
    content = {"index": index, "sha256": sha256, "error": item_error(problem)}
    return Item(json.dumps(content).encode(), problem)


def body_of(identity: Mapping[str, str], items: list[Item]) -> bytes:
    """Return the whole answer to ``POST /v1/predictions``."""
    head = json.dumps({"bundle": dict(identity)})[:-1].encode()
    return head + b', "predictions": [' + b", ".join(item.content for item in items) + b"]}"


def picture_url(png: bytes) -> str:
    """Return a PNG as a URL that a page can show without another request."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def draw_heat(predictor: Predictor, image: Image, label: str) -> bytes:
    """Return the heat map of a label as a PNG to lay over the image: its opacity is its strength.

    Raises
    ------
    BundleError
        If the network's maps are no numbers.
    """
    heat = heatmap(predictor, image.pixels, label)
    alpha = np.rint(255.0 * np.sqrt(heat)).astype(np.uint8)
    return encode_png(np.dstack([heat_colours(heat), alpha]))

"""The images of a report: embedded in the page, captioned, and told in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm.errors import UsageError
from plainfilm.explain import overlay
from plainfilm.report.content import Sample, WorstCase
from plainfilm.report.html.markup import Html, element

__all__ = ["sample_tiles", "worst_tiles"]

SIDE = 224
"""Longest side of an embedded image in pixels; with the numbers below it bounds the page's size."""
SAMPLES = 16
WORST = 12


def sample_tiles(samples: Sequence[Sample], kind: str) -> Html:
    """Return up to 16 images with their captions; ``kind`` begins what is read out for each."""
    tiles = [
        element(
            "figure",
            _picture(sample.pixels, f"{kind} {sample.caption}, labelled {sample.label}"),
            element("figcaption", element("b", sample.label), " ", element("code", sample.caption)),
            class_="tile",
        )
        for sample in samples[:SAMPLES]
    ]
    return element("div", *tiles, class_="tiles small")


def worst_tiles(worst: Sequence[WorstCase], label: str) -> Html:
    """Return up to 12 errors, each as it is and below its heat map.

    ``label`` is that of the cases that do not name theirs.
    """
    tiles = []
    for case in worst[:WORST]:
        name = case.label or label
        told = f"truth {case.truth}, probability of {name} {case.probability:.3f}"
        pair = [_picture(case.pixels, f"Radiograph {case.id}: {told}")]
        if case.heat is not None:
            words = f"Heat map of {case.id}: the strongest evidence lies at the {place(case.heat)}"
            pair.append(_picture(overlay(case.pixels, case.heat), words))
        else:
            pair.append(element("p", "no heat map", class_="none"))
        caption = element(
            "figcaption",
            element("b", f"{case.truth}"),
            f", but {_given(case, name)} ",
            element("code", case.id),
        )
        pictures = element("div", *pair, class_="pair")
        tiles.append(element("figure", pictures, caption, class_="tile"))
    return element("div", *tiles, class_="tiles wide")


def _given(case: WorstCase, name: str) -> str:
    """Return in words what a case was given, beside the threshold that made a call of it."""
    low = case.probability < (0.5 if case.threshold is None else case.threshold)
    words = f"{'only ' if low else ''}{case.probability:.3f} for {name}"
    return words if case.threshold is None else f"{words}, called from {case.threshold:.3f} on"


def place(heat: NDArray[np.float32]) -> str:
    """Return in words where a heat map is strongest; left and right are the viewer's."""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    if not heat[row, column] > 0:
        return "no place in particular"
    vertical = ("top", "middle", "bottom")[int(3 * row // heat.shape[0])]
    horizontal = ("left", "centre", "right")[int(3 * column // heat.shape[1])]
    return f"{vertical} {horizontal} as seen"


def _picture(pixels: NDArray[np.uint8], words: str) -> Html:
    """Return pixels as an element that carries its own data."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise UsageError(
            "an image of a report must be uint8, of shape (h, w) or (h, w, 3)",
            received=f"{pixels.dtype} {pixels.shape}",
        )
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # JPEG here, because forty lossless pictures would fill the page; figures/*.png are lossless.
    image.save(data, "JPEG", quality=88, optimize=True)
    text = base64.b64encode(data.getvalue()).decode()
    return element(
        "img",
        src=f"data:image/jpeg;base64,{text}",
        alt=words,
        width=str(image.width),
        height=str(image.height),
        decoding="async",
    )

"""The sections with images: misclassified images, samples of the data, augmented images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm._files import write_bytes
from plainfilm.errors import UsageError
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.explain import overlay
from plainfilm.report.content import ReportContent, Sample, WorstCase
from plainfilm.report.figures import sample_grid
from plainfilm.report.html.markup import Html, data_uri, element, lead
from plainfilm.report.html.page import Section, Sheet

_SIDE = 224
"""Longest side of an embedded image in pixels; with the numbers below it limits the page's size."""
_SAMPLES = 16
_WORST = 12


def errors_section(content: ReportContent) -> Section | None:
    """Return the misclassified images with the largest errors; None if they are unknown."""
    title = "Misclassified images"
    if content.worst is None:
        return None
    if not content.worst:
        return Section(title, [lead(_why_none(content.evaluation))])
    point = _has_balanced(content.evaluation) and content.evaluation.task.kind != "multiclass"
    caption = (
        f"Misclassified images{' at the balanced operating point' if point else ''}, in order of "
        "decreasing error, each with a heat map of the evidence (brighter is stronger; each map is "
        "scaled to its own maximum)."
    )
    warning = lead(
        element("strong", "A heat map is not an explanation."),
        " It shows where in the image the evidence for the prediction is, not what the evidence is "
        "or whether it is medically relevant. A heat map on the lungs does not make a prediction "
        "correct; a heat map on a marker or border shows that the prediction relies on something "
        "other than disease.",
    )
    return Section(title, [warning, Sheet(_worst_tiles(content.worst), caption)])


def images_section(content: ReportContent) -> Section | None:
    """Return samples of the data and augmented images, if there are any."""
    sheets = []
    if content.samples:
        caption = "Random images of the data as the network receives them, with their labels."
        sheets.append(Sheet(_sample_tiles(content.samples, "Radiograph"), caption))
    if content.augmented:
        caption = (
            "Training images after augmentation. They should still look like radiographs, and "
            "their labels should still be correct."
        )
        sheets.append(Sheet(_sample_tiles(content.augmented, "Augmented radiograph"), caption))
    return Section("Sample images", sheets) if sheets else None


def save_sheets(content: ReportContent, folder: Path) -> None:
    """Write the images as sheets, ``samples.png``, ``augmented.png`` and ``worst.png``."""
    for name, samples in (("samples", content.samples), ("augmented", content.augmented)):
        some = samples[:_SAMPLES]
        captions = [f"{sample.label}  {sample.caption}" for sample in some]
        _save_sheet(folder / f"{name}.png", [sample.pixels for sample in some], captions)
    pixels: list[NDArray[Any]] = []
    captions = []
    for case in (content.worst or ())[:_WORST]:
        blank = np.full_like(case.pixels, 235)
        pixels += [case.pixels, blank if case.heat is None else overlay(case.pixels, case.heat)]
        captions += [f"{case.true_class}, predicted {case.probability:.3f}", case.id]
    _save_sheet(folder / "worst.png", pixels, captions)


def _save_sheet(path: Path, pixels: Sequence[NDArray[Any]], captions: Sequence[str]) -> None:
    if pixels:
        write_bytes(path, sample_grid(pixels, captions))


def _has_balanced(evaluation: EvaluationDocument) -> bool:
    return any(results.default_point for results in evaluation.labels.values())


def _why_none(evaluation: EvaluationDocument) -> str:
    if evaluation.task.kind == "multiclass":
        return "None: the most probable class of every image is its true class."
    if _has_balanced(evaluation):
        return "None: at the balanced operating point every prediction is correct."
    return "No label has a balanced operating point, so no class is predicted."


def _sample_tiles(samples: Sequence[Sample], kind: str) -> Html:
    """Return images with their captions; ``kind`` begins the text alternative of each."""
    tiles = [
        element(
            "figure",
            _embed(sample.pixels, f"{kind} {sample.caption}, labelled {sample.label}"),
            element("figcaption", element("b", sample.label), " ", element("code", sample.caption)),
            class_="tile",
        )
        for sample in samples[:_SAMPLES]
    ]
    return element("div", *tiles, class_="tiles small")


def _worst_tiles(worst: Sequence[WorstCase]) -> Html:
    """Return each image with its heat map."""
    tiles = []
    for case in worst[:_WORST]:
        limit = "" if case.threshold is None else f" (threshold {case.threshold:.3f})"
        words = f"probability of {case.label} {case.probability:.3f}{limit}"
        pair = [_embed(case.pixels, f"Radiograph {case.id}: true class {case.true_class}, {words}")]
        if case.heat is None:
            pair.append(element("p", "no heat map", class_="none"))
        else:
            heated = f"Heat map of {case.id}: {_strongest(case.heat)}"
            pair.append(_embed(overlay(case.pixels, case.heat), heated))
        true_class, name = element("b", case.true_class), element("code", case.id)
        caption = element("figcaption", "True class ", true_class, f"; {words} ", name)
        tiles.append(
            element("figure", element("div", *pair, class_="pair"), caption, class_="tile")
        )
    return element("div", *tiles, class_="tiles wide")


def _strongest(heat: NDArray[np.float32]) -> str:
    """Return where a heat map is strongest; left and right are the viewer's."""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    if not heat[row, column] > 0:
        return "no evidence at any place"
    vertical = ("top", "middle", "bottom")[int(3 * row // heat.shape[0])]
    horizontal = ("left", "centre", "right")[int(3 * column // heat.shape[1])]
    where = f"{vertical} {horizontal}".replace("middle centre", "centre")
    return f"the strongest evidence is at the {where} of the image"


def _embed(pixels: NDArray[np.uint8], words: str) -> Html:
    """Return pixels as an element that contains its data."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise UsageError(
            "an image of a report must be uint8, of shape (h, w) or (h, w, 3)",
            received=f"{pixels.dtype} {pixels.shape}",
        )
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    # JPEG, because forty lossless images would fill the page; figures/*.png are lossless.
    source, (width, height) = data_uri(image, "JPEG", quality=88), map(str, image.size)
    return element("img", src=source, alt=words, width=width, height=height, decoding="async")

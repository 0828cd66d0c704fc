"""Decides for which images a bundle predicts no class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle.description import BundleMetadata
from plainfilm.pixels.histogram import is_blank

REJECTIONS = MappingProxyType(
    {
        "invisible": "the image is completely transparent",
        "blank": "nearly all pixels of the image have the same grey level",
        "other-modality": "the DICOM header states a modality that is not that of radiographs",
        "other-body-part": "the DICOM header states a body part other than the chest",
        "unlike-training": "the image is unlike the training images",
    }
)
"""Reasons for a rejection, the first that applies is given: code to sentence."""

_LEAST_SHARE = 0.05  # of the training images
RADIOGRAPHS = frozenset({"CR", "DX", "RG", "RF", "XA", "DF", "CF", "VF", "OT", "HC"})
"""Modalities that a chest radiograph may have; OT (other) and HC (hard copy) do not say more."""

CHEST = frozenset({"CHEST", "THORAX", "LUNG", "RIB", "RIBS", "HEART", "MEDIASTINUM", "STERNUM"})
CHEST |= {"BRONCHUS", "TRACHEA", "AORTA", "ESOPHAGUS"}
CHEST |= {"CHESTABDOMEN", "CHESTABDPELVIS", "NECKCHEST", "WHOLEBODY"}
"""Body parts that a chest radiograph may have."""


class RejectedImage(NamedTuple):
    """The code of a reason in `REJECTIONS`, and a sentence with the value received."""

    reason: str
    problem: str


def find_rejection(
    bundle: BundleMetadata,
    pixels: NDArray[np.uint8],
    metadata: Mapping[str, str | float],
    novelty: float | None,
) -> RejectedImage | None:
    """Return why the bundle predicts no class for a prepared image (size, size), or None."""
    if metadata.get("alpha") == "hidden":
        return _reject("invisible")
    if is_blank(pixels, padded=bundle.pixels.geometry == "pad"):
        return _reject("blank")
    origin = bundle.provenance
    modality, part = str(metadata.get("modality", "")), str(metadata.get("body_part", ""))
    if modality and modality not in RADIOGRAPHS and modality not in origin.modalities:
        return _reject("other-modality", modality)
    if part and part not in CHEST and part not in origin.body_parts:
        return _reject("other-body-part", part)
    limit = math.inf if bundle.rejection is None else bundle.rejection.threshold
    return _reject("unlike-training") if novelty is not None and novelty >= limit else None


def _reject(reason: str, received: str | None = None) -> RejectedImage:
    value = "" if received is None else f" ({received})"
    return RejectedImage(reason, REJECTIONS[reason] + value)


def frequent_values(values: Sequence[object]) -> tuple[str, ...]:
    """Return the texts that at least 5 % of the training images have, sorted."""
    counts = Counter(value for value in values if isinstance(value, str))
    return tuple(sorted(v for v, n in counts.items() if n >= _LEAST_SHARE * len(values)))

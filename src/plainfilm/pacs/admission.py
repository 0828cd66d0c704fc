"""Decides which images are refused: no probability is written for them.

The header is checked before an image is decoded: only single frames for presentation, of a frontal
chest radiograph, are predicted. What the header does not state, or states in other words than the
standard's, refuses no image. The model's own rejection and the decoder's failures follow.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from plainfilm.bundle.rejection import CHEST, RADIOGRAPHS
from plainfilm.inference.codes import IMAGE_CODES
from plainfilm.pacs.header import IMAGE_CLASSES, Header
from plainfilm.pacs.results import Refusal
from plainfilm.prediction import Prediction

_OWN = {
    "other-class": "Not an object of a class that is predicted",
    "for-processing": "Image for processing, not for presentation",
    "other-modality": "Modality other than radiography",
    "other-body-part": "Body part other than the chest",
    "not-frontal": "View that is not frontal",
    "several-frames": "More than one frame",
    "invisible": "The image is completely transparent",
    "blank": "Nearly all pixels have the same grey level",
    "unlike-training": "Unlike the training images of the model",
}

REFUSALS = MappingProxyType(
    {code: f"{title[0].upper()}{title[1:]}" for code, title in {**IMAGE_CODES, **_OWN}.items()}
)
"""Reasons why an image has no probability in its report: code to sentence."""

_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
_SECONDARY_CAPTURE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.7(\.[1-4])?")
_FRONTAL = ("", "AP", "PA")


def refuse(header: Header, secondary_capture: bool = False) -> Refusal | None:
    """Return why an image is refused by its header, or None.

    ``secondary_capture`` admits images of the classes for captured images too.
    """
    code = _code(header, secondary_capture)
    return None if code is None else refusal(code)


def refuse_prediction(prediction: Prediction) -> Refusal | None:
    """Return why the model does not predict on an image that could be decoded, or None."""
    return None if prediction.reason is None else refusal(prediction.reason)


def refusal(code: str) -> Refusal:
    """Return the refusal with a code; one that is not in `REFUSALS` is ``unreadable``."""
    code = code if code in REFUSALS else "unreadable"
    return Refusal(code, REFUSALS[code])


def _code(header: Header, secondary_capture: bool) -> str | None:
    if header.sop_class == _FOR_PROCESSING or header.presentation == "FOR PROCESSING":
        return "for-processing"
    captured = secondary_capture and _SECONDARY_CAPTURE.fullmatch(header.sop_class)
    if header.sop_class not in IMAGE_CLASSES and not captured:
        return "other-class"
    if header.modality and header.modality not in RADIOGRAPHS:
        return "other-modality"
    if header.body_part and header.body_part not in CHEST:
        return "other-body-part"
    sideways = any(end[0] in "AP" for end in header.orientation)  # rows or columns go to the front
    if header.view not in _FRONTAL or (sideways and not header.view):
        return "not-frontal"
    return "several-frames" if header.frames > 1 else None

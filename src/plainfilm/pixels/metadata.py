"""What may be told about a DICOM file: never a name, an id, a date or a UID.

Every fact is taken from a list of elements that describe the image, and text is let through only
where it is a word of `plainfilm.pixels.vocabulary`: whatever else is written there may be a name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from plainfilm.pixels.vocabulary import WORDS, maker_of

_CODES: Mapping[str, str] = MappingProxyType(
    {
        "modality": "Modality",
        "body_part": "BodyPartExamined",
        "sex": "PatientSex",
        "photometric": "PhotometricInterpretation",
        "presentation": "PresentationLUTShape",
    }
)
_ORIENTATION = re.compile(r"[AFHLPR]{1,3}")
_YEARS = MappingProxyType({"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25})
_OLDEST = 90.0
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_VIEWS = (
    (re.compile(r"postero.?anterior"), "PA"),
    (re.compile(r"antero.?posterior"), "AP"),
    (re.compile(r"left.lateral"), "LL"),
    (re.compile(r"right.lateral"), "RL"),
    (re.compile(r"lateral"), "LATERAL"),
)


def element(dataset: Any, keyword: str) -> Any:
    """Return the value of an element, or None where it is absent, empty or unreadable."""
    try:
        value = dataset.get(keyword)
    except Exception:  # converting a damaged value raises all kinds
        return None
    return None if value is None or value == "" else value


def numbers(dataset: Any, keyword: str) -> list[float]:
    """Return the values of a numeric element as floats; empty where there are none."""
    value = element(dataset, keyword)
    if value is None:
        return []
    several = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    try:
        found = [float(one) for one in several]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []


def read_metadata(dataset: Any) -> dict[str, str | float]:
    """Return the metadata of a data set; what is absent or malformed is left out.

    Returns
    -------
    metadata
        ``modality``, ``body_part``, ``sex``, ``photometric``, ``presentation`` (the
        shape, IDENTITY or INVERSE, which may contradict it), ``view`` (PA, AP, LL, ...),
        ``laterality`` (L, R, B, U), ``orientation`` (of rows and columns, such as ``L\\F``),
        ``age`` (years; 90 for all from 90 on), ``pixel_spacing`` (mm between rows),
        ``manufacturer``.
    """
    metadata: dict[str, str | float] = {}
    for name, keyword in _CODES.items():
        if code := _code(name, element(dataset, keyword)):
            metadata[name] = code
    if view := _view(dataset):
        metadata["view"] = view
    for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
        side = str(element(dataset, keyword)).strip().upper()
        if side in ("L", "R", "B", "U"):
            metadata.setdefault("laterality", side)
    orientation = element(dataset, "PatientOrientation")
    if orientation is not None and not isinstance(orientation, str):
        ends = [str(end) for end in orientation]
        if len(ends) == 2 and all(map(_ORIENTATION.fullmatch, ends)):
            metadata["orientation"] = "\\".join(ends)
    age = _age(element(dataset, "PatientAge"))
    if age is not None:
        metadata["age"] = age
    for keyword in _SPACINGS:
        spacing = numbers(dataset, keyword)
        if spacing and spacing[0] > 0:
            metadata["pixel_spacing"] = spacing[0]
            break
    maker = element(dataset, "Manufacturer")
    if isinstance(maker, str) and (known := maker_of(maker)):
        metadata["manufacturer"] = known
    return metadata


def _code(name: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.strip().upper()
    return text if text in WORDS[name] else None


def _view(dataset: Any) -> str | None:
    if code := _code("view", element(dataset, "ViewPosition")):
        return code
    items = element(dataset, "ViewCodeSequence")
    try:
        meaning = str(items[0].CodeMeaning).lower()
    except Exception:
        return None
    return next((view for pattern, view in _VIEWS if pattern.search(meaning)), None)


def _age(value: Any) -> float | None:
    """Return an age string (``034Y``, ``006M``, ``003W``, ``010D``) in years."""
    match = re.fullmatch(r"\s*(\d{1,3})([YMWD])?\s*", value) if isinstance(value, str) else None
    # Zero years stands for a removed age; a newborn's is given in days, weeks or months.
    if match is None or (int(match[1]) == 0 and match[2] in ("Y", None)):
        return None
    # So few people are older that an age would tell who somebody is.
    return min(round(int(match[1]) * _YEARS[match[2] or "Y"], 4), _OLDEST)

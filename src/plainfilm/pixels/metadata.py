"""Reads the metadata of a DICOM file that may be shown: never a name, an id, a date or a UID.

Each value comes from an element that describes the image. Text is kept only if it is on one of the
closed lists below, since a text element may hold a name. Sources of the lists: DICOM PS3.3
C.7.3.1.1.1 (modalities), C.8.11.5 and C.8.1.4 (views), PS3.16 annex L (body parts), C.7.6.3.1.2
(photometric interpretations).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plainfilm.pixels.headers import PHANTOM
from plainfilm.pixels.used_elements import element, numbers


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS = {
    "modality": _words(
        "AR ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG "
        "EEG EMG EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS "
        "NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PLAN POS PR PT PX REG RESP RF RG "
        "RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF ST "
        "STAIN TEXTUREMAP TG US VA VF XA XAPROTOCOL XC"
    ),
    "body_part": _words(
        "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS "
        "BUTTOCK CALCANEUS CALF CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CHOROID CLAVICLE COCCYX "
        "COLON CORNEA CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR "
        "FINGER FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM JAW "
        "JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM "
        "MOUTH NECK NECKCHEST NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX "
        "PROSTATE RECTUM RIB RIBS SACRUM SCALP SCAPULA SCROTUM SHOULDER SI SINUS SKULL SPINE "
        "SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH THORAX THUMB THYMUS THYROID TIBIA TLSPINE TMJ "
        "TOE TONGUE TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA"
    ),
    "view": _words(
        "AP PA LL RL RLD LLD RLO LLO LPO RPO LAO RAO LATERAL OBLIQUE CC ML MLO LM LMO FB SIO ISO "
        "XCCL XCCM AT CV GSD"
    ),
    "sex": _words("M F O"),
    "presentation": _words("IDENTITY INVERSE"),
    "photometric": _words(
        "MONOCHROME1 MONOCHROME2 RGB HSV ARGB CMYK YBR_FULL YBR_FULL_422 YBR_PARTIAL_422 "
        "YBR_PARTIAL_420 YBR_ICT YBR_RCT XYB"
    )
    | {"PALETTE COLOR"},
}
"""Name in the metadata to the codes that it may have."""

CORRECTIONS = {
    "byte-order": "a byte order that is not the stated one",
    "compression": "a compression that is not the stated one",
    "depth": "compressed data of fewer bits than the header states",
    "lut-depth": "a VOI lookup table of fewer bits than its descriptor states",
    "outliers": "few extreme pixels that would set the grey scale",
    "pixel-format": "a missing or contradictory element about the pixels",
    "sign": "compressed data that are signed, where the header states unsigned",
    "vr": "value representations that are explicit where implicit ones are stated, or the reverse",
    "window": "a window or VOI lookup table that would hide the image",
}
"""Word of the metadata ``corrected`` to what was found in the file."""

GREY = frozenset(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"))
"""Photometric interpretations of one sample per pixel."""

_KEYWORDS = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "sex": "PatientSex",
    "presentation": "PresentationLUTShape",
    "view": "ViewPosition",
}

_MAKERS = (
    *("Acuson", "Agfa", "Barco", "Canon", "Carestream", "Del Medical", "DRTECH", "Elscint"),
    *("Esaote", "Fuji", "GE", "General Electric", "Hitachi", "Hologic", "iCRco"),
    *("Imaging Dynamics", "Italray", "Kodak", "Konica", "Lorad", "Lumisys", "Marconi"),
    *("McKesson", "Mindray", "Neusoft", "Philips", "Picker", "Planmed", "Rayence", "Samsung"),
    *("Sectra", "Sedecal", "Shimadzu", "Siemens", "Stephanix", "Swissray", "Thales", "Toshiba"),
    *("Trixell", "United Imaging", "Varian", "Vieworks", "Villa", "Vidar", "Ziehm"),
    PHANTOM,
)
"""Makers of X-ray devices, and of readers and scanners of their films."""

_MAKER = re.compile("|".join(rf"\b{re.escape(name)}(?=\b|film)" for name in _MAKERS), re.I)
_SPELLED = {name.casefold(): name for name in _MAKERS}

_ORIENTATION = re.compile(r"[AFHLPR]{1,3}")
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_OLDEST = 90.0
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_VIEWS = (
    (re.compile(r"\bobl(ique)?\b"), "OBLIQUE"),
    (re.compile(r"postero.?anterior"), "PA"),
    (re.compile(r"antero.?posterior"), "AP"),
    (re.compile(r"left.lateral"), "LL"),
    (re.compile(r"right.lateral"), "RL"),
    (re.compile(r"\blat(eral)?\b"), "LATERAL"),
)


def count_synthetic(manufacturers: Sequence[object]) -> int:
    """Return how many images of these manufacturers ``plainfilm.phantom`` drew."""
    return manufacturers.count(PHANTOM)


def stated_photometric(dataset: Any) -> str | None:
    """Return the photometric interpretation in its usual spelling, None if there is none."""
    value = element(dataset, "PhotometricInterpretation")
    text = " ".join(value.upper().split()) if isinstance(value, str) else ""
    words = _WORDS["photometric"]
    return next((word for word in (text, text.replace(" ", "")) if word in words), None)


def read_metadata(dataset: Any) -> dict[str, str | float]:
    """Return the metadata of a data set, without those that are absent or malformed.

    Returns
    -------
    metadata
        ``modality``, ``body_part``, ``sex``, ``photometric``, ``presentation`` (IDENTITY or
        INVERSE, which may contradict ``photometric``), ``view`` (PA, AP, LL, ...), ``laterality``
        (L, R, B, U), ``orientation`` (of rows and columns, such as ``L\\F``), ``age`` (years; 90
        for all from 90 on), ``pixel_spacing`` (mm between rows), ``manufacturer``.
    """
    metadata: dict[str, str | float] = {}
    for name, keyword in _KEYWORDS.items():
        value = element(dataset, keyword)
        if isinstance(value, str) and (code := value.strip().upper()) in _WORDS[name]:
            metadata[name] = code
    if "body_part" not in metadata and (part := _described_part(dataset)):
        metadata["body_part"] = part
    if photometric := stated_photometric(dataset):
        metadata["photometric"] = photometric
    if "view" not in metadata and (view := _described_view(dataset)):
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
    if isinstance(maker, str) and (found := _MAKER.search(maker)):
        metadata["manufacturer"] = _SPELLED[found[0].casefold()]
    return metadata


def _described_part(dataset: Any) -> str | None:
    """Return the one code that free text has among its words: KNEE of ``Left knee, 2 views``."""
    for text in element(dataset, "BodyPartExamined"), _meaning(dataset, "AnatomicRegionSequence"):
        words = re.findall(r"[A-Z]{3,}", text.upper()) if isinstance(text, str) else ()
        codes = _WORDS["body_part"].intersection(words) - {"FACE"}  # in French the frontal view
        if len(codes) == 1:
            return next(iter(codes))
    return None


def _described_view(dataset: Any) -> str | None:
    """Return the view of free text or of a code: LATERAL of ``Chest Lat``."""
    for value in element(dataset, "ViewPosition"), _meaning(dataset, "ViewCodeSequence"):
        text = value.lower() if isinstance(value, str) else ""
        if found := next((view for pattern, view in _VIEWS if pattern.search(text)), None):
            return found
    return None


def _meaning(dataset: Any, keyword: str) -> Any:
    """Return the meaning of the code in the first item of a sequence, None if there is none."""
    from plainfilm.pixels.elements import items  # pydicom only when a DICOM file arrives

    found = items(dataset, keyword)
    return element(found[0], "CodeMeaning") if found else None


def _age(value: Any) -> float | None:
    """Return an age string (``034Y``, ``006M``, ``003W``, ``010D``) in years."""
    match = re.fullmatch(r"\s*(\d{1,3})([YMWD])?\s*", value) if isinstance(value, str) else None
    # Zero years means that the age was removed; a newborn has days, weeks or months.
    if match is None or (int(match[1]) == 0 and match[2] in ("Y", None)):
        return None
    # Few people are older, so that a higher age could identify one of them.
    return min(round(int(match[1]) * _YEARS[match[2] or "Y"], 4), _OLDEST)

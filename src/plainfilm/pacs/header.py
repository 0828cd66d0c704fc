"""Reads from the header of an image what its results take over, and what admission asks for.

Only listed elements are read, within bounds of time and memory. Values that DICOM does not allow
are corrected or left out, so that a result conforms whatever the image contains.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from pydicom.charset import decode_bytes, default_encoding, python_encoding
from pydicom.dataset import Dataset

from plainfilm.errors import DataError
from plainfilm.pacs.identifiers import is_uid
from plainfilm.pacs.signature import MODEL_NAME, derived_uid
from plainfilm.pixels.dicom_file import QUIET_PYDICOM, read_selected
from plainfilm.pixels.element_reader import Selection, tags_of
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.pixels.metadata import read_metadata
from plainfilm.pixels.used_elements import USED

__all__ = ["IMAGE_CLASSES", "Header", "HeaderError", "read_header"]

IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1")
"""Storage classes: CR, and DX for presentation."""

_NAMES = ("PatientName", "ReferringPhysicianName")
_IDENTIFIERS = {"PatientID": 64, "IssuerOfPatientID": 64, "AccessionNumber": 16, "StudyID": 16}
"""Keyword to the characters that its value may have."""
_DATES = ("StudyDate", "PatientBirthDate")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_CODES = (
    *("PatientSex", "ManufacturerModelName", "PresentationIntentType", "NumberOfFrames"),
    *("BurnedInAnnotation", "LossyImageCompression"),
)
_FLAGS = ("YES", "NO")
_TAGS = tags_of(USED.union(_NAMES, _IDENTIFIERS, _DATES, _UIDS, _CODES, ["StudyTime"]))
_SELECTION = Selection(_TAGS, parts=100_000)  # radiographs have some hundred elements
_BY_KEYWORD = {keyword: tag for tag, keyword in _TAGS.items()}

_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d)(\.\d{1,6})?)?)?", re.ASCII)
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_COMPONENTS, _GROUPS, _LONGEST_NAME = 5, 3, 64
_CHARSETS = frozenset(python_encoding.values())
_DELIMITERS = {ord(character) for character in "\n\f\r\t^=\\"}


class HeaderError(DataError):
    """The bytes are no DICOM file with the UIDs that a result must refer to."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Header:
    """The header of one image. It has no text form, so that it is not printed by accident.

    Attributes
    ----------
    evidence
        Patient, study, series and UIDs, as UTF-8; every element that a result must have is there,
        though it may be empty.
    sop_uid, study_uid, sop_class
        UIDs of the image, its study, and its storage class.
    modality, body_part, view, laterality
        Codes of closed lists, or "": see :func:`plainfilm.pixels.metadata.read_metadata`.
    orientation
        Directions of rows and columns, such as ``("L", "F")``; empty if they are not stated.
    frames
        Number of frames, 1 or more.
    presentation
        ``FOR PRESENTATION``, ``FOR PROCESSING``, or "".
    burned_in
        ``YES`` or ``NO``: whether the header states that the pixels show an identity; or "".
    is_lossy
        Whether the header states that the image was ever compressed with a loss.
    is_own_result
        Whether plainfilm made this object, which is no radiograph.
    """

    evidence: Dataset
    sop_uid: str
    study_uid: str
    sop_class: str
    modality: str
    body_part: str
    view: str
    laterality: str
    orientation: tuple[str, ...]
    frames: int
    presentation: str
    burned_in: str
    is_lossy: bool
    is_own_result: bool


def read_header(data: bytes) -> Header:
    """Read the header of a complete DICOM file, with or without preamble; no pixel is decoded.

    Raises
    ------
    HeaderError
        If the bytes are no DICOM data set, or a UID is missing or not valid. It never quotes them.
    """
    failed: HeaderError | None = None
    with ISOLATION, QUIET_PYDICOM:
        try:
            return _header(read_selected(data, _SELECTION))
        except HeaderError as error:
            failed = error
        except Exception:  # libraries raise all kinds for hostile bytes
            failed = HeaderError("this is not a DICOM file, or its header is damaged")
    # Outside of the handler, so that no message of a library is attached as its context.
    failed.__context__ = None
    raise failed


def _header(found: Dataset) -> Header:
    metadata = read_metadata(found)
    evidence = _evidence(found, str(metadata.get("modality", "OT")))
    orientation = str(metadata.get("orientation", ""))
    intent = _code(found, "PresentationIntentType")
    frames = _code(found, "NumberOfFrames")
    return Header(
        evidence=evidence,
        sop_uid=str(evidence.SOPInstanceUID),
        study_uid=str(evidence.StudyInstanceUID),
        sop_class=str(evidence.SOPClassUID),
        modality=str(metadata.get("modality", "")),
        body_part=str(metadata.get("body_part", "")),
        view=str(metadata.get("view", "")),
        laterality=str(metadata.get("laterality", "")),
        orientation=tuple(orientation.split("\\")) if orientation else (),
        frames=max(1, int(frames)) if re.fullmatch(r"\d{1,9}", frames, re.ASCII) else 1,
        presentation=intent if intent in ("FOR PRESENTATION", "FOR PROCESSING") else "",
        burned_in=burned_in if (burned_in := _code(found, "BurnedInAnnotation")) in _FLAGS else "",
        is_lossy=_code(found, "LossyImageCompression") == "01",
        is_own_result=_text(found, "ManufacturerModelName") == MODEL_NAME
        and evidence.SOPClassUID not in IMAGE_CLASSES,
    )


def _evidence(found: Dataset, modality: str) -> Dataset:
    """Return what results take over, as a data set of its own."""
    evidence = Dataset()
    evidence.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _UIDS:
        uid = _code(found, keyword)
        if keyword == "SeriesInstanceUID" and not is_uid(uid):
            # The report must name a series; viewers find the image by its own UID.
            uid = derived_uid("series", evidence.StudyInstanceUID, uid)
        if not is_uid(uid):
            raise HeaderError(f"the image has no valid {keyword}")
        setattr(evidence, keyword, uid)
    for keyword in _NAMES:
        setattr(evidence, keyword, _name(_text(found, keyword)))
    for keyword, longest in _IDENTIFIERS.items():
        text = _whole_text(found, keyword).strip(" \0\t\r\n")
        # Changed or cut short, it could be the identifier of another patient or order.
        allowed = len(text) <= longest and not re.search(rf"{_NO_TEXT.pattern}|\\", text)
        setattr(evidence, keyword, text if allowed else "")
    for keyword in _DATES:
        setattr(evidence, keyword, _date(_code(found, keyword)))
    time = _TIME.fullmatch(_code(found, "StudyTime"))
    evidence.StudyTime = "".join(part or "" for part in time.groups()) if time else ""
    sex = _code(found, "PatientSex")
    evidence.PatientSex = sex if sex in ("M", "F", "O") else ""
    evidence.Modality = modality
    for keyword in ("Rows", "Columns"):
        value = found.get(keyword)
        if isinstance(value, int):
            setattr(evidence, keyword, value)
    return evidence


def _text(found: Dataset, keyword: str) -> str:
    """Return the first value of a text element, without control characters."""
    return _NO_TEXT.sub("", _whole_text(found, keyword).partition("\\")[0]).strip()


def _whole_text(found: Dataset, keyword: str) -> str:
    raw = _bytes(found, keyword)
    charsets = found.original_character_set or default_encoding
    names = [charsets] if isinstance(charsets, str) else [*charsets]
    names = [name if name in _CHARSETS else default_encoding for name in names]
    if names != [default_encoding]:
        return str(decode_bytes(raw, names, _DELIMITERS))
    # A file that names no character set has ASCII; other bytes are UTF-8 if they can be.
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _code(found: Dataset, keyword: str) -> str:
    """Return the first value of an element that has ASCII characters only."""
    return _bytes(found, keyword).partition(b"\\")[0].decode("ascii", "replace").strip(" \0")


def _bytes(found: Dataset, keyword: str) -> bytes:
    tag = _BY_KEYWORD[keyword]
    raw: Any = found.get_item(tag) if tag in found else None
    value = None if raw is None else raw.value
    return value if isinstance(value, bytes) else b""


def _name(text: str) -> str:
    """Return a person's name within the limits of its components."""
    groups = (group.split("^")[:_COMPONENTS] for group in text.split("=")[:_GROUPS])
    return "=".join("^".join(group)[:_LONGEST_NAME].rstrip(" ^") for group in groups).rstrip("=")


def _date(text: str) -> str:
    parts = _DATE.fullmatch(text)
    try:
        return datetime.date(*map(int, parts.groups())).strftime("%Y%m%d") if parts else ""
    except ValueError:
        return ""

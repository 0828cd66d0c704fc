"""Reads the identity of the patient from a DICOM file; no other module of plainfilm.pixels does.

(``plainfilm.pacs.header`` reads it for results that go back to the archive.)

Identifier, name and study are only used for a keyed hash (``plainfilm.data.pseudonyms``).
Accession numbers and other UIDs never leave this module: it only reports whether the name of a
file contains one.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from plainfilm._files import open_at_once
from plainfilm.errors import ImageError
from plainfilm.pixels.limits import LIMITS
from plainfilm.pixels.sniff import RASTER_SUFFIXES, Format, sniff
from plainfilm.pixels.used_elements import element

_HEAD = 512
_SAMPLE = 100
_LONGEST = 1 << 20  # bytes up to the last element of the identity
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_KEYWORDS = (
    *("PatientID", "PatientName", "OtherPatientIDs", "AccessionNumber"),
    *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
)
_ISSUER = "IssuerOfPatientID"
_REMOVED = "PatientIdentityRemoved"
_LAST_GROUP = 0x0020
_RASTERS = tuple(RASTER_SUFFIXES)
_UID = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Identity of a patient, without a text form, so that it is not printed by accident."""

    patient: str
    """PatientID, empty if absent. Plain text, as are the next three: hash them at once."""
    issuer: str
    """IssuerOfPatientID, empty if absent."""
    study: str
    """StudyInstanceUID, empty if absent or not a UID."""
    person: str
    """PatientName, empty if absent."""
    in_name: bool
    """Whether the name of the file, or of a folder above it, contains an identifier, a part of the
    patient's name, an accession number or a UID of the file. False if the file states that the
    identity was removed: then these are pseudonyms."""


_NOTHING = Identity("", "", "", "", False)


def read_identities(files: Sequence[tuple[str, str]]) -> list[Identity | None]:
    """Read the identity of the patient from each file of a root, given as path and name.

    Files with the suffix of another format are not opened, which is fast for 100,000 files, unless
    one of a sample of them is DICOM.
    """
    named = [path for path, _ in files if path.lower().endswith(_RASTERS)]
    sample = named[:: max(1, len(named) // _SAMPLE)]
    closed = set() if any(map(_is_dicom, sample)) else set(named)
    return [None if path in closed else read_identity(path, name) for path, name in files]


def _is_dicom(path: str) -> bool:
    try:
        with open(path, "rb", opener=open_at_once) as file:
            return sniff(file.read(_HEAD)) is Format.DICOM
    except (ImageError, OSError, ValueError):
        return False


def read_identity(path: str | Path, name: str) -> Identity | None:
    """Read the identity of the patient; return None unless the file is DICOM by its content.

    ``name`` is the path below the root with forward slashes, as manifests and reports will show it.
    A damaged part of the header counts as absent.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            if os.fstat(file.fileno()).st_size > LIMITS.bytes:
                return _NOTHING if sniff(file.read(_HEAD)) is Format.DICOM else None
            return read_identity_from(file, name)
    except (ImageError, OSError, ValueError):
        return None


def read_identity_from(file: BinaryIO, name: str) -> Identity | None:
    """Read the identity from an open file, as :func:`read_identity` does."""
    if sniff(file.read(_HEAD)) is not Format.DICOM:
        return None
    from plainfilm.pixels.dicom_file import QUIET_PYDICOM, find_misstated, inflate
    from plainfilm.pixels.elements import read_after_meta, read_meta
    from plainfilm.pixels.isolation import ISOLATION

    with ISOLATION, QUIET_PYDICOM:
        try:
            file.seek(0)
            head = file.read(4096)
            if start := find_misstated(head)[0]:
                # Without its meta header, the encoding is recognised by the data.
                file.seek(start)
                file = io.BytesIO(file.read(_LONGEST))
            elif _DEFLATED in head:
                file.seek(0)
                inflated = inflate(file.read(), LIMITS)
                file = file if inflated is None else io.BytesIO(inflated)
            header = read_after_meta(file, read_meta(file), lambda tag: tag >> 16 > _LAST_GROUP)
            study = _text(header, "StudyInstanceUID")
            return Identity(
                _text(header, "PatientID"),
                _text(header, _ISSUER),
                study if _UID.fullmatch(study) else "",
                _text(header, "PatientName"),
                _is_in_name(header, name),
            )
        except Exception:  # libraries raise all kinds for hostile bytes
            return _NOTHING


def _text(header: Any, keyword: str) -> str:
    value = element(header, keyword)
    return "" if value is None else " ".join(str(value).replace("\0", " ").split())


def _is_in_name(header: Any, name: str) -> bool:
    """Return whether a name contains what identifies the patient, in any case or separation."""
    if _text(header, _REMOVED).upper() == "YES":
        return False
    shown = name.casefold()
    words = set(_words(shown))
    for keyword in _KEYWORDS:
        value = _text(header, keyword).casefold()
        if keyword == "PatientName":
            if any(len(word) > 2 and word in words for word in _words(value)):
                return True
        # Many names contain a short number by chance: it must be a whole word.
        elif (len(value) >= 6 and value in shown) or (len(value) > 1 and value in words):
            return True
    return False


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text) if word]

"""Whose a DICOM file is: the one place that reads it, and it says no more than it must.

The identifier goes into a keyed hash (``plainfilm.data.pseudonyms``) and nowhere else. Names,
accession numbers and UIDs do not leave this file: it only tells whether a file's name
repeats one of them.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from plainfilm.errors import ImageError
from plainfilm.pixels.limits import LIMITS
from plainfilm.pixels.metadata import element
from plainfilm.pixels.sniff import Format, sniff

RASTER_SUFFIXES: frozenset[str] = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)
"""Endings (lower case) of files that are not opened to look for a patient."""

_HEAD = 512
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_KEYWORDS = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "OtherPatientIDs"),
    *("AccessionNumber", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
)
_REMOVED = "PatientIdentityRemoved"
_LAST_GROUP = 0x0020
# What de-identification leaves in the place of an identifier: it is everybody's.
_NOBODY = re.compile(
    r"(?:anon[a-z]*|de-?identified|unknown|none|null|n/?a|no[ _-]?id|removed|redacted|x+|0+|\W*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """What was read; it has no text form, so that it cannot be printed by accident.

    Attributes
    ----------
    patient
        PatientID, after IssuerOfPatientID where there is one; None where it is empty or a
        placeholder. In clear: hash it at once.
    in_name
        Whether the name of the file, or of a folder above it, holds an identifier, a part of the
        patient's name, an accession number or a UID of the file. Never where the file says that
        identity was removed from it: those are pseudonyms then.
    """

    patient: str | None
    in_name: bool


def read_identity(path: str | Path, name: str) -> Identity | None:
    """Read whose a file is.

    Parameters
    ----------
    path
        Where the file lies. One with the ending of another format is not opened; of others the
        content decides, and the header is read no further than it must be.
    name
        The path below the root, with forward slashes: what manifests and reports will show.

    Returns
    -------
    identity
        None where it is no DICOM file. A damaged one is no error: what cannot be read is not there.
    """
    if os.path.splitext(path)[1].lower() in RASTER_SUFFIXES:  # noqa: PTH122 (100,000 files)
        return None
    try:
        with open(path, "rb") as file:
            if sniff(file.read(_HEAD)) is not Format.DICOM:
                return None
            if os.fstat(file.fileno()).st_size > LIMITS.bytes:
                return Identity(None, False)
            return _read(file, name)
    except ImageError:
        return None
    except (OSError, ValueError):
        return None


def _read(file: BinaryIO, name: str) -> Identity:
    from pydicom.datadict import tag_for_keyword
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    from plainfilm.pixels.dicom import _QUIET, _inflate
    from plainfilm.pixels.isolation import ISOLATION

    def beyond(tag: Any, vr: str | None, length: int) -> bool:
        return bool(tag.group > _LAST_GROUP)

    with ISOLATION, _QUIET:
        try:
            file.seek(0)
            if _DEFLATED in file.read(4096):
                file.seek(0)
                inflated = _inflate(file.read(), LIMITS)  # pydicom would inflate without a bound
                file = file if inflated is None else io.BytesIO(inflated)
            file.seek(0)
            tags = [Tag(tag_for_keyword(keyword) or 0) for keyword in (*_KEYWORDS, _REMOVED)]
            header = read_partial(file, stop_when=beyond, force=True, specific_tags=tags)
            return Identity(_patient(header), _is_told(header, name))
        except Exception:  # whatever a library raises about hostile bytes
            return Identity(None, False)


def _text(header: Any, keyword: str) -> str:
    value = element(header, keyword)
    return "" if value is None else " ".join(str(value).replace("\0", " ").split())


def _patient(header: Any) -> str | None:
    number = _text(header, "PatientID")
    if _NOBODY.fullmatch(number):
        return None
    issuer = _text(header, "IssuerOfPatientID")
    return f"{issuer}\0{number}" if issuer else number


def _is_told(header: Any, name: str) -> bool:
    """Tell whether a name holds what identifies, however it is written there."""
    if _text(header, _REMOVED).upper() == "YES":
        return False
    shown = name.casefold()
    words = set(_words(shown))
    for keyword in _KEYWORDS:
        if keyword == "IssuerOfPatientID":
            continue
        value = _text(header, keyword).casefold()
        if keyword == "PatientName":
            if any(len(word) > 2 and word in words for word in _words(value)):
                return True
        # A short number is in many names by chance: it must stand there alone.
        elif (len(value) >= 6 and value in shown) or (len(value) > 1 and value in words):
            return True
    return False


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text) if word]

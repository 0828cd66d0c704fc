"""Accepts received images: into the spool and the ledger, each content once."""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Literal

from plainfilm.pacs.ledger import Ledger, image_key, uid_key
from plainfilm.pacs.spool import Spool, store_image

Outcome = Literal["stored", "duplicate", "own", "ignored"]

IMPLEMENTATION_UID = "2.25.281937409721893107450211348176024511"


def accept(
    ledger: Ledger,
    spool: Spool,
    sop_uid: str,
    study_uid: str,
    head: bytes,
    body: bytes | memoryview,
) -> Outcome:
    """Store an image durably, unless it is known.

    When it returns, the sender may get a success.

    Parameters
    ----------
    ledger, spool
        Those of the state folder.
    sop_uid, study_uid
        UIDs of the image and its study.
    head
        Preamble and meta header of the file, see `file_head`.
    body
        Data set.

    Returns
    -------
    str
        ``stored``, or why it was not: ``duplicate``, ``own`` (one of our results) or ``ignored``
        (the UID had too many different contents).

    Raises
    ------
    OSError
        If the disk is full or fails.
    StorageError
        If the ledger is damaged.
    """
    uid, sha256 = uid_key(sop_uid), hashlib.sha256(body).hexdigest()
    key, study = image_key(uid, sha256), uid_key(study_uid)
    known = ledger.known(uid, sha256)
    if known == "ignored":
        ledger.add_image(key, uid, sha256, study, ignored=True)
    if known != "new":
        return known
    return (
        "stored" if store_image(ledger, spool, key, uid, sha256, study, head, body) else "duplicate"
    )


def file_head(sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """Return the preamble and meta header of a DICOM file."""
    elements = pack("<HH2s2xL2s", 2, 1, b"OB", 2, b"\0\1") + b"".join(
        _uid(element, text)
        for element, text in (
            (0x0002, sop_class),
            (0x0003, sop_uid),
            (0x0010, syntax),
            (0x0012, IMPLEMENTATION_UID),
        )
    )
    return bytes(128) + b"DICM" + pack("<HH2sHL", 2, 0, b"UL", 4, len(elements)) + elements


def _uid(element: int, text: str) -> bytes:
    """Return an element of the meta header."""
    value = text.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return pack("<HH2sH", 2, element, b"UI", len(value)) + value

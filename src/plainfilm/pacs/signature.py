"""Defines what all results have in common: how they are named, numbered and recognised."""

from __future__ import annotations

import hashlib

__all__ = [
    "CAPTURE_SERIES",
    "DESCRIPTION",
    "MANUFACTURER",
    "MODEL_NAME",
    "REPORT_SERIES",
    "derived_uid",
]

MANUFACTURER = MODEL_NAME = "plainfilm"
"""Manufacturer and model name of every result, by which results are recognised when they return."""
DESCRIPTION = "plainfilm: research only, not for diagnosis"
"""Description of the series of reports, and name of the device that observes."""
REPORT_SERIES, CAPTURE_SERIES = 9001, 9002
"""Numbers of the two series of a study."""


def derived_uid(*parts: str) -> str:
    """Return the same valid UID for the same texts, and another one for others.

    It is a UUID of version 8 under the root 2.25 (PS3.5 annex B.2).
    """
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(3 << 62) | 2 << 62
    return f"2.25.{number}"

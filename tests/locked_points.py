"""Operating points of known evidence, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plainfilm.records import (
    LockedPoint,
    OperatingPoint,
    PointStatus,
    Purpose,
    ThresholdEvidence,
    ValidationRates,
)


def evidence(low: float, high: float, note: str = "", **changes: Any) -> ThresholdEvidence:
    """Return what 100 validation images of each class show about a threshold."""
    rates = ValidationRates(0.9, 0.8)
    status: PointStatus = "not determined" if note else "determined"
    own = ThresholdEvidence(
        status, note, low, high, None, False, 100, 100, 90, 80, 1, unchanged=rates, all_copies=rates
    )
    return replace(own, **changes)


def locked(label: str, purpose: Purpose, threshold: float) -> LockedPoint:
    """Return an operating point that the validation set determines well."""
    point = OperatingPoint(purpose, purpose, label, threshold, "chosen by hand")
    return LockedPoint(point, evidence(threshold - 0.1, threshold + 0.1))

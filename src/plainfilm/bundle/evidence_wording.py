"""Writes what a validation set shows about thresholds, for model cards, reports and messages."""

from __future__ import annotations

from typing import Literal

from plainfilm._text import plural
from plainfilm.records import ThresholdEvidence


def rate_text(evidence: ThresholdEvidence, rate: Literal["sensitivity", "specificity"]) -> str:
    """Return a rate on the unchanged images, and with disturbed copies where that differs."""
    clean, every = getattr(evidence.unchanged, rate), getattr(evidence.all_copies, rate)
    if clean != clean:
        return ""
    shown, disturbed = f"{clean:.3f}", f"{every:.3f}"
    return shown if shown == disturbed else f"{shown} ({disturbed} with disturbed copies)"


def counts_text(evidence: ThresholdEvidence) -> str:
    """Return the number of validation images and patients of each class."""
    return (
        f"{plural(evidence.positives, 'positive image')} of "
        f"{plural(evidence.positive_patients, 'patient')}, "
        f"{plural(evidence.negatives, 'negative image')} of "
        f"{plural(evidence.negative_patients, 'patient')}"
    )

"""The overlap of an evaluation with the images that the bundle was trained and validated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plainfilm.metrics import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """The evaluated images that are training or validation images of the bundle.

    Attributes
    ----------
    images
        Number of images that overlap in any of the following ways.
    identical, altered
        Number of identical files, and of altered copies (compressed again, resized, mirrored, ...).
    same_patient, patients
        Number of images of patients of the training and validation images, and of these patients.
    others, metrics
        Number of images without overlap, and their metrics; empty without an overlap.
    unchecked
        What could not be compared, and why.
    """

    images: int
    identical: int
    altered: int
    same_patient: int
    patients: int
    others: int
    metrics: Mapping[str, Interval]
    unchecked: tuple[str, ...] = ()

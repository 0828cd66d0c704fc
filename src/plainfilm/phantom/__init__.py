"""Draws synthetic chest radiographs for the demo and the tests, without any download.

The images are drawn from a seed and resemble radiographs; their labels are known by construction.
Results on them do not apply to patients.
"""

from __future__ import annotations

from plainfilm.phantom.anatomy import Patient, sample_patient
from plainfilm.phantom.dataset import DEMO_IMAGES, Collection, write_dataset
from plainfilm.phantom.drawings import Drawing
from plainfilm.phantom.radiograph import draw

__all__ = [
    "DEMO_IMAGES",
    "Collection",
    "Drawing",
    "Patient",
    "draw",
    "sample_patient",
    "write_dataset",
]

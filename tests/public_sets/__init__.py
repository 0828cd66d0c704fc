"""Writes small drawn copies of public data sets: their files, columns, values and oddities.

Each function writes one set below a folder and returns the folder that a user would give. The
images are 8 x 8 pixels of noise; names, patients and labels are invented.
"""

from __future__ import annotations

from public_sets.boxes import rsna, siim, vindr, vindr_boxes
from public_sets.findings import chexpert, mimic, nih, openi, padchest
from public_sets.lists import covidx, kermany

__all__ = [
    "chexpert",
    "covidx",
    "kermany",
    "mimic",
    "nih",
    "openi",
    "padchest",
    "rsna",
    "siim",
    "vindr",
    "vindr_boxes",
]

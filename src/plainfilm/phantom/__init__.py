"""Synthetic chest radiographs: the data set that needs no download.

They are drawn from a seed, look like radiographs at a glance, and carry labels that are true by
construction. They serve the demo and the tests; nothing learnt from them holds for people.
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

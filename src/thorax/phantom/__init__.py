"""Synthetic chest radiographs: the data set that needs no download.

They are drawn from a seed, look like radiographs at a glance, and carry labels that are true by
construction. They serve the demo and the tests; nothing learnt from them holds for people.
"""

from __future__ import annotations

from thorax.phantom.anatomy import Patient, sample_patient
from thorax.phantom.dataset import DEMO_IMAGES, Collection, write_dataset
from thorax.phantom.flaws import FLAWS, FlawKind, PlantedFlaw, plant
from thorax.phantom.plan import Drawing
from thorax.phantom.radiograph import draw

__all__ = [
    "DEMO_IMAGES",
    "FLAWS",
    "Collection",
    "Drawing",
    "FlawKind",
    "Patient",
    "PlantedFlaw",
    "draw",
    "plant",
    "sample_patient",
    "write_dataset",
]

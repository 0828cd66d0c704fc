"""Counts of the copies of public data sets, made by hand from their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import public_sets
from plainfilm.data import Manifest


@dataclass(frozen=True)
class Counts:
    """Counts of a set made by hand from its rows; labels that are not named have no positive."""

    images: int
    patients: int
    positive: dict[str, int]
    splits: dict[str | None, int]
    unknown: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=lambda: {"missing": 1})


SETS = {
    "nih": Counts(
        images=17,
        patients=10,
        positive={
            "Cardiomegaly": 4,
            "Effusion": 3,
            "Emphysema": 1,
            "Hernia": 3,
            "Infiltration": 3,
            "Mass": 1,
            "Nodule": 1,
            "Pleural_Thickening": 1,
            "Pneumothorax": 1,
        },
        splits={"train": 11, "test": 6},
    ),
    "chexpert": Counts(
        images=12,
        patients=9,
        positive={
            "Cardiomegaly": 2,
            "Edema": 2,
            "Lung Opacity": 1,
            "Pleural Effusion": 4,
            "Support Devices": 3,
        },
        splits={"train": 9, "validation": 3},
        unknown={"Cardiomegaly": 1, "Edema": 1, "Pneumonia": 1},
    ),
    "mimic-cxr": Counts(
        images=10,
        patients=5,
        positive={
            "Atelectasis": 2,
            "Edema": 1,
            "Pleural Effusion": 1,
            "Pneumonia": 2,
            "Support Devices": 1,
        },
        splits={"train": 6, "validation": 1, "test": 3},
        unknown={"Edema": 1, "Pneumonia": 2},
        left_out={"missing": 1, "no-label": 1},
    ),
    "padchest": Counts(
        images=16,
        patients=13,
        positive={
            "cardiomegaly": 4,
            "costophrenic angle blunting": 1,
            "pleural effusion": 3,
            "pneumonia": 3,
            "rib fracture": 1,
            "scoliosis": 1,
            "suboptimal study": 1,
        },
        splits={None: 16},
        left_out={"missing": 1, "no-label": 1},
    ),
    "vindr": Counts(
        images=12,
        patients=12,
        positive={"Cardiomegaly": 3, "Lung Opacity": 2, "Nodule/Mass": 1, "Pleural effusion": 2},
        splits={"train": 9, "test": 3},
    ),
    "rsna": Counts(images=11, patients=11, positive={"Lung Opacity": 4}, splits={None: 11}),
    "siim": Counts(images=11, patients=10, positive={"Pneumothorax": 4}, splits={None: 11}),
    "covidx": Counts(
        images=12, patients=10, positive={"positive": 7}, splits={"train": 8, "test": 4}
    ),
    "openi": Counts(
        images=10,
        patients=6,
        positive={"Cardiomegaly": 4, "Opacity": 1, "Pleural Effusion": 2, "Pulmonary Artery": 2},
        splits={None: 10},
    ),
    "kermany": Counts(
        images=17,
        patients=13,
        positive={"PNEUMONIA": 10},
        splits={"train": 10, "validation": 2, "test": 5},
        left_out={},
    ),
}


WRITERS: dict[str, Callable[[Path], Path]] = {
    name: getattr(public_sets, name.partition("-")[0]) for name in SETS
}


def count(manifest: Manifest) -> Counts:
    labels = manifest.label_array()
    names = manifest.task.labels
    positive = {name: int(np.sum(labels[:, i] == 1)) for i, name in enumerate(names)}
    unknown = {name: int(np.isnan(labels[:, i]).sum()) for i, name in enumerate(names)}
    return Counts(
        images=len(manifest),
        patients=len(set(manifest.patients)),
        positive={name: number for name, number in positive.items() if number},
        splits=dict(Counter(record.official for record in manifest.records)),
        unknown={name: number for name, number in unknown.items() if number},
        left_out=dict(Counter(item.reason for item in manifest.left_out)),
    )

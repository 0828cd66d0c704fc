"""Drawn copies of public data sets are read with the right labels, patients and splits.

The counts are made by hand from the rows in ``public_sets``.
"""

from __future__ import annotations

from pathlib import Path

import public_sets
from plainfilm.data import load_dataset


def test_the_paediatric_set_is_read_once_with_patients_from_its_names(tmp_path: Path) -> None:
    manifest = load_dataset(public_sets.kermany(tmp_path), layout="kermany")
    assert manifest.task.classes == ("NORMAL", "PNEUMONIA")
    assert manifest.task.labels == ("PNEUMONIA",)
    assert len(manifest) == 17
    assert manifest.label_array().sum() == 10
    assert len(set(manifest.patients)) == 13
    officials = [record.official for record in manifest.records]
    counts = {name: officials.count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 10, "validation": 2, "test": 5}
    assert not manifest.left_out

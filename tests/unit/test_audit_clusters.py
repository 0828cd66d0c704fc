"""Tests that copies count as one patient, so that no baseline model profits from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from plainfilm.audit.clusters import merge_patients
from plainfilm.audit.pipeline import audit_dataset
from plainfilm.data import load_dataset
from plainfilm.phantom import draw


def test_copies_are_no_evidence_of_a_shortcut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        label = "ILL" if rng.random() < 0.5 else "WELL"  # unrelated to the image
        image = Image.fromarray(draw(np.random.default_rng([1, number]), size=128))
        for copy in range(5):
            folder = tmp_path / label
            folder.mkdir(exist_ok=True)
            # Some copies are equal byte for byte, the others only in their pixels.
            ending = "png" if copy % 2 else "bmp"
            image.save(folder / f"{'abcde'[copy]}{number}.{ending}")
    audit = audit_dataset(load_dataset(tmp_path))
    findings = {finding.check: finding for finding in audit.findings}
    assert findings["exact-duplicate"].count == 200
    assert not [check for check in findings if check.startswith("shortcut-")]
    for baseline in audit.baselines:
        assert not baseline.auroc.low > 0.6, baseline.features


def test_merged_patients_are_connected_through_images_and_copies(make_evidence: Any) -> None:
    rng = np.random.default_rng(0)
    evidence = make_evidence([0] * 300, patients=rng.integers(0, 120, 300).tolist())
    copies = [sorted(rng.choice(300, 3, replace=False).tolist()) for _ in range(25)]
    merged = merge_patients(evidence, copies).groups
    links = [(row, 300 + int(patient)) for row, patient in enumerate(evidence.groups)]
    links += [(group[0], row) for group in copies for row in group[1:]]
    rows, others = np.array(links).T
    graph = coo_matrix((np.ones(len(links)), (rows, others)), (420, 420))
    count, expected = connected_components(graph, directed=False)
    assert len(set(merged.tolist())) == len(set(expected[:300].tolist())) <= count
    assert len(set(zip(merged.tolist(), expected[:300].tolist(), strict=True))) == merged.max() + 1
    _, first = np.unique(merged, return_index=True)
    assert (np.diff(first) > 0).all(), "numbered in the order of their first images"

"""Tests that a baseline model does not profit from copies: they count as one patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

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

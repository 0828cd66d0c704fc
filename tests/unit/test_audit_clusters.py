"""A cheat must not know copies again: images that are one count as one patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from plainfilm.audit.run import audit_dataset
from plainfilm.data import load_dataset
from plainfilm.phantom import draw


def test_copies_are_no_evidence_of_a_shortcut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        label = "ILL" if rng.random() < 0.5 else "WELL"  # means nothing
        picture = Image.fromarray(draw(np.random.default_rng([1, number]), size=128))
        for copy in range(5):
            folder = tmp_path / label
            folder.mkdir(exist_ok=True)
            # Half of the copies are so byte for byte, the others by their pixels alone.
            ending = "png" if copy % 2 else "bmp"
            picture.save(folder / f"{'abcde'[copy]}{number}.{ending}")
    found = audit_dataset(load_dataset(tmp_path))
    told = {finding.check: finding for finding in found.findings}
    assert told["exact-duplicate"].count == 200
    assert not [check for check in told if check.startswith("shortcut-")]
    for one in found.probes:
        assert not one.interval.low > 0.6, one.cheat

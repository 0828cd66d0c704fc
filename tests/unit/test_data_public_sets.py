"""Drawn copies of public data sets are read with the right labels, patients and splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.data import load_dataset
from plainfilm.data.sources.layouts import LAYOUTS
from public_sets.counts import SETS, WRITERS, count


@pytest.mark.parametrize("name", SETS)
def test_counts_are_those_made_by_hand(name: str, tmp_path: Path) -> None:
    folder = WRITERS[name](tmp_path)
    manifest = load_dataset(folder, layout=name)
    assert count(manifest) == SETS[name]
    assert "patient-ids-merged" not in {found.check for found in manifest.findings}


def test_every_layout_is_tested() -> None:
    assert set(SETS) == {layout.name for layout in LAYOUTS}

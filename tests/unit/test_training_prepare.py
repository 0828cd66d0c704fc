"""What a training needs of its images comes from another process where this one is busy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm._progress import silent
from plainfilm.config import load_recipe
from plainfilm.data import Manifest, load_dataset, make_splits
from plainfilm.phantom import write_dataset
from plainfilm.training import prepare as module
from plainfilm.training.prepare import prepare


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this process did it")


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    write_dataset(tmp_path / "data", images={"train": 40}, size=32, seed=0)
    manifest = make_splits(load_dataset(tmp_path / "data"), validation=0.2, test=0.2)
    recipe = load_recipe("swift", ["input.size=16"])
    cache = tmp_path / "cache"
    return {"manifest": manifest, "recipe": recipe, "cache": cache, "workers": 0}


def all_of(given: dict[str, Any], *, elsewhere: bool) -> list[Any]:
    places = {"cache": given["cache"], "workers": given["workers"]}
    return list(
        prepare(given["manifest"], given["recipe"], **places, elsewhere=elsewhere, progress=silent)
    )


def test_here_and_elsewhere_give_the_same(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = all_of(given, elsewhere=False)
    monkeypatch.setattr(module, "audit_dataset", refuse)
    there = all_of(given | {"cache": tmp_path / "other"}, elsewhere=True)
    assert here[0].findings == there[0].findings
    assert here[3] == there[3]
    for (records, images), (others, pixels) in zip(here[1:3], there[1:3], strict=True):
        assert list(records.ids) == list(others.ids)
        assert len(records) > 0
        assert np.array_equal(images.all(), pixels.all())


def test_larger_images_to_crop_from_change_nothing_but_the_training_images(
    given: dict[str, Any],
) -> None:
    _, (records, images), (others, checks), _ = all_of(given, elsewhere=False)
    cropped = load_recipe("swift", ["input.size=16", "augment.crop_from=20"])
    made = all_of(given | {"recipe": cropped}, elsewhere=False)
    _, (same, larger), (as_before, own), _ = made
    assert (images.spec.size, larger.spec.size, own.spec.size) == (16, 20, 16)
    assert list(records.ids) == list(same.ids) == list(images.ids) == list(larger.ids)
    assert list(others.ids) == list(as_before.ids)
    assert np.array_equal(checks.all(), own.all())


def test_what_is_left_out_is_told_of_its_own_split(given: dict[str, Any], tmp_path: Path) -> None:
    bad = {p: given["manifest"].select(p).records[1] for p in ("train", "validation")}
    for record in bad.values():
        Path(record.path).write_bytes(b"no image")
    _, training, validation, as_file = all_of(given, elsewhere=False)
    (tmp_path / "manifest.parquet").write_bytes(as_file)
    left_out = Manifest.read(tmp_path / "manifest.parquet").left_out
    assert {gone.id for gone in left_out} == {record.id for record in bad.values()}
    for split, (records, images) in (("train", training), ("validation", validation)):
        assert [gone.id for gone in images.left_out] == [bad[split].id]
        assert bad[split].id not in records.ids
        assert len(records) == len(images) == len(images.hashes) == len(images.metadata)


def test_of_very_many_nothing_is_handed_over(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", 39)
    monkeypatch.setattr(module, "audit_dataset", refuse)
    with pytest.raises(AssertionError, match="this process did it"):
        all_of(given, elsewhere=True)

"""Audit and images of a training, in this process or in a subprocess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm._progress import silent
from plainfilm.config import load_recipe
from plainfilm.data import Manifest, load_dataset, make_splits
from plainfilm.errors import LabelError
from plainfilm.phantom import write_dataset
from plainfilm.training import training_images as module
from plainfilm.training.startup import Subprocess
from plainfilm.training.training_images import (
    SplitImages,
    ValidationSet,
    audit_and_decode,
    sample_images,
)


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this process did it")


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    write_dataset(tmp_path / "data", images={"train": 40}, size=32, seed=0)
    manifest = make_splits(load_dataset(tmp_path / "data"), validation=0.2, test=0.2)
    recipe = load_recipe("swift", ["input.size=16"])
    cache = tmp_path / "cache"
    return {"manifest": manifest, "recipe": recipe, "cache": cache, "workers": 0}


def prepare(given: dict[str, Any], *, in_subprocess: bool = False) -> list[Any]:
    arguments = [given[name] for name in ("manifest", "recipe", "cache", "workers")]
    with Subprocess(audit_and_decode, *arguments, enabled=in_subprocess) as work:
        return list(work.values(silent))


def test_a_subprocess_gives_the_same(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = prepare(given)
    monkeypatch.setattr(module, "audit_dataset", refuse)
    there = prepare(given | {"cache": tmp_path / "other"}, in_subprocess=True)
    assert here[0].findings == there[0].findings
    assert here[3] == there[3]
    for first, second in zip(here[1:3], there[1:3], strict=True):
        assert list(first.records.ids) == list(second.records.ids)
        assert len(first.records) > 0
        assert np.array_equal(first.images.all(), second.images.all())


def test_crops_change_only_the_size_of_the_training_images(given: dict[str, Any]) -> None:
    _, training, validation, _ = prepare(given)
    cropped = load_recipe("swift", ["input.size=16", "augment.crop_from=20"])
    _, larger, same, _ = prepare(given | {"recipe": cropped})
    sizes = [split.images.spec.size for split in (training, larger, same)]
    assert sizes == [16, 20, 16]
    assert list(training.records.ids) == list(larger.records.ids)
    assert list(training.images.ids) == list(larger.images.ids)
    assert list(validation.records.ids) == list(same.records.ids)
    assert np.array_equal(validation.images.all(), same.images.all())


def test_files_that_cannot_be_decoded_are_listed_in_their_split(
    given: dict[str, Any], tmp_path: Path
) -> None:
    bad = {p: given["manifest"].select(p).records[1] for p in ("train", "validation")}
    for record in bad.values():
        Path(record.path).write_bytes(b"no image")
    _, training, validation, table = prepare(given)
    (tmp_path / "manifest.parquet").write_bytes(table)
    left_out = Manifest.read(tmp_path / "manifest.parquet").left_out
    assert {gone.id for gone in left_out} == {record.id for record in bad.values()}
    for name, split in (("train", training), ("validation", validation)):
        records, images = split.records, split.images
        assert [gone.id for gone in images.left_out] == [bad[name].id]
        assert bad[name].id not in records.ids
        assert len(records) == len(images) == len(images.hashes) == len(images.metadata)


def test_a_validation_set_has_the_images_of_its_records(given: dict[str, Any]) -> None:
    _, _, validation, _ = prepare(given)
    arrays = validation.to_validation_set()
    assert isinstance(arrays, ValidationSet)
    assert np.array_equal(arrays.images, validation.images.all())
    assert np.array_equal(arrays.labels, validation.records.label_array())
    assert len(arrays) == len(arrays.patients) == len(validation.records)


def test_a_split_needs_both_classes(given: dict[str, Any]) -> None:
    _, training, _, _ = prepare(given)
    training.check_classes("train")
    records = [r for r in training.records.records if r.labels == (0.0,)]
    one_class = replace(training.records, records=tuple(records))
    with pytest.raises(LabelError, match="only one class of PNEUMONIA"):
        SplitImages(one_class, training.images).check_classes("train")


def test_a_sample_is_spread_evenly(given: dict[str, Any]) -> None:
    _, training, _, _ = prepare(given)
    options = (given["recipe"].input, given["cache"], 0)
    images, labels = sample_images(training.records, *options, 5)
    assert images.shape == (5, 16, 16)
    assert labels.shape == (5, 1)
    every, _ = sample_images(training.records, *options, 1000)
    assert np.array_equal(every, training.images.all())
    assert np.array_equal(images[0], every[0]) and np.array_equal(images[-1], every[-1])

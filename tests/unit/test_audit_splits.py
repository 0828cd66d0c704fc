"""Tests the audit of two published splits with leaks: every leak is found and counted."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path

import pytest

from plainfilm.audit.pipeline import audit_dataset

DATA = Path(os.environ.get("PLAINFILM_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not ((DATA / "splits").is_dir() and (DATA / "kermany224").is_dir()),
        reason="needs splits and kermany224 of PLAINFILM_DATA",
    ),
]


def read(name):
    with (DATA / "splits" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lay_out(folder, name):
    """Create the folders of a split, with links to the images."""
    places = {(row["class"], row["file"]): row["split"] for row in read("official")}
    for row in read(name):
        kind, file = row["class"], row["file"]
        link = folder / row["split"] / kind / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(DATA / "kermany224" / places[kind, file] / kind / file)
    return folder


def found(result, check):
    return {finding.check: finding for finding in result.findings}[check]


def expected(name):
    """Count the images whose patient is also in the training set, by the public list."""
    groups = {(row["class"], row["file"]): row["group"] for row in read("official")}
    rows = [(row["split"], groups[row["class"], row["file"]]) for row in read(name)]
    training = {group for split, group in rows if split == "train"}
    return {name: sum(s == name and g in training for s, g in rows) for name in ("val", "test")}


def test_a_split_drawn_by_image(tmp_path):
    name = "resplit_random_70_15_15"
    assert expected(name) == {"val": 349, "test": 333}
    result = audit_dataset(lay_out(tmp_path / "set", name), quick=True, cache=tmp_path / "cache")
    leak = found(result, "patient-in-several-splits")
    assert leak.severity == "serious"
    assert (
        "patients of the training set account for 333 of 879 images of the test set and 349 of 878 "
        "images of the validation set"
    ) in leak.problem
    # Some test images are of patients of the validation set who are not in the training set.
    only = between(name)
    assert f"patients of the validation set account for {only} of 879 images" in leak.problem
    # Without the excluded images, no patient is in several splits.
    splits = defaultdict(set)
    groups = {(row["class"], row["file"]): row["group"] for row in read("official")}
    for row in read(name):
        if f"{row['split']}/{row['class']}/{row['file']}" not in result.exclusions:
            splits[groups[row["class"], row["file"]]].add(row["split"])
    assert max(map(len, splits.values())) == 1


def between(name):
    """Count the test images whose patient is in the validation set but not in the training set."""
    groups = {(row["class"], row["file"]): row["group"] for row in read("official")}
    rows = [(row["split"], groups[row["class"], row["file"]]) for row in read(name)]
    training = {group for split, group in rows if split == "train"}
    validation = {group for split, group in rows if split == "val"} - training
    return sum(split == "test" and group in validation for split, group in rows)


def test_splits_that_are_copied_from_the_training_set(tmp_path):
    result = audit_dataset(
        lay_out(tmp_path / "set", "resplit_copy_leak"), quick=True, cache=tmp_path / "cache"
    )
    leak = found(result, "exact-duplicate-across-splits")
    assert leak.severity == "serious"
    assert "784 of 784 images of the test set" in leak.problem
    assert "782 of 782 images of the validation set" in leak.problem
    patients = found(result, "patient-in-several-splits")
    assert "784 of 784 images of the test set" in patients.problem
    assert "782 of 782 images of the validation set" in patients.problem


def test_the_official_split_has_no_patient_in_two_splits(tmp_path):
    result = audit_dataset(DATA / "kermany224", quick=True, cache=tmp_path / "cache")
    names = {finding.check for finding in result.findings}
    assert "patient-in-several-splits" not in names
    assert "exact-duplicate-across-splits" not in names
    assert found(result, "exact-duplicate").count == 62
    assert len(found(result, "exact-duplicate").groups) == 30

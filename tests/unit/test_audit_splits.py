"""Two leaky re-splits that were published: every leak is found, and counted right."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path

import pytest

from plainfilm.audit.run import audit_dataset

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
    """Make the folders of a re-split, of links to the images."""
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
    """Count by the public list of patients: images whose patient is in the train part as well."""
    groups = {(row["class"], row["file"]): row["group"] for row in read("official")}
    rows = [(row["split"], groups[row["class"], row["file"]]) for row in read(name)]
    taught = {group for part, group in rows if part == "train"}
    return {part: sum(p == part and g in taught for p, g in rows) for part in ("val", "test")}


def test_a_split_drawn_by_image(tmp_path):
    name = "resplit_random_70_15_15"
    assert expected(name) == {"val": 349, "test": 333}
    result = audit_dataset(lay_out(tmp_path / "set", name), quick=True, cache=tmp_path / "cache")
    leak = found(result, "patient-leak")
    assert leak.severity == "serious"
    assert "333 of 879 images of test and 349 of 878 images of validation are of patients that" in (
        leak.problem
    )
    # And some of the test are of patients who are not in train, but in validation.
    only = between(name)
    assert (
        f"{only} of 879 images of test are of patients that are also in validation" in leak.problem
    )
    # Who obeys the list has no patient left on two sides.
    sides = defaultdict(set)
    groups = {(row["class"], row["file"]): row["group"] for row in read("official")}
    for row in read(name):
        if f"{row['split']}/{row['class']}/{row['file']}" not in result.exclusions:
            sides[groups[row["class"], row["file"]]].add(row["split"])
    assert max(map(len, sides.values())) == 1


def between(name):
    """Count test images whose patient is in validation and not in train."""
    groups = {(row["class"], row["file"]): row["group"] for row in read("official")}
    rows = [(row["split"], groups[row["class"], row["file"]]) for row in read(name)]
    taught = {group for part, group in rows if part == "train"}
    locked = {group for part, group in rows if part == "val"} - taught
    return sum(part == "test" and group in locked for part, group in rows)


def test_parts_that_are_copies_out_of_train(tmp_path):
    result = audit_dataset(
        lay_out(tmp_path / "set", "resplit_copy_leak"), quick=True, cache=tmp_path / "cache"
    )
    leak = found(result, "exact-leak-across-splits")
    assert leak.severity == "serious"
    assert "784 of 784 images of test" in leak.problem
    assert "782 of 782 images of validation" in leak.problem
    patients = found(result, "patient-leak")
    assert "784 of 784 images of test" in patients.problem
    assert "782 of 782 images of validation" in patients.problem


def test_the_official_split_has_no_patient_on_two_sides(tmp_path):
    result = audit_dataset(DATA / "kermany224", quick=True, cache=tmp_path / "cache")
    names = {finding.check for finding in result.findings}
    assert "patient-leak" not in names
    assert "exact-leak-across-splits" not in names
    assert found(result, "exact-duplicate").count == 62
    assert len(found(result, "exact-duplicate").groups) == 30

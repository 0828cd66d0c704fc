"""Tests audits of unusual data sets: small, blank, identical, unlabelled, damaged."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from plainfilm.audit.pipeline import Audit, audit_dataset
from plainfilm.data import load_dataset
from plainfilm.data.manifest import Manifest
from plainfilm.errors import SourceError
from plainfilm.phantom import write_dataset
from plainfilm.records import Record, Task
from planting import plant

BINARY = Task("binary", ("ILL",), ("WELL", "ILL"))


@pytest.fixture
def save(tmp_path, chests):
    """Return a function that writes images, and lists them."""

    def write(labels, *, images=None, task=BINARY, splits=None, size=None):
        records = []
        for n, label in enumerate(labels):
            path = tmp_path / f"{n:03d}.png"
            image = Image.fromarray(chests[n % 96] if images is None else images[n])
            (image.resize((size, size)) if size else image).save(path)
            row = label if isinstance(label, tuple) else (float(label),)
            split = splits[n] if splits else None
            name = path.name
            records.append(Record(id=name, path=str(path), labels=row, patient=name, split=split))
        return Manifest("few", task, tuple(records))

    return write


def check(manifest) -> Audit:
    """Audit quickly and in full, and check that the document is strict JSON."""
    for quick in (True, False):
        result = audit_dataset(manifest, quick=quick, workers=0)
        text = json.dumps(result.document.to_json(), allow_nan=False)
        assert json.loads(text)["images"] == result.images
        assert all(f.problem and f.check and f.count >= 0 for f in result.findings)
    return result


def names(result):
    return {finding.check for finding in result.findings}


@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 34])
def test_few_images(save, count):
    result = check(save([n % 2 for n in range(count)]))
    assert result.images == count
    assert "outliers-inconclusive" in names(result)
    assert not any("duplicate" in name for name in names(result))


def test_a_small_set_reports_inconclusive_checks(save):
    result = check(save([n % 2 for n in range(22)]))
    assert names(result) >= {
        "orientation-inconclusive",
        "outliers-inconclusive",
        "shortcuts-inconclusive",
    }


@pytest.mark.parametrize("label", [0, 1, float("nan")])
def test_one_class_only(save, label):
    splits = ["train", "test"] * 20
    result = check(save([label] * 40, splits=splits))
    assert "one-class-only" in names(result)


@pytest.mark.parametrize("count", [5, 70])
def test_all_blank(save, count):
    images = np.zeros((count, 40, 40), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None]
    result = check(save([n % 2 for n in range(count)], images=images))
    (finding,) = (f for f in result.findings if f.check == "blank-image")
    assert finding.count == count
    assert not names(result) & {"near-duplicate", "rotated", "inverted", "burnt-in-text"}


@pytest.mark.parametrize("count", [5, 70])
def test_all_identical(save, chests, count):
    images = np.repeat(chests[:1], count, axis=0)
    result = check(save([0] * count, images=images))
    (finding,) = (f for f in result.findings if f.check == "exact-duplicate")
    assert len(finding.exclude) == count - 1
    assert len(result.exclusions) == count - 1


def test_all_nearly_identical(save, chests):
    shades = np.arange(70)[:, None, None] // 2
    images = np.clip(chests[:1].astype(int) + shades + np.eye(128, dtype=int), 0, 255)
    result = check(save([0] * 70, images=images.astype(np.uint8)))
    assert len(result.exclusions) >= 60


def test_no_file_is_an_image(tmp_path):
    for name in ("WELL", "ILL"):
        (tmp_path / name).mkdir()
        for n in range(3):
            (tmp_path / name / f"{n}.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match="is an image"):
        audit_dataset(tmp_path, workers=0)


def test_several_classes(save):
    task = Task("multiclass", ("A", "B", "C"), ("A", "B", "C"))
    labels = [tuple(float(n % 3 == m) for m in range(3)) for n in range(66)]
    result = check(save(labels, task=task, splits=["train", "test"] * 33))
    assert {one.target for one in result.baselines if one.kind == "shortcut"} == {"A", "B", "C"}


def test_several_labels_with_unknown_ones(save):
    rng = np.random.default_rng(0)
    values = rng.choice([0.0, 1.0, np.nan], (70, 2))
    values[:, 1] = np.nan
    task = Task("multilabel", ("A", "B"), ("A", "B"))
    result = check(save([tuple(row) for row in values.tolist()], task=task))
    assert "unknown-label" in names(result)
    assert {one.target for one in result.baselines} == {"A"}


def test_images_of_eight_pixels(save):
    result = check(save([n % 2 for n in range(70)], size=8))
    assert not names(result) & {"small-image", "burnt-in-text", "blank-image"}


def test_a_missing_file_is_reported(save):
    manifest = save([n % 2 for n in range(10)])
    missing = replace(manifest.records[3], path=manifest.records[3].path + "x")
    records = (*manifest.records[:3], missing, *manifest.records[4:])
    result = audit_dataset(replace(manifest, records=records), workers=0)
    (finding,) = (f for f in result.findings if f.check == "missing")
    assert finding.files == (missing.id,)


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "dicom"
    images = {"train": 50, "test": 20}
    return write_dataset(folder, images=images, size=64, format="dicom", workers=1).folder


def test_a_dicom_set(dicom):
    result = check(load_dataset(dicom))
    assert result.images == 70
    assert not names(result) & {
        "inverted",
        "wrong-modality",
        "wrong-body-part",
        "blank-image",
        "colour-image",
    }


def test_exclusions_are_written_and_resolve_the_findings(tmp_path):
    folder = tmp_path / "set"
    write_dataset(folder, images={"train": 50, "test": 20}, size=64, workers=1)
    (leak,) = plant(folder, "leak-across-splits", count=1)
    twins = plant(folder, "exact-duplicate", count=3)
    (wrong,) = plant(folder, "contradicting-label", count=1, avoid=leak.files)
    plant(folder, "empty", count=1, avoid={*leak.files, *wrong.files})
    result = check(load_dataset(folder))
    excluded = set(result.exclusions)
    assert leak.files[0] in excluded and leak.files[1] not in excluded, "the test copy is kept"
    assert set(wrong.files) <= excluded, "one of two labels is wrong"
    for twin in twins:
        if not set(twin.files) & {*leak.files, *wrong.files}:
            assert len(excluded & set(twin.files)) <= 1
    listed = tmp_path / "leave-out.csv"
    assert result.write_exclusions(listed) == len(excluded)
    with listed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"]: row["check"] for row in rows} == dict(result.exclusions)
    manifest = load_dataset(folder)
    rest = replace(manifest, records=tuple(r for r in manifest.records if r.id not in excluded))
    again = check(rest)
    assert not [name for name in names(again) if name.startswith("exact-")]


def test_the_written_document_holds_the_findings(save, tmp_path):
    result = check(save([n % 2 for n in range(12)]))
    result.write(tmp_path / "audit.json")
    written = json.loads((tmp_path / "audit.json").read_text())
    assert [f["check"] for f in written["findings"]] == [f.check for f in result.findings]
    severities = [f["severity"] for f in written["findings"]]
    assert severities == sorted(severities, key=["serious", "warning", "note"].index)

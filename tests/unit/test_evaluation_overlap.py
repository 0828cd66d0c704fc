"""Tests that an evaluation recognises the images and patients that a bundle was trained on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.bundle import TrainingImages, read_bundle
from plainfilm.cli.main import main
from plainfilm.data import fill_cache, load_dataset
from plainfilm.errors import BundleError
from plainfilm.evaluation import evaluate, validate
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.records import PixelSpec, Task
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.training_images import SplitImages

TASK = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))


def collect(manifest):
    return collect_known_images(SplitImages(manifest, fill_cache(manifest, PixelSpec(16))))


@pytest.fixture(scope="module")
def known(phantoms) -> TrainingImages:
    """Return the hashes of 140 drawn images."""
    return collect(load_dataset(phantoms / "train"))


@pytest.fixture
def bundle(make_bundle, known):
    return make_bundle(task=TASK, training_images=known)


def copy_images(files, root: Path) -> Path:
    """Save images again, half in size and under other names."""
    for number, file in enumerate(files):
        with Image.open(file) as image:
            small = image.resize((image.width // 2, image.height // 2))
        target = root / file.parent.name / f"copy{number:03}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        small.save(target, quality=80)
    return root


def overlap_of(bundle, data, out, **more):
    found = evaluate(bundle, data, out=out, robustness=False, n_bootstrap=20, **more)
    findings = {finding.check: finding for finding in found.manifest.findings}
    return found.document.overlap, findings


def test_identical_files_are_recognised_under_any_path(bundle, phantoms, tmp_path):
    overlap, findings = overlap_of(bundle, phantoms / "train", tmp_path / "o")
    assert (overlap.images, overlap.identical, overlap.altered, overlap.others) == (140, 140, 0, 0)
    assert overlap.same_patient == 140, "names of the public set are patients in any folder"
    assert overlap.metrics == {}
    assert findings["training-overlap"].severity == "serious"
    assert findings["training-overlap"].count == 140


def test_altered_copies_are_recognised_and_the_rest_is_evaluated(bundle, phantoms, tmp_path):
    root = copy_images(sorted(phantoms.glob("train/*/*"))[::3], tmp_path / "mixed")
    new = sorted(phantoms.glob("test/*/*"))
    for file in new:
        (root / file.parent.name / f"new{file.name}").write_bytes(file.read_bytes())
    overlap, findings = overlap_of(bundle, root, tmp_path / "o")
    assert overlap.identical == 0
    assert overlap.altered == overlap.images == 47
    assert overlap.others == 50
    assert "47 altered copies" in findings["training-overlap"].problem
    assert all("copy" in name for name in findings["training-overlap"].files)
    alone = evaluate(
        bundle, phantoms / "test", out=tmp_path / "p", robustness=False, n_bootstrap=20
    )
    assert overlap.metrics["auroc"].value == alone.metrics["auroc"].value
    stored = EvaluationDocument.read(tmp_path / "o" / "evaluation.json")
    assert stored.overlap == overlap


def test_other_images_do_not_overlap(bundle, phantoms, tmp_path):
    overlap, findings = overlap_of(bundle, phantoms / "test", tmp_path / "o")
    assert (overlap.images, overlap.others, overlap.unchecked) == (0, 50, ())
    assert "training-overlap" not in findings


def write_table(path: Path, files, patients) -> Path:
    rows = [
        f"{file},{file.parent.name},{patient}"
        for file, patient in zip(files, patients, strict=True)
    ]
    path.write_text("\n".join(["file,label,patient_id", *rows]), encoding="utf-8")
    return path


def test_further_images_of_the_same_patients(make_bundle, phantoms, tmp_path, monkeypatch):
    train, test = (sorted(phantoms.glob(f"{split}/*/*")) for split in ("train", "test"))
    first = load_dataset(write_table(tmp_path / "a.csv", train, range(1000, 1140)))
    bundle = make_bundle(task=TASK, training_images=collect(first))
    other = write_table(tmp_path / "b.csv", test, range(1120, 1170))
    overlap, findings = overlap_of(bundle, other, tmp_path / "o")
    assert (overlap.images, overlap.same_patient, overlap.patients) == (20, 20, 20)
    assert (
        "20 further images of the same patients; 20 patients in common"
        in findings["training-overlap"].problem
    )
    monkeypatch.setenv("PLAINFILM_SALT", "of another hospital")
    overlap, findings = overlap_of(bundle, other, tmp_path / "p")
    assert overlap.images == 0
    assert "another salt" in overlap.unchecked[0]
    assert "another salt" in findings["overlap-unchecked"].problem


def test_what_a_bundle_cannot_compare_is_said(make_bundle, phantoms, tmp_path):
    overlap, findings = overlap_of(make_bundle(task=TASK), phantoms / "test", tmp_path / "o")
    assert overlap.images == 0
    assert "no list of its training images" in findings["overlap-unchecked"].problem
    files = sorted(phantoms.glob("train/*/*"))[::4]
    small = load_dataset(copy_images(files, tmp_path / "small"))
    bundle = make_bundle(tmp_path / "b", task=TASK, training_images=collect(small))
    overlap, _ = overlap_of(bundle, phantoms / "test", tmp_path / "p")
    assert ["100 training images" in overlap.unchecked[0], "unknown" in overlap.unchecked[1]] == [
        True,
        True,
    ]


def test_a_bundle_keeps_a_few_bytes_of_each_image(bundle, known, phantoms, tmp_path):
    read = read_bundle(bundle.folder).read_training_images()
    for name in ("contents", "patients", "views", "mean", "components", "medians"):
        assert np.array_equal(getattr(read, name), getattr(known, name))
    assert read.salt == known.salt
    assert len(read) == 140
    assert read.views.shape == (140, 9)
    assert read.to_bytes() == known.to_bytes()
    content = (bundle.folder / "training_images.npz").read_bytes()
    assert all(file.name.encode() not in content for file in phantoms.glob("train/*/*"))
    damaged = tmp_path / "damaged.npz"
    for text in (b"", content[:200], content.replace(b"PK", b"KP")):
        damaged.write_bytes(text)
        with pytest.raises(BundleError, match="cannot be read"):
            TrainingImages.parse(damaged.read_bytes(), str(damaged))


def test_a_data_set_that_overlaps_is_not_external(bundle, phantoms, tmp_path, capsys):
    copies = copy_images(sorted(phantoms.glob("train/*/*"))[::5], tmp_path / "copies")
    found = validate(
        bundle,
        [load_dataset(copies), load_dataset(phantoms / "test")],
        out=tmp_path / "o",
        robustness=False,
        n_bootstrap=20,
    )
    one, other = found.document.rows
    assert (one.role, one.overlap, one.without) == ("overlapping", 28, {})
    assert (other.role, other.overlap, other.without) == ("external", 0, None)
    assert found.document.warnings == (
        "the data set copies is not external: 28 of 28 images overlap with the training and "
        "validation images",
    )
    assert math.isfinite(one.metrics["auroc"].value)

    command = ["evaluate", str(bundle.folder), str(copies), "--no-robustness", "--out"]
    assert main([*command, str(tmp_path / "p")]) == 0
    output = capsys.readouterr()
    assert "serious: 28 of 28 images overlap with the training" in output.err
    page = (tmp_path / "p" / "report.html").read_text(encoding="utf-8")
    assert page.index("Trained on these images") < page.index("Few images")
    assert ">External validation</h2>" not in page
    both = [*command, str(tmp_path / "q")]
    both.insert(3, str(phantoms / "test"))
    assert main(both) == 0
    assert "copies is not external" in capsys.readouterr().out
    page = (tmp_path / "q" / "external.html").read_text(encoding="utf-8")
    assert "The data set copies is not external: 28 of 28 images overlap" in page


def test_arrays_that_do_not_fit_together_are_refused(known, tmp_path):
    path = tmp_path / "t.npz"
    for change in ({"medians": known.medians[:-1]}, {"views": known.views[:, :-1]}):
        path.write_bytes(replace(known, **change).to_bytes())
        with pytest.raises(BundleError, match="cannot be read"):
            TrainingImages.parse(path.read_bytes(), str(path))

"""Without labels, probabilities are corrected for a prevalence unless a test rejects that."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax

from plainfilm.adaptation import AdaptationDocument, adapt
from plainfilm.bundle import BundleMetadata, write_bundle
from plainfilm.cli.main import main
from plainfilm.data.sources.unlabelled import list_unlabelled
from plainfilm.errors import BundleError, DataError, SourceError
from plainfilm.metrics import count_scores, shift_prevalence
from plainfilm.records import Task
from plainfilm.runtime import Predictor

pytest.importorskip("onnx")

# With these means and this deviation the logit of the network is the true one for equal classes.
MIDDLE, MEAN, DEVIATION, GAIN = 128, 18, 24, 2.0
SHIFT = {"label_shift": True, "workers": 0}
THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))


def draw_greys(n, prevalence, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < prevalence
    offsets = np.where(ill, MEAN, -MEAN) + rng.normal(scale=DEVIATION, size=n)
    return ill.astype(int), MIDDLE + scale * offsets


def draw_folder(root, n, prevalence, seed, scale=1.0):
    """Draw one image of each patient, without labels."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number, grey in enumerate(draw_greys(n, prevalence, seed, scale)[1]):
        pixels = np.clip(rng.normal(grey, 8, (16, 16)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{number:04}.png")
    return root


def rewrite(bundle, folder, **changes):
    """Write a bundle with other metadata."""
    values = {one.name: getattr(bundle, one.name) for one in fields(BundleMetadata)} | changes
    graph, weights = bundle.graph.read_bytes(), bundle.weights.read_bytes()
    return write_bundle(folder, BundleMetadata(**values), graph=graph, weights=weights)


@pytest.fixture
def bundle(make_bundle, tmp_path):
    """Return a calibrated bundle that assumes equal classes, with its validation scores."""
    made = make_bundle(gains=(GAIN,))
    classes, greys = draw_greys(500, 0.5, 1)
    scores = count_scores(classes, expit(GAIN * (greys - MIDDLE) / 32), 2)
    origin = replace(made.provenance, assumed_prevalence="balanced")
    changes = {"provenance": origin, "validation_scores": {"bright": scores}}
    return rewrite(made, tmp_path / "calibrated", **changes)


def test_probabilities_are_corrected_for_the_prevalence(bundle, tmp_path):
    folder = draw_folder(tmp_path / "site", 250, 0.1, 2)
    found = adapt(bundle, folder, out=tmp_path / "new", **SHIFT)
    results = found.document.label_shift
    share = results.shares["bright"]
    assert share.assumed == 0.5
    assert share.estimated.low < 0.1 < share.estimated.high
    assert share.estimated.value == pytest.approx(share.mixture, abs=0.08)
    assert results.tests["bright"].p > 0.05
    assert "only these shares differ; the test does not reject that" in found.document.conclusion
    assert found.document == AdaptationDocument.read(tmp_path / "new" / "adaptation.json")
    images = np.random.default_rng(0).integers(60, 200, (50, 16, 16)).astype(np.uint8)
    before, after = (Predictor(one).probabilities(images) for one in (bundle, found.bundle))
    expected = shift_prevalence(before.astype(float), from_=0.5, to=share.estimated.value)
    np.testing.assert_allclose(after, expected, atol=1e-5)
    # Thresholds move with the probabilities: the predicted classes stay the same.
    for old, new in zip(bundle.points, found.bundle.points, strict=True):
        assert new.point.threshold < old.point.threshold
        same = (before >= old.point.threshold) == (after >= new.point.threshold)
        assert same.all()
    origin = found.bundle.provenance
    assert origin.adaptation.method == "label shift"
    assert origin.assumed_prevalence == "adaptation"
    assert origin.training_prevalence == {"bright": pytest.approx(share.estimated.value)}


def test_a_correction_can_be_repeated(bundle, tmp_path):
    folders = [
        draw_folder(tmp_path / name, 200, share, 3) for name, share in (("a", 0.1), ("b", 0.4))
    ]
    first = adapt(bundle, folders[0], out=tmp_path / "1", **SHIFT)
    # Without its list of images: images of noise may be taken for copies.
    corrected = rewrite(first.bundle, tmp_path / "first")
    second, direct = (
        adapt(model, folders[1], out=tmp_path / name, **SHIFT)
        for name, model in (("2", corrected), ("3", bundle))
    )
    one, again, other = (
        found.document.label_shift.shares["bright"] for found in (first, second, direct)
    )
    assert again.assumed == pytest.approx(one.estimated.value)
    assert again.estimated.value == pytest.approx(other.estimated.value, abs=1e-5)
    assert again.estimated.high == pytest.approx(other.estimated.high, abs=1e-5)
    assert second.document.label_shift.tests == {
        label: replace(test, p=pytest.approx(test.p), p_adjusted=pytest.approx(test.p))
        for label, test in direct.document.label_shift.tests.items()
    }
    change = second.bundle.recalibration
    assert change.slopes == (1.0,)
    assert change.intercepts == pytest.approx(direct.bundle.recalibration.intercepts, abs=1e-4)


def test_images_that_differ_otherwise_are_refused(bundle, tmp_path):
    folder = draw_folder(tmp_path / "site", 250, 0.3, 5, scale=2.0)
    with pytest.raises(DataError, match="in more than the share of each class") as error:
        adapt(bundle, folder, out=tmp_path / "new", **SHIFT)
    assert "p = " in str(error.value)
    assert not (tmp_path / "new").exists()


def test_too_few_images_and_a_bundle_without_scores_are_refused(bundle, tmp_path):
    folder = draw_folder(tmp_path / "site", 99, 0.3, 6)
    with pytest.raises(DataError, match="too few images"):
        adapt(bundle, folder, out=tmp_path / "new", **SHIFT)
    bare = rewrite(bundle, tmp_path / "bare", validation_scores={})
    with pytest.raises(BundleError, match="no distribution of validation scores"):
        adapt(bare, folder, out=tmp_path / "new", **SHIFT)


def test_the_command_prints_the_assumption(bundle, tmp_path, capsys):
    folder = draw_folder(tmp_path / "site", 150, 0.2, 7)
    out = tmp_path / "new"
    arguments = ["adapt", str(bundle.folder), str(folder), "--label-shift", "--out", str(out)]
    arguments += ["--workers", "0"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The probabilities are corrected for an estimated prevalence of")
    assert '<h2 id="title-1">Shares of the classes</h2>' in (out / "adaptation.html").read_text()
    assert "the bundle has no list of its training images" in "".join(lines)
    assert any(line.startswith("assumption: Label shift: the images of each") for line in lines)


def test_three_classes_have_no_thresholds(make_bundle, tmp_path):
    made = make_bundle(task=THREE, gains=(1.0, 0.0, -1.0))
    graph = made.graph.read_bytes().replace(b"Sigmoid", b"Softmax")
    values = {one.name: getattr(made, one.name) for one in fields(BundleMetadata)}
    rng = np.random.default_rng(8)

    def draw(n, shares):
        """Draw classes, log odds and chances, which are true for the shares `natural`."""
        odds = rng.uniform(-3, 3, 20 * n)
        chances = softmax(odds[:, None] * [1, 0, -1], axis=1)
        classes = np.array([rng.choice(3, p=row) for row in chances])
        balanced = 1 / np.bincount(classes, minlength=3)[classes]
        weights = balanced * np.array(shares)[classes]
        chosen = rng.choice(len(odds), n, p=weights / weights.sum())
        return classes[chosen], odds[chosen], chances[chosen]

    natural = softmax(np.linspace(-3, 3, 3001)[:, None] * [1, 0, -1], axis=1).mean(axis=0)
    classes, _, chances = draw(600, natural)
    scores = {
        label: count_scores(classes, chances[:, column], 3)
        for column, label in enumerate(THREE.labels)
    }
    values |= {
        "provenance": replace(
            made.provenance,
            assumed_prevalence="training",
            training_prevalence=dict(zip("abc", natural.tolist(), strict=True)),
        ),
        "validation_scores": scores,
    }
    bundle = write_bundle(
        tmp_path / "three", BundleMetadata(**values), graph=graph, weights=b"none"
    )
    (tmp_path / "site").mkdir()
    for number, one in enumerate(draw(300, [0.7, 0.2, 0.1])[1]):
        pixels = np.clip(rng.normal(128 + 32 * one, 8, (16, 16)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "site" / f"{number:04}.png")
    found = adapt(bundle, tmp_path / "site", out=tmp_path / "new", **SHIFT)
    shares = found.document.label_shift.shares
    assert sum(share.estimated.value for share in shares.values()) == pytest.approx(1)
    for (_, share), true in zip(shares.items(), (0.7, 0.2, 0.1), strict=True):
        assert share.estimated.low < true < share.estimated.high
    assert found.bundle.points == ()
    assert sum(found.bundle.recalibration.intercepts) == pytest.approx(0, abs=1e-9)


def test_images_without_labels_are_listed_with_their_patients(tmp_path):
    draw_folder(tmp_path / "site", 6, 0.5, 9)
    task = Task("binary", ("bright",), ("dark", "bright"))
    found = list_unlabelled(tmp_path / "site", task, patient=r"^(\d{3})")
    assert len(found) == 6
    assert len(set(found.patients)) == 1
    assert np.isnan(found.label_array()).all()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(SourceError):
            list_unlabelled(folder, task)

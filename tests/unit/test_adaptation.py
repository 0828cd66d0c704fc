"""An adaptation restores calibration on other patients, or says why it cannot."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax

from plainfilm.adaptation import AdaptationDocument, adapt
from plainfilm.adaptation.document import Change, SampleSummary
from plainfilm.adaptation.judge import conclude
from plainfilm.bundle import read_bundle
from plainfilm.cli.main import main
from plainfilm.data import Manifest, fill_cache, load_dataset
from plainfilm.errors import ConfigError, DataError, SourceError, UsageError
from plainfilm.evaluation import evaluate
from plainfilm.metrics import Interval, apply_recalibration
from plainfilm.records import PixelSpec, Record, Task
from plainfilm.runtime import Predictor
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.training_images import SplitImages

pytest.importorskip("onnx")

GAIN, SLOPE, INTERCEPT = 2.0, 0.5, -1.8
FAST = {"n_bootstrap": 200, "workers": 0}


def draw_site(root: Path, patients: int, seed: int, slope=SLOPE, intercept=INTERCEPT):
    """Draw two images of each patient; the class depends on the mean grey value as given."""
    rng = np.random.default_rng(seed)
    for number in range(patients):
        grey = rng.uniform(64, 192)
        for image in range(2):
            noise = rng.normal(grey + rng.normal(scale=6), 20, (16, 16))
            pixels = np.clip(noise, 0, 255).astype(np.uint8)
            odds = GAIN * (pixels.mean() - 128) / 32
            name = "bright" if rng.random() < expit(slope * odds + intercept) else "dark"
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name / f"p{seed}{number:04}_{image}.png")
    return load_dataset(root, patient=r"p(\d+)_")


def known_images(manifest, spec):
    return collect_known_images(SplitImages(manifest, fill_cache(manifest, spec)))


@pytest.fixture
def bundle(make_bundle, tmp_path):
    """Return a bundle that was trained on 20 images, too few to recognise altered copies."""
    own = draw_site(tmp_path / "training", 10, 0)
    return make_bundle(gains=(GAIN,), training_images=known_images(own, PixelSpec(16)))


@pytest.fixture
def site(tmp_path):
    return draw_site(tmp_path / "site", 150, 1)


def test_calibration_is_restored_on_held_out_patients(bundle, site, tmp_path):
    found = adapt(bundle, site, out=tmp_path / "new", **FAST)
    document = found.document
    assert document == AdaptationDocument.read(tmp_path / "new" / "adaptation.json")
    assert document.conclusion.startswith("The adaptation improves the probabilities: on ")
    own = document.labels["bright"]
    assert own.slope.low < SLOPE < own.slope.high
    assert own.intercept.low < INTERCEPT < own.intercept.high
    assert own.calibration.slope_before.high < 1 < own.calibration.slope_after.high
    before, after = own.calibration.in_the_large_before, own.calibration.in_the_large_after
    assert abs(after.value) < abs(before.value)
    assert document.brier.difference.high < 0
    assert document.brier.difference.value == own.brier.difference.value
    assert own.log_loss.difference.high < 0
    # Parts are divided by patient and stratified.
    used, rest = document.adaptation, document.held_out
    assert used.images + rest.images == 300
    assert used.patients + rest.patients == 150
    assert used.positives["bright"] == pytest.approx(rest.positives["bright"], abs=4)
    assert {point.name for point in own.points} == {"balanced", "rule-out", "rule-in"}
    assert all(point.sensitivity.low < point.sensitivity.high for point in own.points)
    assert all(size.images > used.images for size in own.plan)


def test_the_new_bundle_predicts_recalibrated_probabilities_everywhere(bundle, site, tmp_path):
    found = adapt(bundle, site, out=tmp_path / "new", **FAST)
    new, change = read_bundle(tmp_path / "new"), found.bundle.recalibration
    assert new.id == found.bundle.id == found.document.bundle != bundle.id
    images = np.random.default_rng(0).integers(40, 210, (64, 16, 16)).astype(np.uint8)
    odds = apply_recalibration(Predictor(bundle).logits(images), change)
    probabilities = Predictor(new).probabilities(images)
    np.testing.assert_allclose(probabilities, expit(odds), atol=1e-5)
    fit = found.document.labels["bright"]
    assert change.slopes == pytest.approx([fit.slope.value], rel=1e-4)
    points = {locked.point.name: locked.point.threshold for locked in new.points}
    assert points == {point.name: point.threshold for point in fit.points}
    assert new.indeterminate["bright"].low <= points["balanced"] < new.indeterminate["bright"].high


def test_provenance_names_the_parent_and_the_images_are_recognised(bundle, site, tmp_path):
    found = adapt(bundle, site, out=tmp_path / "new", **FAST)
    origin = found.bundle.provenance
    assert origin.adaptation.parent == bundle.id
    assert origin.adaptation.images == found.document.adaptation.images
    assert origin.assumed_prevalence == "adaptation"
    assert 0.2 < origin.training_prevalence["bright"] < 0.5
    card = (found.bundle.folder / "MODEL_CARD.md").read_text()
    assert f"bundle {bundle.id[:12]}" in card
    assert "the prevalence of the images that the model was adapted to" in card
    again = evaluate(found.bundle, site, out=tmp_path / "e", robustness=False, n_bootstrap=20)
    overlap = again.document.overlap
    assert overlap.same_patient == overlap.images == found.document.adaptation.images
    assert overlap.identical == overlap.images
    # Adapting again leaves these images out, and composes the two recalibrations.
    twice = adapt(found.bundle, site, out=tmp_path / "twice", share=0.7, **FAST)
    assert twice.document.left_out.overlapping == overlap.images
    one, both = found.bundle.recalibration, twice.bundle.recalibration
    last = twice.document.labels["bright"].slope.value
    assert both.slopes[0] == pytest.approx(one.slopes[0] * last, rel=1e-4)


def test_a_calibrated_model_is_not_shown_to_improve(bundle, tmp_path):
    site = draw_site(tmp_path / "same", 150, 2, slope=1.0, intercept=0.0)
    document = adapt(bundle, site, out=tmp_path / "new", **FAST).document
    assert document.conclusion.startswith("The adaptation is not shown to help: on ")
    assert "which includes 0" in document.conclusion


@pytest.mark.parametrize(
    ("slope", "problem", "remedy"),
    [
        (0.0, "which includes 0.5", "train a model on images of this site"),
        (-2.0, "worse than chance here", "check whether labels are swapped"),
    ],
)
def test_a_model_at_chance_is_refused(bundle, tmp_path, slope, problem, remedy):
    site = draw_site(tmp_path / "site", 80, 3, slope=slope, intercept=0.0)
    with pytest.raises(DataError, match="cannot be adapted") as error:
        adapt(bundle, site, out=tmp_path / "new", **FAST)
    assert problem in str(error.value)
    assert remedy in str(error.value)
    assert not (tmp_path / "new").exists()


def test_too_few_images_of_a_class_are_refused(bundle, tmp_path):
    site = draw_site(tmp_path / "site", 24, 4)
    with pytest.raises(DataError, match="cannot be adapted") as error:
        adapt(bundle, site, out=tmp_path / "new", **FAST)
    assert "at least 20 of 10 are required" in str(error.value)


def test_an_official_test_set_is_only_held_out(bundle, tmp_path):
    draw_site(tmp_path / "site" / "train", 100, 5)
    test = draw_site(tmp_path / "site" / "test", 40, 6)
    data = load_dataset(tmp_path / "site", patient=r"p(\d+)_")
    document = adapt(bundle, data, out=tmp_path / "new", **FAST).document
    assert (document.adaptation.images, document.held_out.images) == (200, 80)
    only = replace(data, records=tuple(one for one in data.records if one.official == "test"))
    assert len(only) == len(test)
    with pytest.raises(UsageError, match="not adapted to an official test set"):
        adapt(bundle, only, out=tmp_path / "other", **FAST)


def test_training_images_are_left_out(bundle, make_bundle, site, tmp_path):
    known = known_images(site, bundle.pixels)
    trained = make_bundle(tmp_path / "trained", gains=(GAIN,), training_images=known)
    with pytest.raises(SourceError, match="no image that the model can be adapted to") as error:
        adapt(trained, site, out=tmp_path / "new", **FAST)
    assert "300 of training or validation" in str(error.value)


def test_another_adaptation_is_not_overwritten(bundle, make_bundle, site, tmp_path):
    out = tmp_path / "new"
    first = adapt(bundle, site, out=out, **FAST)
    assert first.document.requested_hash == site.hash
    assert adapt(bundle, site, out=out, seed=1, **FAST).bundle.id != first.bundle.id
    before = (out / "adaptation.json").read_bytes()
    fewer = replace(site, records=site.records[2:])
    with pytest.raises(UsageError, match="holds another adaptation") as error:
        adapt(bundle, fewer, out=out, **FAST)
    assert "to other images, labels or patients (the data set site)" in str(error.value)
    other = make_bundle(tmp_path / "other", gains=(1.5,))
    with pytest.raises(UsageError, match="holds another adaptation") as error:
        adapt(other, site, out=out, **FAST)
    assert "of another model" in str(error.value)
    assert (out / "adaptation.json").read_bytes() == before
    (out / "adaptation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="holds another adaptation"):
        adapt(bundle, site, out=out, **FAST)


@pytest.mark.parametrize(
    ("kept", "problem"), [(1, "too few patients"), (12, "cannot be adapted to these images")]
)
def test_too_few_images_after_the_overlap_say_how_many_were_left_out(
    bundle, make_bundle, site, tmp_path, kept, problem
):
    patients = sorted(set(site.patients))[kept:]
    seen = replace(site, records=tuple(one for one in site.records if one.patient in patients))
    known = known_images(seen, bundle.pixels)
    trained = make_bundle(tmp_path / "trained", gains=(GAIN,), training_images=known)
    with pytest.raises(DataError, match=problem) as error:
        adapt(trained, site, out=tmp_path / "new", **FAST)
    assert f"{len(seen)} images were left out, because the model was trained" in str(error.value)


def test_every_share_is_checked_and_the_division_is_reproducible(bundle, site, tmp_path):
    with pytest.raises(ConfigError, match="share="):
        adapt(bundle, site, out=tmp_path / "new", share=1.0, **FAST)
    one, other = (adapt(bundle, site, out=tmp_path / name, **FAST).bundle for name in "ab")
    assert one.recalibration == other.recalibration
    assert one.points == other.points
    assert not math.isnan(one.points[0].point.threshold)


def test_the_command_prints_the_conclusion_first(bundle, site, tmp_path, capsys):
    assert site.name == "site"
    arguments = ["adapt", str(bundle.folder), str(tmp_path / "site"), "--patient", r"p(\d+)_"]
    assert main([*arguments, "--positive", "bright", "--out", str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The adaptation improves the probabilities: on 150 held-out images")
    assert (
        lines[1]
        == "site: adapted on 150 images of 75 patients; held out: 150 images of 75 patients"
    )
    assert any(line.startswith("calibration slope ") for line in lines)
    assert any(line.startswith("adaptation images for narrower intervals: ") for line in lines)
    document = AdaptationDocument.read(tmp_path / "new" / "adaptation.json")
    assert lines[0] == document.conclusion
    page = (tmp_path / "new" / "adaptation.html").read_text()
    assert f'<p class="lead">{document.conclusion}</p>' in page
    assert (tmp_path / "new" / "tables" / "adaptation_points.csv").is_file()


def manifest_of(root: Path, task: Task, label, patients: int, seed: int) -> Manifest:
    """Draw two images of each patient with the labels that ``label(odds, rng)`` draws."""
    rng = np.random.default_rng(seed)
    root.mkdir()
    records = []
    for number in range(2 * patients):
        if number % 2 == 0:
            grey = rng.uniform(64, 192)
        pixels = np.clip(rng.normal(grey, 20, (16, 16)), 0, 255).astype(np.uint8)
        path = root / f"{number:04}.png"
        Image.fromarray(pixels).save(path)
        labels = tuple(map(float, label(GAIN * (pixels.mean() - 128) / 32, rng)))
        records.append(
            Record(id=path.name, path=str(path), labels=labels, patient=f"p{number // 2:016x}")
        )
    return Manifest("site", task, tuple(records))


def test_a_label_with_few_images_stays_unchanged(make_bundle, tmp_path):
    task = Task("multilabel", ("a", "b", "c"), ("a", "b", "c"))
    bundle = make_bundle(task=task, gains=(GAIN, -GAIN, GAIN))

    def label(odds, rng):
        a, b = rng.random(2) < expit([0.5 * odds - 1, -odds])
        return a, np.nan if rng.random() < 0.1 else b, rng.random() < 0.05

    site = manifest_of(tmp_path / "images", task, label, 120, 1)
    found = adapt(bundle, site, out=tmp_path / "new", **FAST)
    results = found.document.labels
    assert [results[name].changed for name in "abc"] == [True, True, False]
    assert "at least 20 of 10 are required" in results["c"].reason
    assert results["a"].slope.low < 0.5 < results["a"].slope.high
    assert results["b"].slope.low < 1 < results["b"].slope.high
    change = found.bundle.recalibration
    assert (change.slopes[2], change.intercepts[2]) == (1.0, 0.0)
    points = {
        name: [one for one in found.bundle.points if one.point.label == name] for name in "abc"
    }
    assert points["c"] == [one for one in bundle.points if one.point.label == "c"]
    assert all(old not in points["a"] for old in bundle.points)
    assert results["c"].brier.difference.value == 0
    assert found.document.brier.difference.value < 0
    assert found.bundle.provenance.adaptation.labels == ("a", "b")
    assert "not changed: c" in found.bundle.provenance.locked_on


def test_several_classes_share_a_slope(make_bundle, tmp_path):
    task = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
    made = make_bundle(task=task, gains=(GAIN, 0.0, -GAIN))
    graph = made.graph.read_bytes().replace(b"Sigmoid", b"Softmax")
    bundle = make_bundle(tmp_path / "three", task=task, graph=graph)

    def label(odds, rng):
        chances = softmax(0.5 * odds * np.array([1, 0, -1]) + [1.5, 1, 0])
        return np.eye(3)[rng.choice(3, p=chances)]

    site = manifest_of(tmp_path / "images", task, label, 150, 2)
    found = adapt(bundle, site, out=tmp_path / "new", **FAST)
    results = found.document.labels
    assert len({results[name].slope for name in "abc"}) == 1
    assert results["a"].slope.low < 0.5 < results["a"].slope.high
    assert results["c"].intercept.low < -2.5 / 3 < results["c"].intercept.high
    assert sum(found.bundle.recalibration.intercepts) == pytest.approx(0, abs=1e-9)
    assert found.document.conclusion.startswith("The adaptation improves the probabilities")
    total = [results[name].brier.difference.value for name in "abc"]
    assert found.document.brier.difference.value == pytest.approx(np.mean(total))


@pytest.mark.parametrize(
    ("limits", "start", "end"),
    [
        ((-0.03, -0.01), "The adaptation improves the probabilities: ", "-0.0300 to -0.0100)."),
        ((-0.03, 0.0), "The adaptation is not shown to help: ", "which includes 0."),
        ((-0.03, 0.01), "The adaptation is not shown to help: ", "which includes 0."),
        ((0.01, 0.03), "The adaptation makes the probabilities worse: ", "+0.0100 to +0.0300)."),
        ((math.nan, math.nan), "It is not known whether the adaptation helps: ", "no interval."),
    ],
)
def test_the_conclusion_follows_from_the_interval(limits, start, end):
    middle = sum(limits) / 2
    change = Change(*(Interval(middle, *limits, "") for _ in range(3)))
    sentence = conclude(change, SampleSummary(1, 1, {}))
    assert sentence.startswith(f"{start}on 1 held-out image of 1 patient, ")
    assert sentence.endswith(end)
    assert (f"changes by {middle:+.4f}" in sentence) == math.isfinite(middle)

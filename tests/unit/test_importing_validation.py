"""Thresholds of an imported network are locked on validation images, and then it is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize_scalar
from scipy.special import expit

from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import BundleError, LabelError, SourceError, UsageError
from plainfilm.evaluation import evaluate
from plainfilm.explain import heatmap
from plainfilm.importing import ImageOptions, import_model
from plainfilm.runtime import Predictor

pytest.importorskip("onnx")

from onnx_networks import Maker, brightness, channels_last

UNIT = ImageOptions(value_range=(0, 1))
NAMES: dict[str, Any] = {"labels": ["BRIGHT"], "negative": "DARK", "images": UNIT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw noise around a mean grey value that is higher for BRIGHT, by split and class."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(5)
    for split, count in (("val", 40), ("test", 30)):
        for name, mean in (("DARK", 118), ("BRIGHT", 138)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                level = mean + rng.normal(0, 12)
                pixels = np.clip(level + rng.uniform(-60, 60, (32, 32)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{split}{number}_{name}.png")
    return root


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return load_dataset(folder)


@pytest.fixture(scope="module")
def bundle(folder: Path, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = brightness(tmp_path_factory.mktemp("net") / "net.onnx")
    out = path.parent / "bundle"
    return import_model(path, out=out, validation=manifest, output_kind="logits", **NAMES)


def logits_of(folder: Path, split: str) -> tuple[Any, Any]:
    """Return the logits and labels of the images of a split, computed from their means."""
    found = [
        (20 * (np.asarray(Image.open(path)).mean() / 255 - 0.5), path.parent.name == "BRIGHT")
        for path in sorted((folder / split).rglob("*.png"))
    ]
    logits, labels = zip(*found, strict=True)
    return np.array(logits), np.array(labels)


def test_the_temperature_has_the_best_fit(folder: Path, bundle: Bundle) -> None:
    logits, labels = logits_of(folder, "val")

    def loss(value: float) -> float:
        probability = expit(logits / value)
        return float(-np.log(np.where(labels, probability, 1 - probability)).mean())

    best = minimize_scalar(loss, bounds=(0.25, 10), method="bounded", options={"xatol": 1e-8})
    assert bundle.temperature == pytest.approx(best.x, rel=1e-3)
    pixels = np.stack([np.asarray(Image.open(p)) for p in sorted((folder / "test").rglob("*.png"))])
    expected = expit(logits_of(folder, "test")[0] / best.x)
    found = Predictor(bundle).probabilities(pixels)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_points_reach_their_targets_on_validation(folder: Path, bundle: Bundle) -> None:
    logits, labels = logits_of(folder, "val")
    probability = expit(logits / bundle.temperature)
    cut = {point.name: point.threshold for point in bundle.operating_points}
    assert np.mean(probability[labels] >= cut["rule-out"]) >= 0.95
    assert np.mean(probability[~labels] < cut["rule-in"]) >= 0.95
    assert cut["rule-out"] <= cut["balanced"] <= cut["rule-in"]
    evidence = bundle.points[0].validation
    assert (evidence.positives, evidence.negatives, evidence.copies) == (40, 40, 1)
    assert bundle.provenance.validation_images == 80
    assert "80 images" in str(bundle.provenance.locked_on)
    assert "without disturbed copies" in str(bundle.provenance.locked_on)


def test_test_images_are_never_used(tmp_path: Path, folder: Path, manifest: Manifest) -> None:
    path = brightness(tmp_path / "net.onnx")
    only = replace(manifest, records=tuple(r for r in manifest.records if r.official == "test"))
    with pytest.raises(SourceError, match="no images to lock thresholds on"):
        import_model(path, out=tmp_path / "b", validation=only, output_kind="logits", **NAMES)
    other = {**NAMES, "labels": ["ILL"], "negative": "WELL"}
    with pytest.raises(LabelError, match="not those of the bundle"):
        import_model(path, out=tmp_path / "b", validation=folder, output_kind="logits", **other)
    assert not (tmp_path / "b").exists()


def test_a_given_threshold_is_kept_besides_those_of_validation(
    tmp_path: Path, manifest: Manifest
) -> None:
    bundle = import_model(
        brightness(tmp_path / "net.onnx"),
        out=tmp_path / "b",
        validation=manifest,
        thresholds=0.7,
        output_kind="logits",
        **NAMES,
    )
    points = {point.name: point.threshold for point in bundle.operating_points}
    assert set(points) == {"balanced", "rule-out", "rule-in", "given"}
    assert points["given"] == 0.7


def test_values_that_are_not_probabilities_lock_nothing(tmp_path: Path, manifest: Manifest) -> None:
    made = Maker()
    value = made.add("Flatten", made.add("GlobalAveragePool", "pixels"))
    path = made.save(tmp_path / "net.onnx", ["n", 1, 32, 32], value, 1)
    images = ImageOptions(value_range=(0, 1.9))  # bright images have a mean above 1
    more = {**NAMES, "images": images, "output_kind": "probabilities"}
    with pytest.raises(BundleError, match="not finite, or not probabilities"):
        import_model(path, out=tmp_path / "b", validation=manifest, **more)


def test_the_bundle_is_evaluated_and_its_validation_images_are_recognised(
    tmp_path: Path, folder: Path, bundle: Bundle, manifest: Manifest
) -> None:
    more = {"robustness": False, "workers": 0, "n_bootstrap": 50}
    tested = evaluate(bundle, manifest, out=tmp_path / "all", **more)
    overlap = tested.document.overlap
    assert overlap is not None
    assert overlap.images == 80
    only = replace(manifest, records=tuple(r for r in manifest.records if r.official == "test"))
    tested = evaluate(bundle, only, out=tmp_path / "test", **more)
    logits, labels = logits_of(folder, "test")
    bright, dark = logits[labels], logits[~labels]
    area = (bright[:, None] > dark).mean() + (bright[:, None] == dark).mean() / 2
    assert tested.document.metrics["auroc"].value == pytest.approx(area, abs=1e-6)
    cut = bundle.operating_points[0].threshold
    rate = np.mean(expit(bright / bundle.temperature) >= cut)
    assert tested.document.metrics["sensitivity"].value == pytest.approx(rate)


def test_a_heat_map_is_made_by_occlusion(bundle: Bundle, manifest: Manifest) -> None:
    predictor = Predictor(bundle)
    pixels = predictor.read(manifest.records[0].path).pixels
    heat = heatmap(predictor, pixels, "BRIGHT")
    assert heat.shape == (32, 32)
    assert np.isfinite(heat).all()


def test_a_multi_class_network_is_evaluated(tmp_path: Path, folder: Path) -> None:
    """Its classes are matched by name; a data set may have two of three."""
    bundle = import_model(
        channels_last(tmp_path / "net.onnx"),
        out=tmp_path / "b",
        labels=["DARK", "OTHER", "BRIGHT"],
        preset="keras-tf",
    )
    assert not bundle.points
    tested = evaluate(
        bundle, folder, out=tmp_path / "e", robustness=False, workers=0, n_bootstrap=20
    )
    assert tested.document.n == 60
    assert 0 <= tested.document.metrics["accuracy"].value <= 1


def test_the_command_locks_and_evaluates(
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plainfilm.report.write_report", lambda found, **_: found.folder / "r.html")
    path, out = brightness(tmp_path / "net.onnx", end="Sigmoid"), str(tmp_path / "bundle")
    words = ["--labels", "BRIGHT", "--negative", "DARK", "--range", "0,1"]
    more = ["--validation", str(folder), "--workers", "0", "--out", out]
    assert main(["import", str(path), *words, *more]) == 0
    assert "locked on 80 images of" in capsys.readouterr().out
    where = ["--out", str(tmp_path / "tested"), "--no-robustness", "--workers", "0"]
    assert main(["evaluate", out, str(folder), *where]) == 0
    assert "sensitivity" in capsys.readouterr().out


def test_an_evaluation_stops_at_values_that_are_not_probabilities(
    tmp_path: Path, folder: Path
) -> None:
    made = Maker()
    value = made.add("Flatten", made.add("GlobalAveragePool", "pixels"))
    path = made.save(tmp_path / "net.onnx", ["n", 1, 32, 32], value, 1)
    more = {**NAMES, "images": ImageOptions(value_range=(0, 1.9))}
    bundle = import_model(path, out=tmp_path / "b", output_kind="probabilities", **more)
    with pytest.raises(BundleError, match=r"cannot be evaluated on .* not probabilities"):
        evaluate(bundle, folder, out=tmp_path / "e", robustness=False, workers=0)


def test_a_report_says_what_is_not_known_of_an_imported_network(
    tmp_path: Path, folder: Path, bundle: Bundle
) -> None:
    from plainfilm.report.content import ReportContent, is_locked
    from plainfilm.report.sections.caveats import write_caveats

    path = brightness(tmp_path / "net.onnx", end="Sigmoid")
    given = import_model(path, out=tmp_path / "given", thresholds=0.5, **NAMES)
    plain = import_model(path, out=tmp_path / "plain", **NAMES)
    more = {"robustness": False, "workers": 0, "n_bootstrap": 20}
    titles, models = {}, {}
    for name, own in (("locked", bundle), ("given", given), ("plain", plain)):
        found = evaluate(own, folder, out=tmp_path / f"e-{name}", **more)
        models[name] = found.document.model
        titles[name] = {
            one.title for one in write_caveats(ReportContent(evaluation=found.document))
        }
        assert "Imported model" in titles[name]
        assert "net.onnx, SHA-256 " in str(models[name].imported_from)
    with pytest.raises(UsageError, match="prevalence of BRIGHT") as caught:
        evaluate(bundle, folder, out=tmp_path / "p", prevalence=0.1, **more)
    assert "imported network" in str(caught.value.remedy)
    assert "Thresholds not locked on validation" in titles["given"]
    assert "Thresholds not locked on validation" not in titles["locked"] | titles["plain"]
    assert [is_locked(model) for model in models.values()] == [True, False, False]
    assert [model.temperature is None for model in models.values()] == [False, True, True]

"""Probes: trained without a framework, sealed with their encoder, and used as any other model."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.linear_model import LogisticRegression

import onnx_networks
from plainfilm.config import Recipe, load_recipe
from plainfilm.data import Manifest, fill_cache
from plainfilm.data.housekeeping import list_cache
from plainfilm.encoders.encoder import encode
from plainfilm.encoders.onnx_file import read_encoder
from plainfilm.encoders.options import ProbeOptions
from plainfilm.errors import BundleError, ConfigError, RunError
from plainfilm.evaluation import evaluate
from plainfilm.records import Task
from plainfilm.report import write_report
from plainfilm.runtime import Predictor
from plainfilm.training import Run, load_network, train, train_seeds
from plainfilm.training.ensemble import seal_ensemble

pytestmark = pytest.mark.slow

TrainProbe = Callable[..., Run]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_networks.encoder(tmp_path_factory.mktemp("encoder") / "small.onnx")


@pytest.fixture(scope="module")
def settings(encoder: Path) -> list[str]:
    return [
        f"network.encoder='{encoder}'",
        "network.options={value_range=[0, 1], penalty=1.0, trained_on=['CheXpert']}",
        "input.size=32",
        "epochs=2",
    ]


@pytest.fixture(scope="module")
def train_probe(manifest: Manifest, settings: list[str]) -> TrainProbe:
    def run(out: Path, *more: str, data: Manifest = manifest, **options: Any) -> Run:
        given = [*settings, *more]
        return train(data, out=out, recipe="probe", settings=given, workers=0, **options)

    return run


@pytest.fixture(scope="module")
def probe(train_probe: TrainProbe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_probe(tmp_path_factory.mktemp("probe") / "run")


def pixels_of(run: Run, split: Any) -> np.ndarray:
    return fill_cache(run.manifest.select(split), run.bundle.pixels, workers=0).all()


def test_a_probe_predicts_as_scikit_learn_on_the_same_features(
    train_probe: TrainProbe, encoder: Path, tmp_path: Path
) -> None:
    run = train_probe(tmp_path / "run", "epochs=1")
    options = ProbeOptions(value_range=(0, 1))
    session = read_encoder(encoder, run.bundle.pixels, options).open()
    training = run.manifest.select("train")
    features, test = (encode(session, pixels_of(run, split)) for split in ("train", "test"))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = deviation + 1e-3 * deviation.mean()
    y = training.label_array()[:, 0]
    model = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-8, max_iter=10_000)
    model.fit((features - mean) / deviation, y)
    expected = model.decision_function((test - mean) / deviation)
    found = Predictor(run.bundle).logits(pixels_of(run, "test"))[:, 0]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_bundle_says_what_it_was_made_from(probe: Run, encoder: Path) -> None:
    origin = probe.bundle.provenance
    assert (origin.backend, origin.precision) == ("onnxruntime", "float32")
    assert origin.pretrained is not None
    assert origin.pretrained.name == encoder.name
    assert origin.pretrained.trained_on == ("CheXpert",)
    assert origin.recipe is not None
    assert origin.recipe.network.encoder == encoder.name
    assert origin.pretrained.sha256 == hashlib.sha256(encoder.read_bytes()).hexdigest()
    for file in probe.folder.rglob("*.json"):
        assert str(encoder) not in file.read_text(encoding="utf-8")
    graph = onnx.load_model_from_string(probe.bundle.read_graph())
    assert {one.name for one in graph.graph.output} == {"probabilities", "logits", "novelty"}
    assert probe.history == []
    with pytest.raises(BundleError, match="a probe has no Keras network"):
        load_network(probe.bundle)


def test_a_second_call_repeats_nothing_and_another_encoder_is_another_run(
    train_probe: TrainProbe, probe: Run, tmp_path: Path
) -> None:
    assert train_probe(probe.folder).bundle.id == probe.bundle.id
    other = onnx_networks.encoder(tmp_path / "other.onnx", opset=16)
    with pytest.raises(RunError, match="holds another run"):
        train_probe(probe.folder, f"network.encoder='{other}'")


def test_interrupted_and_continued_it_is_the_same_and_finds_its_features(
    train_probe: TrainProbe, probe: Run, tmp_path: Path
) -> None:
    reached = []

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        reached.append(stage)
        if stage == "encoding images" and done > 150:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        train_probe(tmp_path / "run", cache=cache, progress=stop)
    [before] = [one for one in list_cache(cache) if one.folder.name == "features"]
    assert before.bytes > 0 and "fitting" not in reached
    run = train_probe(tmp_path / "run", cache=cache)
    for name in ("network.onnx", "weights.safetensors"):
        ours, theirs = (one.bundle.folder / name for one in (run, probe))
        assert ours.read_bytes() == theirs.read_bytes()


def test_evaluation_report_and_other_seeds(
    probe: Run, manifest: Manifest, settings: list[str], tmp_path: Path
) -> None:
    evaluation = evaluate(probe.folder, out=tmp_path / "evaluation", robustness=False)
    page = write_report(evaluation, model=probe.folder, run=probe).read_text(encoding="utf-8")
    assert "There are no curves of the training" in page
    assert "recipe · network · encoder" in page
    assert "recipe · network · weights" not in page
    seeds = train_seeds(
        manifest, out=tmp_path / "seeds", seeds=2, recipe="probe", settings=settings, workers=0
    )
    assert seeds[0].bundle.read_graph() == probe.bundle.read_graph()
    assert seeds[0].bundle.read_graph() != seeds[1].bundle.read_graph()
    together = seal_ensemble(seeds, tmp_path / "ensemble", workers=0)
    images = pixels_of(together, "test")
    expected = np.mean([Predictor(one.bundle).logits(images) for one in seeds], axis=0)
    np.testing.assert_allclose(Predictor(together.bundle).logits(images), expected, atol=1e-4)
    graph = onnx.load_model_from_string(together.bundle.read_graph()).graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 2  # the encoder is there once


def test_mirror_images_predict_alike(train_probe: TrainProbe, tmp_path: Path) -> None:
    run = train_probe(tmp_path / "run", "network.mirror=true")
    images = pixels_of(run, "test")[:9]
    predictor = Predictor(run.bundle)
    turned = predictor.probabilities(images[:, :, ::-1].copy())
    np.testing.assert_allclose(predictor.probabilities(images), turned, atol=1e-5)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_other_tasks(
    train_probe: TrainProbe, manifest: Manifest, tmp_path: Path, kind: Any
) -> None:
    names = ("a", "b", "c")
    rng = np.random.default_rng(0)

    def labels(ill: float) -> tuple[float, ...]:
        if kind == "multiclass":
            return (
                (0.0, 0.0, 1.0)
                if ill
                else (1.0, 0.0, 0.0)
                if rng.random() < 0.5
                else (0.0, 1.0, 0.0)
            )
        return (ill, 1 - ill, float("nan") if rng.random() < 0.3 else ill)

    records = tuple(replace(one, labels=labels(one.labels[0])) for one in manifest.records)
    data = replace(manifest, task=Task(kind, names, names), records=records)
    run = train_probe(tmp_path / "run", data=data)
    found = Predictor(run.bundle).probabilities(pixels_of(run, "test"))
    assert found.shape[1] == 3
    truth = run.manifest.select("test").label_array()[:, -1]
    assert found[truth == 1, 2].mean() > found[truth == 0, 2].mean()


def test_settings_that_a_probe_does_not_have_are_refused(
    train_probe: TrainProbe, manifest: Manifest, settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match="no backend"):
        train_probe(out, backend="tensorflow")
    with pytest.raises(ConfigError, match="settings that a probe does not have") as caught:
        train_probe(out, "learning_rate=0.1", "augment.crop_from=40")
    assert caught.value.received == "fit.learning_rate, augment.crop_from"
    with pytest.raises(ConfigError, match="neither a built-in one nor an ONNX file"):
        train_probe(out, f"network.encoder='{tmp_path / 'missing.onnx'}'")
    for encoder, problem in {
        str(tmp_path): "is a folder",
        "efficientnet-lite9": "there is no encoder .* did you mean 'efficientnet-lite",
        "keras:DenseNet121": "Keras Applications cannot be the encoder",
    }.items():
        with pytest.raises(ConfigError, match=problem):
            train(manifest, out=out, recipe="probe", settings=[f"network.encoder={encoder}"])
    with pytest.raises(ConfigError, match="a probe cannot have a teacher"):
        train_probe(out, "distil.teacher=none")
    with pytest.raises(ConfigError, match="needed for a probe and only for it"):
        load_recipe("swift", ["network.encoder=efficientnet-lite0"])
    with pytest.raises(ConfigError, match="differ only in its augmented copies"):
        train_seeds(
            manifest, out=out, seeds=2, recipe="probe", settings=[*settings, "epochs=1"], workers=0
        )
    assert not out.exists()


def test_a_loss_that_cannot_describe_the_task_is_refused(
    train_probe: TrainProbe, manifest: Manifest, tmp_path: Path
) -> None:
    records = tuple(
        replace(one, labels=(one.labels[0], 1 - one.labels[0])) for one in manifest.records
    )
    for kind, loss in (("multiclass", "sigmoid"), ("multilabel", "softmax")):
        task = Task(kind, ("a", "b"), ("a", "b"))  # type: ignore[arg-type]
        data = replace(manifest, task=task, records=records)
        with pytest.raises(ConfigError, match=r"exclude each other, so fit\.loss must be auto or"):
            train_probe(tmp_path / "run", f"loss={loss}", data=data)
    assert not (tmp_path / "run").exists()


def test_features_that_are_not_finite_are_an_error(train_probe: TrainProbe, tmp_path: Path) -> None:
    overflow = onnx_networks.encoder(tmp_path / "e.onnx", dead=3e38)
    with pytest.raises(BundleError, match="not finite"):
        train_probe(tmp_path / "run", f"network.encoder='{overflow}'")


def test_training_needs_no_framework(
    phantoms: Path, settings: list[str], tmp_path: Path, own_cache: Path
) -> None:
    code = f"""
import sys
import plainfilm
run = plainfilm.train({str(phantoms)!r}, out={str(tmp_path / "run")!r}, recipe="probe",
                      settings={settings!r}, workers=0)
plainfilm.evaluate(run.folder, robustness=False)
assert not {{"keras", "tensorflow", "jax", "torch"}} & {{*sys.modules}}
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text(encoding="utf-8"))
    assert plan["identity"]["backend"] == "onnxruntime"


def test_the_recipe_probe_has_only_settings_of_a_probe() -> None:
    recipe: Recipe = load_recipe("probe")
    assert recipe.network.encoder == "efficientnet-lite0"
    assert not recipe.network.options  # those of another encoder can be set alone
    assert recipe.augment.name == "robust"

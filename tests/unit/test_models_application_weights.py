"""Weights of networks of Keras Applications: from a file, downloaded, and what is refused."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from plainfilm.config import NetworkConfig
from plainfilm.errors import ConfigError
from plainfilm.models import build_network
from plainfilm.models.application_weights import assign_encoder, encoder_weights
from plainfilm.training.initial_weights import initial_weights

SMALL = "MobileNet"


def original(name: str) -> Any:
    """Return a network of Keras whose weights are all different."""
    network = getattr(keras.applications, name)(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for variable in network.weights:
        if variable.dtype == "float32":
            variable.assign(rng.uniform(0.1, 1, tuple(variable.shape)))
    return network


def without_digits(variable: Any) -> str:
    return "".join(letter for letter in variable.path if not letter.isdigit())


def assert_assigned(network: Any, source: Any) -> None:
    """Assert that the encoder has the weights of the source, except those that scale images."""
    found = network.get_layer("encoder").weights
    expected = [one for one in source.weights if not one.path.startswith("normalization")]
    assert [*map(without_digits, found)] == [*map(without_digits, expected)]
    for mine, own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(own)
        )


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file_of_keras_is_assigned_below_the_last_layer(tmp_path: Path, suffix: str) -> None:
    source, path = original(SMALL), tmp_path / f"mine{suffix}"
    (source.save_weights if suffix == ".weights.h5" else source.save)(path)
    options = {"licence": "MIT", "trained_on": ["CheXpert"]}
    initial = initial_weights(NetworkConfig(f"keras:{SMALL}", options, str(path)))
    assert initial is not None
    assert initial.origin.name == path.name
    assert initial.origin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (initial.origin.licence, initial.origin.trained_on) == ("MIT", ("CheXpert",))
    network = build_network(f"keras:{SMALL}", 32, 3, {"frozen": 0.5})
    before = np.asarray(keras.ops.convert_to_numpy(network.layers[-1].kernel))
    initial.assign(network)
    assert_assigned(network, source)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(network.layers[-1].kernel), before)


def test_imagenet_weights_are_those_that_keras_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With these weights Keras builds EfficientNet with another layer that scales images.
    source, path = original("EfficientNetB0"), tmp_path / "downloaded.weights.h5"
    source.save_weights(path)
    module = sys.modules[keras.applications.EfficientNetB0.__module__]

    def download(*_: Any, **__: Any) -> str:
        print("Downloading")
        return str(path)

    monkeypatch.setattr(module.file_utils, "get_file", download)
    config = NetworkConfig("keras:EfficientNetB0", weights="imagenet")
    initial = initial_weights(config)
    assert initial is not None
    assert initial.origin.name == "EfficientNetB0 (ImageNet)"
    assert initial.origin.trained_on == ("ImageNet (ILSVRC 2012)",)
    network = build_network("keras:EfficientNetB0", 32, 1, {})
    initial.assign(network)
    assert_assigned(network, source)
    output = capsys.readouterr()
    assert output.out == "", "standard output is for results"
    assert "Downloading" in output.err


def test_offline_the_remedy_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[keras.applications.MobileNet.__module__]

    def fail(*_: Any, **__: Any) -> str:
        raise Exception("URL fetch failure on https://example.org/weights.h5: None")

    monkeypatch.setattr(module.file_utils, "get_file", fail)
    with pytest.raises(ConfigError, match="ImageNet weights of MobileNet") as caught:
        initial_weights(NetworkConfig(f"keras:{SMALL}", weights="imagenet"))
    assert "example.org" in str(caught.value.received)
    assert "network.weights" in str(caught.value.remedy)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.weights.h5"
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3)(image)).save_weights(path)
    layer = keras.layers.Conv2D(4, 3, use_bias=False)
    keras.Model(image, layer(image)).save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "damaged.h5").write_bytes(b"no weights")
    for name in ("wide.weights.h5", "other.weights.h5", "damaged.h5"):
        initial = initial_weights(NetworkConfig(f"keras:{SMALL}", weights=str(tmp_path / name)))
        assert initial is not None
        with pytest.raises(ConfigError, match="does not contain weights") as caught:
            initial.assign(build_network(f"keras:{SMALL}", 32, 1, {}))
        assert "include_top=False" in str(caught.value.remedy)
        assert re.search(r"[.)]$", str(caught.value.received)), "a sentence, without variables"


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_the_last_layer_in_a_file_is_ignored_or_refused(tmp_path: Path, suffix: str) -> None:
    keras.utils.set_random_seed(1)
    whole, path = keras.applications.MobileNet(weights=None), tmp_path / f"whole{suffix}"
    (whole.save_weights if suffix == ".weights.h5" else whole.save)(path)
    if suffix == ".h5":  # the older format, in which layers have no names that would match
        with pytest.raises(ConfigError, match="found 55 saved layers"):
            encoder_weights(SMALL, str(path))
        return
    network = build_network(f"keras:{SMALL}", 32, 1, {})
    assign_encoder(network, encoder_weights(SMALL, str(path)))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    bottom = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in bottom.layers:
        layer.set_weights(whole.get_layer(layer.name).get_weights() if layer.weights else [])
    expected = np.asarray(keras.ops.convert_to_numpy(bottom(images)))
    found = np.asarray(keras.ops.convert_to_numpy(network.get_layer("encoder")(images)))
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "weights", "problem"),
    [
        (SMALL, "gone.h5", "cannot be read"),
        (SMALL, "weights.pth", "random, imagenet or a file"),
        ("DenseNet12", "imagenet", "no network of Keras Applications"),
    ],
)
def test_other_weights_are_refused(name: str, weights: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        initial_weights(NetworkConfig(f"keras:{name}", weights=weights))

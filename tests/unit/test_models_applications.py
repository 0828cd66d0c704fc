"""Networks of Keras Applications: the same features as in Keras, in the graph as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from plainfilm.config import check_network
from plainfilm.errors import ConfigError
from plainfilm.models import build_network
from plainfilm.models.applications import (
    application_names,
    channel_scaling,
    find_application,
    weighted_layers,
)
from plainfilm.models.export import feature_network, has_activation_map, to_onnx
from plainfilm.models.novelty import fit_novelty
from plainfilm.network_session import import_onnxruntime
from plainfilm.records import Task

BINARY = Task("binary", ("sick",), ("well", "sick"))
SMALL = "keras:MobileNetV3Small"


def vary(network: Any, pixels: Any) -> None:
    """Give vectors, such as biases, other values than those of a new network.

    The statistics of batch normalisation are set by images first, since values would vanish or
    explode otherwise, and rounding errors with them.
    """
    rng = np.random.default_rng(0)
    norms = [layer for layer in weighted_layers(network) if hasattr(layer, "moving_mean")]
    for layer in norms:
        layer.momentum = 0.0
    network(pixels, training=True)
    for variable in network.variables:
        if len(variable.shape) == 1 and "seed" not in variable.path:
            value = np.asarray(keras.ops.convert_to_numpy(variable))
            factor = rng.uniform(1, 2, value.shape)
            variable.assign((value * factor + rng.uniform(0, 0.02, value.shape)).astype("float32"))


# test_models_export.py has each kind of layer alone.
def test_the_graph_equals_the_network() -> None:
    keras.utils.set_random_seed(0)
    network = build_network(SMALL, 40, 2, {"dropout": 0.3})
    coarse = np.random.default_rng(1).integers(0, 256, (6, 5, 5), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((8, 8), np.uint8))
    vary(network, pixels[..., None])
    reference = np.asarray(keras.ops.convert_to_numpy(network(pixels[..., None])))
    assert np.ptp(reference, axis=0).min() > 0.05 * np.abs(reference).max()
    session = import_onnxruntime().InferenceSession(to_onnx(network, BINARY, "softmax", 1.0))
    found, activation = session.run(["logits", "activation"], {"image": pixels})
    scale = np.abs(reference).max()
    np.testing.assert_allclose(found / scale, reference / scale, atol=1e-4)
    assert has_activation_map(network)
    bias = np.diff(np.asarray(keras.ops.convert_to_numpy(network.layers[-1].bias)))
    margin = found[:, 1] - found[:, 0]
    mean = activation.mean(axis=(1, 2, 3)) + bias
    np.testing.assert_allclose(mean / scale, margin / scale, atol=1e-4)


def test_features_are_those_of_keras_for_a_grey_image_in_three_channels() -> None:
    original = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(40, 40, 3), pooling="avg"
    )
    network = build_network(SMALL, 40, 1, {})
    network.get_layer("encoder").set_weights(original.get_weights())
    pixels = np.random.default_rng(2).integers(0, 256, (3, 40, 40, 1), dtype=np.uint8)
    prepared = keras.applications.mobilenet_v3.preprocess_input(np.repeat(pixels, 3, axis=3))
    expected = np.asarray(keras.ops.convert_to_numpy(original(prepared)))
    found = np.asarray(keras.ops.convert_to_numpy(feature_network(network)(pixels)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["MobileNet", "DenseNet121", "VGG16"])  # three ways of scaling
def test_channels_are_scaled_as_the_family_expects_them(name: str) -> None:
    image = keras.Input((4, 4, 3))
    scale, offset = channel_scaling(
        find_application(name), keras.Model(image, keras.layers.ReLU()(image))
    )
    module = {"MobileNet": "mobilenet", "DenseNet121": "densenet", "VGG16": "vgg16"}[name]
    pixels = np.repeat(np.arange(256.0).reshape(1, 16, 16, 1), 3, axis=3)
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    np.testing.assert_allclose(pixels * scale + offset, expected, atol=1e-6)


def test_efficientnet_is_scaled_by_the_statistics_of_its_imagenet_weights() -> None:
    image = keras.Input((4, 4, 3))
    scaled = keras.layers.Normalization()(keras.layers.Rescaling(1 / 255)(image))
    function = find_application("EfficientNetB0")
    scale, offset = channel_scaling(function, keras.Model(image, keras.layers.ReLU()(scaled)))
    # With these weights Keras adds a layer that divides by the root of the deviation.
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    grey = 77 / 255
    expected = (grey - mean) / np.sqrt(deviation) / np.sqrt(deviation)
    np.testing.assert_allclose(77 * np.array(scale) + offset, expected, rtol=1e-6)


def test_every_classifier_of_keras_has_a_valid_name() -> None:
    names = application_names()
    assert {"DenseNet121", "ConvNeXtTiny", "MobileNetV3Small", "NASNetMobile"} <= {*names}
    for name in names:
        check_network(f"keras:{name}")
        assert "include_top" in find_application(name).__code__.co_varnames


def test_leading_layers_are_frozen_by_share() -> None:
    network = build_network(SMALL, 32, 1, {"frozen": 0.5})
    own = weighted_layers(network.get_layer("encoder"))
    assert [layer.trainable for layer in own] == [False] * (len(own) // 2) + [True] * (
        len(own) - len(own) // 2
    )
    assert own[0].name == "conv"
    network = build_network(SMALL, 32, 1, {"frozen": 1})
    assert [v.path for v in network.trainable_variables] == ["logits/kernel", "logits/bias"]
    # Batch normalisation that is not trained uses its statistics, also in a step of training.
    pixels = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    trained, predicted = network(pixels, training=True), network(pixels, training=False)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(trained), keras.ops.convert_to_numpy(predicted), rtol=1e-5
    )


def test_layers_within_networks_are_counted() -> None:
    image = keras.Input((8, 8, 3))
    stem = keras.Sequential([keras.layers.Conv2D(2, 3, name="stem"), keras.layers.ReLU()])
    network = keras.Model(image, keras.layers.Conv2D(2, 3, name="next")(stem(image)))
    assert [layer.name for layer in weighted_layers(network)] == ["stem", "next"]


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("keras:DenseNet12", 64, {}, "DenseNet121"),
        ("keras:preprocess_input", 64, {}, "keras: and the name"),
        ("keras:", 64, {}, "keras: and the name"),
        ("keras:Xception", 64, {}, "at least 71"),
        (SMALL, 64, {"frozen": 1.5}, "between 0 and 1"),
        (SMALL, 64, {"frozen": "half"}, "between 0 and 1"),
        (SMALL, 64, {"dropout": 1.5}, "options.dropout must be between 0 and 1"),
        ("compact", 64, {"dropout": -1}, "options.dropout must be between 0 and 1"),
        (SMALL, 64, {"depth": 3}, "frozen, dropout"),
    ],
)
def test_what_cannot_be_built_is_an_error(
    name: str, size: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(name, size, 1, options)
    assert message in str(caught.value)


def test_nearly_constant_features_do_not_amplify_rounding() -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (60, 16, 16), dtype=np.uint8)
    features = 5 + 1e-7 * rng.normal(size=(60, 500))
    novelty = fit_novelty((images, features, np.arange(60) % 2), (images, features))
    exact = novelty.score(features, images)
    rounded = novelty.score(features.astype(np.float32).astype(np.float64), images)
    np.testing.assert_allclose(rounded, exact, atol=1e-3)

"""The exported graph predicts like the network, for all layers and odd sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras")
onnxruntime = pytest.importorskip("onnxruntime")

import keras  # noqa: E402

from plainfilm.errors import ConfigError  # noqa: E402
from plainfilm.models import build_network  # noqa: E402
from plainfilm.models.export import has_activation_map, to_onnx  # noqa: E402
from plainfilm.records import Task  # noqa: E402

BINARY = Task("binary", ("sick",), ("well", "sick"))
THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
MANY = Task("multilabel", ("a", "b", "c"), ("a", "b", "c"))


def shake(network: Any, seed: int = 0) -> None:
    """Give every weight, statistics included, a value that it would not have by default."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        if "seed" in variable.path:
            continue
        value = np.asarray(keras.ops.convert_to_numpy(variable))
        if variable.path.endswith(("variance", "gamma", "gain")):
            new = rng.uniform(0.5, 1.5, value.shape)
        else:
            new = value + rng.normal(0, 0.1, value.shape)
        variable.assign(new.astype(value.dtype))


def images(size: int, n: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(size).integers(0, 256, (n, size, size), dtype=np.uint8)


def run(graph: bytes, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": pixels}), strict=True))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def expected(
    logits: NDArray[np.float32], task: Task, head: str, temperature: float
) -> NDArray[np.float64]:
    cool = logits.astype(np.float64) / temperature
    if head == "sigmoid":
        return 1 / (1 + np.exp(-cool))
    chances = softmax(cool)
    return chances[:, 1:] if task.kind == "binary" else chances


CASES = [
    ("compact", 50, BINARY, "sigmoid", {"channels": [16, 16]}),
    ("compact", 75, MANY, "sigmoid", {"channels": [8, 16, 24], "blocks": 2}),
    ("compact", 33, BINARY, "softmax", {"channels": [8], "normalisation": "midrange"}),
    ("compact", 32, THREE, "softmax", {"channels": [8, 12], "dropout": 0.3}),
    ("compact", 101, BINARY, "sigmoid", {"channels": [16, 16], "stem": 2}),
    ("compact", 17, BINARY, "sigmoid", {"channels": [8, 8, 8], "blocks": 1, "dropout": 0.5}),
    ("tutorial", 75, BINARY, "softmax", {"filters": [4, 8, 8], "dense": 16}),
    ("tutorial", 50, THREE, "softmax", {"filters": [4, 6], "dense": 10}),
    ("tutorial", 64, BINARY, "sigmoid", {"filters": [4, 6, 8, 8], "dense": 12}),
]


@pytest.mark.parametrize(("name", "size", "task", "head", "options"), CASES)
def test_graph_equals_network(
    name: str, size: int, task: Task, head: str, options: Mapping[str, Any]
) -> None:
    outputs = len(task.classes) if head == "softmax" else len(task.labels)
    network = build_network(name, size, outputs, options)
    shake(network)
    pixels = images(size)
    logits = np.asarray(network.predict_on_batch(pixels[..., None]))
    assert logits.dtype == np.float32
    assert np.ptp(logits) > 1e-3, "a network that answers the same for all proves nothing"
    results = run(to_onnx(network, task, head, 1.7), pixels)
    assert results["logits"].shape == (len(pixels), outputs)
    np.testing.assert_allclose(results["logits"], logits, rtol=1e-5, atol=1e-5)
    assert results["probabilities"].shape == (len(pixels), len(task.labels))
    np.testing.assert_allclose(
        results["probabilities"], expected(logits, task, head, 1.7), rtol=0, atol=1e-5
    )
    assert has_activation_map(network) is ("activation" in results)
    assert has_activation_map(network) is (name == "compact")


@pytest.mark.parametrize("task", [BINARY, MANY])
def test_activation_map_is_the_last_feature_map_under_the_dense_weights(task: Task) -> None:
    size, outputs = 50, len(task.labels)
    network = build_network("compact", size, outputs, {"channels": [16, 16], "dropout": 0.2})
    shake(network, seed=1)
    pixels = images(size)
    pool = network.get_layer("pool")
    features = np.asarray(keras.Model(network.input, pool.input)(pixels[..., None]), np.float64)
    kernel, bias = (np.asarray(w, np.float64) for w in network.layers[-1].get_weights())
    reference = np.einsum("nhwc,cl->nlhw", features, kernel)
    results = run(to_onnx(network, task, "sigmoid", 2.0), pixels)
    assert results["activation"].shape == reference.shape
    np.testing.assert_allclose(results["activation"], reference, atol=1e-4)
    # Its mean and the bias make the logit: the map says where the logit comes from.
    np.testing.assert_allclose(
        results["activation"].mean(axis=(2, 3)) + bias, results["logits"], atol=1e-4
    )


def test_activation_map_of_a_binary_softmax_is_that_of_the_margin() -> None:
    network = build_network("compact", 32, 2, {"channels": [8, 8]})
    shake(network, seed=2)
    results = run(to_onnx(network, BINARY, "softmax", 1.0), images(32))
    assert results["activation"].shape[1] == 1
    bias = network.layers[-1].get_weights()[1]
    margin = results["logits"][:, 1] - results["logits"][:, 0]
    np.testing.assert_allclose(
        results["activation"].mean(axis=(1, 2, 3)) + bias[1] - bias[0], margin, atol=1e-4
    )


def test_a_blank_image_stays_finite() -> None:
    network = build_network("compact", 32, 1, {"channels": [8, 8]})
    results = run(to_onnx(network, BINARY, "sigmoid", 1.0), np.zeros((2, 32, 32), np.uint8))
    assert np.isfinite(results["logits"]).all()


def test_the_same_network_gives_the_same_bytes() -> None:
    network = build_network("compact", 32, 1, {"channels": [8, 8]})
    first, second = (to_onnx(network, BINARY, "sigmoid", 1.5) for _ in range(2))
    assert first == second
    assert to_onnx(network, BINARY, "sigmoid", 1.6) != first
    # Another instance with the same weights is the same graph: nothing of this process is in it.
    twin = build_network("compact", 32, 1, {"channels": [8, 8]})
    twin.set_weights(network.get_weights())
    assert to_onnx(twin, BINARY, "sigmoid", 1.5) == first


def test_a_layer_that_cannot_be_written_is_named() -> None:
    image = keras.Input((8, 8, 1))
    x = keras.layers.UpSampling2D(name="enlarge")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, keras.layers.Dense(1)(x))
    with pytest.raises(ConfigError, match="enlarge") as caught:
        to_onnx(network, BINARY, "sigmoid", 1.0)
    assert caught.value.received == "UpSampling2D"
    assert caught.value.remedy is not None
    assert "StandardisedConv2D" in caught.value.remedy


def test_an_activation_that_cannot_be_written_is_named() -> None:
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, activation="selu", name="bent")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, keras.layers.Dense(1)(x))
    with pytest.raises(ConfigError, match="bent") as caught:
        to_onnx(network, BINARY, "sigmoid", 1.0)
    assert caught.value.received == "selu"
    assert "gelu" in (caught.value.remedy or "")


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("side", [10, 11])
def test_same_padding_of_every_parity(stride: int, kernel: int, side: int) -> None:
    image = keras.Input((side, side, 1))
    x = keras.layers.Conv2D(3, kernel, strides=stride, padding="same")(image)
    x = keras.layers.AveragePooling2D(2, padding="same")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    network = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    shake(network, seed=3)
    pixels = images(side)
    reference = np.asarray(network.predict_on_batch(pixels[..., None]))
    results = run(to_onnx(network, BINARY, "sigmoid", 1.0), pixels)
    np.testing.assert_allclose(results["logits"], reference, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Conv2D", {"filters": 4, "dilation_rate": 2}),
        ("Conv2D", {"filters": 6, "groups": 2, "strides": 2}),
        ("DepthwiseConv2D", {"strides": 2}),
        ("DepthwiseConv2D", {"depth_multiplier": 3, "use_bias": False}),
        ("DepthwiseConv2D", {"dilation_rate": 2, "activation": "relu"}),
    ],
)
def test_convolutions_by_channel_and_with_gaps(
    kind: str, options: dict[str, Any], padding: str
) -> None:
    image = keras.Input((13, 13, 1))
    x = keras.layers.Conv2D(4, 1)(image)
    x = getattr(keras.layers, kind)(kernel_size=3, padding=padding, **options)(x)
    x = keras.layers.ReLU(max_value=6.0)(x)
    network = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    shake(network, seed=4)
    for variable in network.variables[:2]:
        variable.assign(variable / 64)  # within both limits of the ReLU
    pixels = images(13)
    reference = np.asarray(network.predict_on_batch(pixels[..., None]))
    results = run(to_onnx(network, BINARY, "sigmoid", 1.0), pixels)
    np.testing.assert_allclose(results["logits"], reference, rtol=1e-5, atol=1e-4)


def end(image: Any, x: Any) -> Any:
    """Return the network that ends in a dense layer."""
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def check_equal(network: Any, seed: int = 5) -> None:
    shake(network, seed)
    pixels = images(int(network.inputs[0].shape[1]))
    reference = np.asarray(network.predict_on_batch(pixels[..., None]))
    assert np.ptp(reference) > 1e-3
    results = run(to_onnx(network, MANY, "sigmoid", 1.0), pixels)
    np.testing.assert_allclose(results["logits"], reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    ["linear", "relu", "relu6", "sigmoid", "tanh", "silu", "hard_silu", "hard_sigmoid", "gelu"],
)
def test_activations(name: str) -> None:
    image = keras.Input((6, 6, 1))
    x = keras.layers.Rescaling(1 / 32, offset=-4)(image)  # both ends of every function
    check_equal(end(image, keras.layers.Activation(name)(x)))


def test_layers_that_change_shapes() -> None:
    image = keras.Input((9, 9, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.ZeroPadding2D(((1, 0), (2, 3)))(x)
    x = keras.layers.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=3)(x)
    x = keras.layers.Cropping2D(((1, 0), (0, 2)))(x)
    pooled = keras.layers.GlobalMaxPooling2D(keepdims=True)(x)
    mean = keras.layers.Reshape((1, 1, 4))(keras.layers.GlobalAveragePooling2D()(x))
    gate = keras.layers.Dense(4, use_bias=False, activation="sigmoid")(pooled + mean * 0.5)
    x = keras.layers.Multiply()([x, gate, gate])
    x = keras.layers.Concatenate(axis=1)([x, keras.layers.ReLU()(x)])
    x = keras.layers.Concatenate()([x, keras.layers.Rescaling(2.0)(x)])
    check_equal(end(image, keras.layers.Reshape((4, 2, -1))(x)))


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}])
def test_normalisations(options: dict[str, Any]) -> None:
    image = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(5, 3)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.LayerNormalization(**options)(x)
    x = keras.layers.BatchNormalization(**options)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.LayerNormalization(**options)(x)
    check_equal(keras.Model(image, keras.layers.Dense(3)(x)))


def test_layers_of_keras_applications_that_are_not_public() -> None:
    from keras.src.applications.convnext import LayerScale
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    image = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image))
    x = CustomScaleLayer(0.17)([x, LayerScale(0.5, 4)(x)])
    check_equal(end(image, (x + 3.0) * 0.25 + x))


def test_networks_within_the_network_and_layers_that_are_used_twice() -> None:
    inner = keras.Input((8, 8, 3))
    block = keras.Model(inner, keras.layers.Conv2D(3, 3, padding="same", name="conv")(inner))
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(3, 1, name="conv")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Add()([block(x), keras.layers.ReLU()(block(block(x)))])
    x = keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.ReLU()])(x)
    network = end(image, x)
    check_equal(network)
    # Layers without a name have one that does not depend on what was built before.
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    graphs = [to_onnx(one, MANY, "sigmoid", 1.0) for one in (network, twin)]
    assert graphs[0].replace(twin.name.encode(), b"") == graphs[1].replace(twin.name.encode(), b"")


def test_layers_without_effect_in_prediction_are_left_out() -> None:
    import onnx

    image = keras.Input((8, 8, 1))
    x = keras.layers.Activation("linear")(keras.layers.Dropout(0.5)(image))
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    graph = to_onnx(
        keras.Model(image, keras.layers.Dense(1, name="logits")(x)), BINARY, "sigmoid", 1
    )
    kinds = [node.op_type for node in onnx.load_model_from_string(graph).graph.node]
    assert "Identity" not in kinds
    assert "Dropout" not in kinds


@pytest.mark.parametrize(
    ("layer", "remedy"),
    [
        (lambda: keras.layers.ReLU(negative_slope=0.1), "without"),
        (lambda: keras.layers.LayerNormalization(axis=1), "channels"),
        (lambda: keras.layers.BatchNormalization(axis=1), "channel"),
        (lambda: keras.layers.GroupNormalization(1), "center"),
        (lambda: keras.layers.Lambda(lambda x: 2 * x, name="own"), "use only"),
    ],
)
def test_options_of_layers_that_cannot_be_exported(layer: Any, remedy: str) -> None:
    image = keras.Input((8, 8, 1))
    with pytest.raises(ConfigError, match="cannot be exported") as caught:
        to_onnx(end(image, layer()(image)), MANY, "sigmoid", 1.0)
    assert remedy in (caught.value.remedy or "")

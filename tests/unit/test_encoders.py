"""Encoders: their features are those of the ONNX file or of the table of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_networks
from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.encoders import encoder as module
from plainfilm.encoders.encoder import encode
from plainfilm.encoders.lite import lite_encoder
from plainfilm.encoders.onnx_file import read_encoder
from plainfilm.encoders.options import ProbeOptions
from plainfilm.errors import BundleError, ConfigError, UsageError
from plainfilm.models.lite_blocks import HEAD_WIDTH, STEM_WIDTH, lite_blocks
from plainfilm.models.pretrained import LiteWeights
from plainfilm.records import PixelSpec

SPEC = PixelSpec(32)


def options(**more: Any) -> ProbeOptions:
    return ProbeOptions(value_range=(0.0, 1.0), **more)


def raw(path: Path, images: np.ndarray) -> np.ndarray:
    """Return the output of an ONNX file for images scaled to 0..1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"pixels": images[:, None].astype(np.float32) / 255})
    return np.asarray(found, np.float64)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (19, 32, 32)).astype(np.uint8)


def test_planes_become_the_mean_and_deviation_of_each_channel(
    tmp_path: Path, images: np.ndarray
) -> None:
    path = onnx_networks.encoder(tmp_path / "e.onnx")
    found = read_encoder(path, SPEC, options())
    planes = raw(path, images)
    expected = np.concatenate([planes.mean((2, 3)), planes.std((2, 3))], axis=1)
    np.testing.assert_allclose(encode(found.open(), images), expected, rtol=1e-4, atol=1e-4)
    assert found.width == 16
    assert found.sha256 == read_encoder(path, SPEC, options()).sha256
    other = read_encoder(path, SPEC, options(mean=(0.5,)))
    assert other.sha256 != found.sha256


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_tokens_are_pooled(tmp_path: Path, images: np.ndarray, pooling: Any) -> None:
    path = onnx_networks.encoder(tmp_path / "e.onnx", output="tokens")
    tokens = raw(path, images)
    expected = tokens[:, 0] if pooling == "first" else tokens.mean(axis=1)
    found = read_encoder(path, SPEC, options(pooling=pooling))
    np.testing.assert_allclose(encode(found.open(), images), expected, rtol=1e-4, atol=1e-4)


def test_features_are_unchanged_and_a_fixed_batch_is_freed(
    tmp_path: Path, images: np.ndarray
) -> None:
    one = onnx_networks.encoder(tmp_path / "n.onnx", output="features")
    fixed = onnx_networks.encoder(tmp_path / "1.onnx", output="features", batch=1)
    expected = raw(one, images)
    for path in (one, fixed):
        found = encode(read_encoder(path, SPEC, options()).open(), images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_encoders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    def refused(error: type[Exception], match: str, given: ProbeOptions, **more: Any) -> None:
        path = onnx_networks.encoder(tmp_path / "e.onnx", **more)
        with pytest.raises(error, match=match):
            read_encoder(path, SPEC, given)

    refused(UsageError, "black and white", ProbeOptions())
    refused(ConfigError, "pooling is needed for tokens", options(), output="tokens")
    refused(ConfigError, "pooling is needed for tokens", options(pooling="first"))
    refused(UsageError, "channels given", options(channels=3, axes="nchw"))
    refused(UsageError, "size given", options(), size=64)
    refused(BundleError, "not finite", options(), dead=float("nan"))
    refused(BundleError, "same features for every image", options(), dead=0.0)
    refused(BundleError, "opset", options(), opset=12)
    with pytest.raises(UsageError, match="cannot be read"):
        read_encoder(tmp_path / "missing.onnx", SPEC, options())
    refused(UsageError, "no preset", options(preset="none"))


def test_errors_name_the_file_and_the_settings_of_a_recipe(tmp_path: Path) -> None:
    path = onnx_networks.encoder(tmp_path / "e.onnx")
    with pytest.raises(ConfigError) as caught:
        read_encoder(path, SPEC, ProbeOptions())
    assert caught.value.remedy == (
        "give network.options.preset with the library of the network, or "
        "network.options.value_range (such as [0, 1])"
    )
    with pytest.raises(ConfigError) as caught:
        read_encoder(path, SPEC, options(output="logits"))
    assert (caught.value.remedy or "").endswith("with network.options.output")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(BundleError) as damaged:
        read_encoder(broken, SPEC, options())
    assert damaged.value.received == "broken.onnx: 8 bytes"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e30, 3e38])
def test_features_that_are_too_large_are_refused_without_a_warning(
    tmp_path: Path, size: float
) -> None:
    path = onnx_networks.encoder(tmp_path / "e.onnx", dead=size)
    with pytest.raises(BundleError, match="not finite"):
        read_encoder(path, SPEC, options())


def test_an_encoder_for_one_image_says_how_to_export_it(tmp_path: Path) -> None:
    path = onnx_networks.residual(
        tmp_path / "e.onnx", columns=8, channels=1, batch=1, flat=(1, 4), computed=True
    )
    with pytest.raises(BundleError, match="for 1 image in a run") as caught:
        read_encoder(path, SPEC, options())
    assert "dynamic axis" in (caught.value.remedy or "")


def test_options_are_those_of_the_encoder() -> None:
    assert ProbeOptions.of({"stages": [4]}, built_in=True).stages == (4,)
    with pytest.raises(ConfigError, match="a built-in encoder does not have"):
        ProbeOptions.of({"preset": "timm"}, built_in=True)
    with pytest.raises(ConfigError, match="an ONNX file does not have"):
        ProbeOptions.of({"stages": [4]}, built_in=False)
    with pytest.raises(ConfigError, match="penalty must be above 0"):
        ProbeOptions.of({"penalty": 0.0}, built_in=True)
    with pytest.raises(ConfigError, match="poolin"):
        ProbeOptions.of({"poolin": "first"}, built_in=False)


def random_weights(variant: int) -> LiteWeights:
    rng = np.random.default_rng(0)

    def convolution(side: int, inputs: int, outputs: int, depthwise: bool = False) -> Any:
        fan = side * side * (1 if depthwise else inputs)
        shape = (side, side, outputs, 1) if depthwise else (side, side, inputs, outputs)
        kernel = rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
        return kernel, rng.normal(0, 0.1, outputs).astype(np.float32)

    found = {"stem": convolution(3, 1, STEM_WIDTH), "head": convolution(1, 8, HEAD_WIDTH)}
    for number, block in enumerate(lite_blocks(variant), start=1):
        width = block.inputs * block.expansion
        found[f"block{number}_expand"] = convolution(1, block.inputs, width)
        found[f"block{number}_depthwise"] = convolution(block.kernel, width, width, True)
        found[f"block{number}_project"] = convolution(1, width, block.outputs)
    return LiteWeights(found, PretrainedWeights(name="random", sha256="0" * 64))


@pytest.mark.parametrize(("variant", "size", "stages"), [(0, 64, (4, 5, 6, 7)), (2, 50, (3, 5))])
def test_a_built_in_encoder_is_the_network_of_keras(
    variant: int, size: int, stages: tuple[int, ...]
) -> None:
    keras = pytest.importorskip("keras")
    from plainfilm.models.efficientnet_lite import assign_convolutions, efficientnet_lite

    weights = random_weights(variant)
    network = efficientnet_lite(variant, size, 1, stages=max(stages), pooled=stages)
    assign_convolutions(network, weights.convolutions)
    below = keras.Model(network.input, network.get_layer("features").output)
    images = np.random.default_rng(6).integers(0, 256, (9, size, size)).astype(np.uint8)
    images[0] = 0
    expected = np.asarray(below(images[..., None]))
    found = lite_encoder(weights, variant, size, stages)
    assert found.width == expected.shape[1]
    features = encode(found.open(), images)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    assert (found.parameters or 0) > 100_000


def test_stages_that_do_not_exist_are_refused() -> None:
    for stages in ((), (0,), (8,), (4, 4)):
        with pytest.raises(ConfigError, match="stages must be some of"):
            lite_encoder(random_weights(0), 0, 32, stages)


def test_batches_do_not_change_features(
    tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_encoder(onnx_networks.encoder(tmp_path / "e.onnx"), SPEC, options())
    whole = encode(found.open(), images)
    monkeypatch.setattr(module, "_BATCH", 3)
    np.testing.assert_allclose(encode(found.open(), images), whole, rtol=1e-5, atol=1e-6)

"""Layers against numpy, shapes of the networks, and errors of their options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras")

import keras

from plainfilm.errors import ConfigError
from plainfilm.models import NETWORKS, build_network
from plainfilm.models.layers import RELU_GAIN, SkipGain, StandardisedConv2D, normalise


def convolve(
    x: NDArray[np.float64], kernel: NDArray[np.float64], stride: int, pad: tuple[int, int]
) -> NDArray[np.float64]:
    """Correlate (n, h, w, in) with (kh, kw, in, out), slowly."""
    x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    height, width = kernel.shape[:2]
    rows = range(0, x.shape[1] - height + 1, stride)
    columns = range(0, x.shape[2] - width + 1, stride)
    out = np.empty((len(x), len(rows), len(columns), kernel.shape[3]))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            window = x[:, row : row + height, column : column + width]
            out[:, i, j] = np.einsum("nhwc,hwco->no", window, kernel)
    return out


# Padding of "same" before and after: for 9 pixels by stride 1, for 9 and 8 pixels by stride 2.
@pytest.mark.parametrize(
    ("side", "stride", "pad"), [(9, 1, (1, 1)), (9, 2, (1, 1)), (8, 2, (0, 1))]
)
def test_standardised_convolution_equals_numpy(
    side: int, stride: int, pad: tuple[int, int]
) -> None:
    rng = np.random.default_rng(side + stride)
    layer = StandardisedConv2D(5, 3, strides=stride, padding="same")
    layer.build((None, side, side, 4))
    kernel = rng.normal(0.7, 2.0, (3, 3, 4, 5))
    gain, bias = rng.uniform(0.5, 2, 5), rng.normal(0, 1, 5)
    layer.kernel.assign(kernel)
    layer.gain.assign(gain)
    layer.bias.assign(bias)
    x = rng.normal(0, 1, (2, side, side, 4))

    flat = kernel.reshape(-1, 5)
    unit = (flat - flat.mean(axis=0)) / np.linalg.norm(flat - flat.mean(axis=0), axis=0)
    expected = convolve(x, (unit * gain * RELU_GAIN).reshape(kernel.shape), stride, pad) + bias
    made = np.asarray(keras.ops.convert_to_numpy(layer(x.astype(np.float32))))
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_the_gain_of_a_relu_keeps_the_variance() -> None:
    # E[relu(z)] = 1/sqrt(2 pi) and E[relu(z)^2] = 1/2 for a standard normal z.
    variance = 0.5 - 1 / (2 * np.pi)
    assert pytest.approx(1 / np.sqrt(variance), rel=1e-3) == RELU_GAIN


def test_scale_and_shift_of_the_filters_do_not_matter() -> None:
    layer = StandardisedConv2D(3, 3, padding="same")
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype(np.float32)
    first = np.asarray(keras.ops.convert_to_numpy(layer(x)))
    layer.kernel.assign(keras.ops.convert_to_numpy(layer.kernel) * 50 + 3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), first, atol=2e-3)


def test_skip_gain_multiplies_by_one_number() -> None:
    layer = SkipGain(start=0.25)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), 0.25 * x, rtol=1e-6)
    assert [tuple(w.shape) for w in layer.trainable_weights] == [()]
    assert SkipGain.from_config(layer.get_config()).start == 0.25


def test_normalisation_by_the_image_leaves_mean_0_and_deviation_1() -> None:
    image = keras.Input((16, 16, 1))
    model = keras.Model(image, normalise(image, "image"))
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (4, 16, 16, 1)).astype(np.float32)
    pixels[1] = 100 + pixels[1] / 16  # faint
    out = np.asarray(model.predict_on_batch(pixels))
    scaled = pixels / 127.5 - 1
    expected = (scaled - scaled.mean(axis=(1, 2, 3), keepdims=True)) / np.sqrt(
        scaled.var(axis=(1, 2, 3), keepdims=True) + 1e-3
    )
    np.testing.assert_allclose(out, expected, atol=1e-4)
    np.testing.assert_allclose(out.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(out[[0, 2, 3]].std(axis=(1, 2, 3)), 1, atol=0.01)
    blank = np.asarray(model.predict_on_batch(np.full((1, 16, 16, 1), 255, np.float32)))
    np.testing.assert_allclose(blank, 0, atol=1e-3)


def test_normalisation_by_the_image_removes_exposure() -> None:
    image = keras.Input((16, 16, 1))
    model = keras.Model(image, normalise(image, "image"))
    pixels = np.random.default_rng(2).uniform(60, 120, (1, 16, 16, 1)).astype(np.float32)
    both = np.asarray(model.predict_on_batch(np.concatenate([pixels, 1.5 * pixels + 20])))
    np.testing.assert_allclose(both[0], both[1], atol=0.03)


def test_midrange_maps_black_to_minus_one_and_white_to_one() -> None:
    image = keras.Input((1, 3, 1))
    model = keras.Model(image, normalise(image, "midrange"))
    out = model.predict_on_batch(np.array([[[[0.0], [127.5], [255.0]]]], np.float32))
    np.testing.assert_allclose(np.ravel(out), [-1, 0, 1], atol=1e-6)


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ConfigError, match="midrange or image"):
        normalise(keras.Input((4, 4, 1)), "imagenet")


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", [50, 64])
def test_networks_return_logits_of_images(name: str, outputs: int, size: int) -> None:
    small: dict[str, dict[str, Any]] = {
        "compact": {"channels": [16, 24]},
        "tutorial": {"filters": (4, 8), "dense": 8},
    }
    options = small.get(name, {"stages": 2})
    network = build_network(name, size, outputs, options)
    assert tuple(network.input.shape) == (None, size, size, 1)
    logits = np.asarray(network.predict_on_batch(np.zeros((3, size, size, 1), np.uint8)))
    assert logits.shape == (3, outputs)
    assert logits.dtype == np.float32


def test_the_tutorial_network_is_the_published_one() -> None:
    network = build_network("tutorial", 150, 2, {})
    shapes = [tuple(w.shape) for w in network.trainable_weights if w.path.endswith("/kernel")]
    assert shapes == [
        (3, 3, 1, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 128),
        (3, 3, 128, 128),
        (7 * 7 * 128, 512),
        (512, 2),
    ]


def test_depth_and_width_are_options() -> None:
    def count(**options: Any) -> int:
        return int(build_network("compact", 32, 1, options).count_params())

    small = count(channels=[8, 8])
    assert count(channels=[8, 16]) > small
    assert count(channels=[8, 8], blocks=2) > small
    assert count(channels=[8, 8], dropout=0.5) - small <= 2  # at most a seed of the dropout
    # Stem, a block and the logits, by hand: 9*1*8+8+8; 2 * (9*8*8+8+8) + 1; 8 + 1.
    assert count(channels=[8]) == 88 + 2 * 592 + 1 + 9


def test_logits_do_not_depend_on_the_rest_of_the_batch() -> None:
    network = build_network("compact", 32, 1, {"channels": [8, 8]})
    pixels = np.random.default_rng(3).integers(0, 256, (6, 32, 32, 1), dtype=np.uint8)
    alone = np.concatenate([network.predict_on_batch(pixels[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(network.predict_on_batch(pixels), alone, atol=1e-5)


def test_an_unknown_network_or_option_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="no network 'vgg'") as caught:
        build_network("vgg", 32, 1, {})
    assert caught.value.remedy is not None
    assert "compact" in caught.value.remedy
    with pytest.raises(ConfigError, match="no option 'depth'") as caught:
        build_network("compact", 32, 1, {"depth": 3})
    assert caught.value.remedy is not None
    assert "blocks" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("tutorial", 16, {}),  # nothing is left after four blocks
        ("compact", 32, {"channels": []}),
        ("compact", 32, {"channels": [0]}),
        ("compact", 32, {"channels": "wide"}),
        ("compact", 32, {"blocks": "two"}),
        ("compact", 32, {"dropout": 2.0}),
        ("compact", 32, {"normalisation": "batch"}),
    ],
)
def test_impossible_options_are_an_error_of_the_recipe(
    name: str, size: int, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError):
        build_network(name, size, 1, options)


def test_a_network_is_restored_from_a_keras_file(tmp_path: Path) -> None:
    network = build_network("compact", 32, 1, {"channels": [16, 16]})
    for layer in network.layers:
        if hasattr(layer, "gain"):
            layer.gain.assign(2 * layer.gain)  # what is lost would be 1 again
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1)).astype(np.uint8)
    np.testing.assert_array_equal(
        np.asarray(again.predict_on_batch(images)), np.asarray(network.predict_on_batch(images))
    )

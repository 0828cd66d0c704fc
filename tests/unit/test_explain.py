"""Heat maps find the region that a predictor of known behaviour uses."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray

from plainfilm.errors import BundleError, UsageError
from plainfilm.explain import heatmap, overlay

SIZE = 64
ROWS, COLUMNS = slice(40, 52), slice(8, 20)


class SquareFinder:
    """Predicts "square" by the brightness of a region, and "none" never."""

    def __init__(self, *, maps: bool, gain: float = 8.0) -> None:
        self.labels = ("none", "square")
        self.maps = maps
        self.gain = gain
        self.largest_batch = 0

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (SIZE, SIZE)
        self.largest_batch = max(self.largest_batch, len(pixels))
        bright = pixels[:, ROWS, COLUMNS].mean(axis=(1, 2)) / 255
        chance = 1 / (1 + np.exp(-self.gain * (bright - 0.3)))
        return np.stack([np.full_like(chance, 0.5), chance], axis=1).astype(np.float32)

    def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        if not self.maps:
            return None
        coarse = pixels.reshape(len(pixels), 16, 4, 16, 4).mean(axis=(2, 4)) / 255 - 0.4
        return np.stack([np.full_like(coarse, -1.0), coarse], axis=1).astype(np.float32)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    pixels = np.random.default_rng(4).integers(20, 60, (SIZE, SIZE), dtype=np.uint8)
    pixels[ROWS, COLUMNS] = 240
    return pixels


@pytest.mark.parametrize("maps", [True, False])
def test_the_bright_square_is_found(picture: NDArray[np.uint8], maps: bool) -> None:
    heat = heatmap(SquareFinder(maps=maps), picture, "square")
    assert heat.shape == (SIZE, SIZE)
    assert heat.dtype == np.float32
    assert heat.min() >= 0.0
    assert heat.max() == 1.0
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert ROWS.start <= row < ROWS.stop
    assert COLUMNS.start <= column < COLUMNS.stop
    inside = heat[ROWS, COLUMNS].mean()
    far = heat[:24, 32:].mean()
    assert inside > 0.6
    assert far < 0.05


@pytest.mark.parametrize("maps", [True, False])
def test_no_positive_evidence_gives_zeros(picture: NDArray[np.uint8], maps: bool) -> None:
    assert not heatmap(SquareFinder(maps=maps), picture, "none").any()


def test_occlusion_still_sees_evidence_behind_a_saturated_probability(
    picture: NDArray[np.uint8],
) -> None:
    heat = heatmap(SquareFinder(maps=False, gain=20.0), picture, 1)
    assert heat[ROWS, COLUMNS].mean() > 0.6


def test_occlusion_sends_small_batches(picture: NDArray[np.uint8]) -> None:
    predictor = SquareFinder(maps=False)
    before = picture.copy()
    heatmap(predictor, picture, 1)
    assert predictor.largest_batch <= 32
    assert np.array_equal(picture, before)


def test_a_label_is_given_by_name_or_index(picture: NDArray[np.uint8]) -> None:
    predictor = SquareFinder(maps=True)
    assert np.array_equal(heatmap(predictor, picture, 1), heatmap(predictor, picture, "square"))


@pytest.mark.parametrize("label", ["round", 2, -1])
def test_an_unknown_label_is_refused(picture: NDArray[np.uint8], label: str | int) -> None:
    with pytest.raises(UsageError, match="none, square"):
        heatmap(SquareFinder(maps=True), picture, label)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 9), np.uint8),
        np.zeros((1, 8, 8), np.uint8),
        np.zeros((8, 8), np.float32),
        np.zeros((0, 0), np.uint8),
    ],
)
def test_a_wrong_image_is_refused(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError):
        heatmap(SquareFinder(maps=True), pixels, 0)


def test_values_that_are_not_finite_are_an_error_of_the_bundle(
    picture: NDArray[np.uint8],
) -> None:
    class Broken(SquareFinder):
        def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.full((1, 2, 4, 4), np.nan, np.float32)

    class Flat(SquareFinder):
        def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.zeros((1, 4, 4), np.float32)

    with pytest.raises(BundleError, match="not finite"):
        heatmap(Broken(maps=True), picture, 0)
    with pytest.raises(BundleError, match="shape"):
        heatmap(Flat(maps=True), picture, 0)


def test_overlay_changes_only_places_with_heat() -> None:
    pixels = np.full((4, 4), 100, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1.0
    mixed = overlay(pixels, heat, opacity=0.5)
    assert mixed.shape == (4, 4, 3)
    assert mixed.dtype == np.uint8
    assert (mixed[1:] == 100).all()
    assert tuple(mixed[0, 0]) == (176, 178, 132)


def test_the_colours_are_those_of_inferno() -> None:
    heat = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(2, axis=0)
    mixed = overlay(np.zeros((2, 256), np.uint8), heat, opacity=1.0)[0].astype(float)
    # Over black at full opacity the colour is multiplied by the root of the heat.
    share = np.sqrt(heat[0])[:, None]
    expected = matplotlib.colormaps["inferno"](np.linspace(0, 1, 256))[:, :3] * 255
    assert np.abs(mixed - share * expected).max() < 9


@pytest.mark.parametrize("opacity", [-0.1, 1.1])
def test_overlay_refuses_an_opacity_out_of_range(opacity: float) -> None:
    with pytest.raises(UsageError, match="opacity"):
        overlay(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32), opacity)


def test_overlay_refuses_other_shapes_and_numbers() -> None:
    with pytest.raises(UsageError, match="shape"):
        overlay(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.float32))
    with pytest.raises(UsageError, match="finite"):
        overlay(np.zeros((2, 2), np.uint8), np.full((2, 2), np.nan, np.float32))

"""Geometry and borders."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from plainfilm.config import Recipe, load_recipe
from plainfilm.errors import ConfigError
from plainfilm.pixels import read_image
from plainfilm.records import PixelSpec


def encoded(pixels: np.ndarray, kind: str = "png", **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def content(height: int, width: int) -> np.ndarray:
    """Draw something without any uniform line."""
    y, x = np.mgrid[0:height, 0:width]
    return np.rint(128 + 60 * np.sin(x / 7) + 50 * np.cos(y / 5)).astype(np.uint8)


def test_squash_stretches_both_axes() -> None:
    halves = np.zeros((20, 80), np.uint8)
    halves[:, 40:] = 200
    pixels = read_image(encoded(halves), PixelSpec(8)).pixels
    # Ten columns become one under a triangle of twice that width: at the edge, an eighth of its
    # area, 0.5 * 0.5 ** 2, is on the other side.
    assert pixels.tolist() == [[0, 0, 0, 25, 175, 200, 200, 200]] * 8


@pytest.mark.parametrize("wide", [True, False])
def test_pad_centres_the_picture_between_black(wide: bool) -> None:
    grey = np.full((20, 80) if wide else (80, 20), 90, np.uint8)
    pixels = read_image(encoded(grey), PixelSpec(16, "pad")).pixels
    expected = np.zeros((16, 16), np.uint8)
    expected[6:10] = 90
    np.testing.assert_array_equal(pixels, expected if wide else expected.T)


def test_crop_takes_the_central_square() -> None:
    bars = np.zeros((16, 48), np.uint8)
    bars[:, 16:32] = 130
    assert (read_image(encoded(bars), PixelSpec(16, "crop")).pixels == 130).all()
    halved = read_image(encoded(bars.T.copy()), PixelSpec(8, "crop")).pixels
    assert (halved[1:-1] == 130).all() and halved.min() > 110  # the filter sees its neighbours


@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 5)])
def test_tiny_and_thin_pictures(geometry: str, shape: tuple[int, int]) -> None:
    data = encoded(np.full(shape, 77, np.uint8))
    pixels = read_image(data, PixelSpec(32, geometry)).pixels  # type: ignore[arg-type]
    assert pixels.shape == (32, 32) and pixels.max() == 77


@pytest.mark.parametrize("level", [0, 255, 96])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_wide_borders_are_cut(level: int, kind: str) -> None:
    inner = content(240, 320)
    framed = np.pad(inner, ((40, 60), (80, 0)), constant_values=level)
    options: dict[str, object] = {"quality": 70} if kind == "jpeg" else {}
    image = read_image(encoded(framed, kind, **options), PixelSpec(64, trim=True))
    plain = read_image(encoded(inner, kind, **options), PixelSpec(64))
    assert image.metadata["trimmed"] == pytest.approx(1 - 240 * 320 / (340 * 400), abs=0.02)
    assert np.abs(image.pixels.astype(int) - plain.pixels).mean() < 4


def test_borders_that_take_most_lead_to_a_finer_decoding() -> None:
    inner = content(200, 200)
    framed = np.pad(inner, 200)
    image = read_image(encoded(framed, "jpeg", quality=95), PixelSpec(150, trim=True))
    # 600 pixels cover 150 at a quarter; the 200 that are left of them cover it at full size only.
    assert image.metadata["decoded_width"] == 600
    assert image.metadata["trimmed"] == pytest.approx(8 / 9, abs=0.01)
    plain = read_image(encoded(inner), PixelSpec(150))
    assert np.abs(image.pixels.astype(int) - plain.pixels).mean() < 6


@pytest.mark.parametrize(
    "pixels",
    [
        content(200, 300),
        np.full((200, 300), 30, np.uint8),  # uniform: nothing is content
        np.pad(content(196, 300), ((2, 2), (0, 0))),  # narrow
        np.pad(content(20, 20), 200),  # hardly anything would be left
    ],
    ids=["no border", "uniform", "narrow", "tiny content"],
)
def test_nothing_is_cut_where_there_is_no_wide_border(pixels: np.ndarray) -> None:
    trimmed = read_image(encoded(pixels), PixelSpec(50, trim=True))
    assert trimmed.metadata["trimmed"] == 0
    np.testing.assert_array_equal(trimmed.pixels, read_image(encoded(pixels), PixelSpec(50)).pixels)


@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
@pytest.mark.parametrize("shape", [(900, 9), (9, 900), (17, 900), (2, 2), (1, 5), (900, 901)])
def test_trimming_leaves_something_of_any_shape(geometry: str, shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[-(-shape[0] // 2) :, -(-shape[1] // 2) :] = 200
    for kind in ("jpeg", "png"):
        spec = PixelSpec(8, geometry, trim=True)  # type: ignore[arg-type]
        assert read_image(encoded(pixels, kind), spec).pixels.shape == (8, 8)


def test_trim_is_recorded_only_where_asked_for() -> None:
    assert "trimmed" not in read_image(encoded(content(40, 40)), PixelSpec(16)).metadata


def test_the_frame_is_a_setting_of_a_recipe_and_may_be_absent_from_a_bundle() -> None:
    recipe = load_recipe("swift", ["input.frame=2"])
    assert recipe.input.frame == 2 and load_recipe("swift").input.frame == 0
    assert Recipe.from_json(recipe.to_json()) == recipe
    older = {"size": 64, "geometry": "pad", "trim": True}
    assert PixelSpec(**older) == PixelSpec(64, "pad", True, 0)  # type: ignore[arg-type]
    assert PixelSpec(64).key.startswith("64-squash-") and "frame" not in PixelSpec(64).key
    assert len({PixelSpec(64, frame=n).key for n in range(3)}) == 3
    with pytest.raises(ConfigError):
        PixelSpec(64, frame=-1)

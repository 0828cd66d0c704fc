"""Compares augmentation with indexing of numpy arrays: exactly, or else in direction and size.

Every image is augmented by the layer and by the function that needs no Keras, which must agree.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras")

import keras
from keras import ops

from plainfilm.config import AUGMENTATIONS, AugmentConfig
from plainfilm.models import TONES, Augment, apply_augmentation, draw_augmentation
from plainfilm.models.augment_draw import Tone
from plainfilm.training.preview import augmented_images

NOTHING = AugmentConfig()


def pictures(n: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def apply(
    config: AugmentConfig,
    size: int,
    images: NDArray[np.uint8],
    transforms: NDArray[np.float32],
    tones: NDArray[np.float32],
    seed: int = 0,
) -> NDArray[np.float32]:
    made = Augment(config, size, seed)(images[..., None], transforms, tones)
    array: NDArray[np.float32] = np.asarray(ops.convert_to_numpy(made))[..., 0]
    without = apply_augmentation(config, images, transforms, tones, size=size, seed=seed)
    np.testing.assert_allclose(without, np.clip(array, 0, 255), rtol=0, atol=0.51)
    return array


def unchanged_tones(n: int) -> NDArray[np.float32]:
    tones = np.zeros((n, TONES), np.float32)
    tones[:, [Tone.CONTRAST, Tone.GAMMA]] = 1
    tones[:, Tone.SIGMA] = 0.0064 * 128
    return tones


def draw_and_apply(
    config: AugmentConfig, size: int, images: NDArray[np.uint8], seed: int = 0
) -> NDArray[np.float32]:
    drawn = draw_augmentation(config, np.random.default_rng(seed), len(images), size)
    return apply(config, size, images, *drawn, seed=seed)


def blob(side: int, row: float, column: float, width: float = 2.5) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side, :side]
    spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    return np.rint(250 * spot).astype(np.uint8)


def middle(image: NDArray[np.floating]) -> tuple[float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    total = image.sum()
    return float((y * image).sum() / total), float((x * image).sum() / total)


def same(made: NDArray[np.float32], image: NDArray[np.uint8]) -> bool:
    """Return whether pixels were copied; coordinates of PyTorch's sampler are rounded."""
    if keras.backend.backend() == "torch":
        return bool(np.abs(made - image).max() < 0.01)
    return np.array_equal(made, image)


def test_no_strength_is_the_identity() -> None:
    images = pictures(6, 21)
    transforms, tones = draw_augmentation(NOTHING, np.random.default_rng(1), 6, 21)
    identity = np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (6, 1))
    np.testing.assert_allclose(transforms, identity, atol=1e-6)
    np.testing.assert_array_equal(tones, unchanged_tones(6))
    assert np.array_equal(apply(NOTHING, 21, images, transforms, tones), images)
    # Also if the layer resamples or changes tones.
    busy = AugmentConfig(rotation=1, blur=0.5, side_bars=1, text=1, gamma=1, contrast=1, noise=1)
    busy = replace(busy, border=1, box=1, inversion=1)
    np.testing.assert_allclose(apply(busy, 21, images, transforms, tones), images, atol=1e-3)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_shapes_and_types(name: str) -> None:
    config = AUGMENTATIONS[name]
    size = 150 if config.crop_from else 20
    transforms, tones = draw_augmentation(config, np.random.default_rng(0), 3, size)
    assert transforms.shape == (3, 8)
    assert tones.shape == (3, TONES)
    assert transforms.dtype == tones.dtype == np.float32
    assert np.isfinite(transforms).all()
    assert np.isfinite(tones).all()
    made = apply(config, size, pictures(3, config.crop_from or size), transforms, tones)
    assert made.shape == (3, size, size)
    assert made.dtype == np.float32


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_the_same_generator_draws_the_same(name: str) -> None:
    config, size = AUGMENTATIONS[name], 150
    images = pictures(4, config.crop_from or size)
    first, second = (draw_and_apply(config, size, images, seed=7) for _ in range(2))
    assert np.array_equal(first, second)
    if name != "none":
        assert not np.array_equal(first, draw_and_apply(config, size, images, seed=8))


def test_crops_copy_pixels_exactly() -> None:
    config = AugmentConfig(crop_from=30)
    images = pictures(40, 30)
    transforms, tones = draw_augmentation(config, np.random.default_rng(2), 40, 21)
    corners = transforms[:, [2, 5]]
    np.testing.assert_array_equal(corners, np.rint(corners))
    assert corners.min() == 0
    assert corners.max() == 9, "the last possible corner must be possible"
    assert len(np.unique(corners[:, 0])) > 5
    assert len(np.unique(corners[:, 1])) > 5
    made = apply(config, 21, images, transforms, tones)
    for image, crop, (x, y) in zip(images, made, corners.astype(int), strict=True):
        assert same(crop, image[y : y + 21, x : x + 21])


@pytest.mark.parametrize("size", [20, 21])
def test_flip_mirrors_left_and_right_exactly(size: int) -> None:
    images = pictures(64, size)
    made = draw_and_apply(AugmentConfig(flip=True), size, images)
    flipped = [same(b, a[:, ::-1]) for a, b in zip(images, made, strict=True)]
    left = [same(b, a) for a, b in zip(images, made, strict=True)]
    assert all(a != b for a, b in zip(flipped, left, strict=True))
    assert 16 < sum(flipped) < 48


@pytest.mark.parametrize("size", [20, 21])
def test_quarter_turns_equal_rot90(size: int) -> None:
    images = pictures(90, size)
    made = draw_and_apply(AugmentConfig(quarter_turns=True), size, images)
    counts = [0, 0, 0, 0]
    for image, turned in zip(images, np.rint(made), strict=True):
        matches = [
            k
            for k in range(4)
            if np.array_equal(turned[1:-1, 1:-1], np.rot90(image, k)[1:-1, 1:-1])
        ]
        assert len(matches) == 1
        counts[matches[0]] += 1
    # 0, 90 and 180 degrees, about equally often, never 270.
    quarter = max(counts[1], counts[3])
    assert min(counts[1], counts[3]) == 0
    assert all(15 < count < 45 for count in (counts[0], quarter, counts[2]))


@pytest.mark.parametrize("size", [20, 21])
def test_quarter_turns_keep_the_border_too(size: int) -> None:
    images = pictures(30, size)
    made = draw_and_apply(AugmentConfig(quarter_turns=True), size, images)
    for image, turned in zip(images, made, strict=True):
        gaps = [np.abs(turned - np.rot90(image, k)).max() for k in range(4)]
        assert min(gaps) < 0.1


def test_flip_turn_and_crop_together_equal_numpy() -> None:
    config = AugmentConfig(flip=True, quarter_turns=True, crop_from=28)
    images = pictures(60, 28)
    made = draw_and_apply(config, 21, images)
    for image, one in zip(images, made, strict=True):
        found = any(
            np.abs(np.rot90(part[:, ::step], k) - one).max() < 0.1
            for y in range(8)
            for x in range(8)
            for part in [image[y : y + 21, x : x + 21].astype(float)]
            for step in (1, -1)
            for k in range(4)
        )
        assert found


def test_shift_moves_by_a_share_of_the_side_in_every_direction() -> None:
    config, size = AugmentConfig(shift=0.2), 41
    image = np.stack([blob(size, 20, 20)] * 300)
    transforms, tones = draw_augmentation(config, np.random.default_rng(3), 300, size)
    made = apply(config, size, image, transforms, tones)
    moved = np.array([middle(one) for one in made]) - 20
    # Output pixel p is input pixel p + offset: the content moves in the opposite direction.
    np.testing.assert_allclose(moved[:, 1], -transforms[:, 2], atol=0.05)
    np.testing.assert_allclose(moved[:, 0], -transforms[:, 5], atol=0.05)
    greatest = 0.2 * size
    assert np.abs(moved).max() <= greatest + 0.05
    for axis in (0, 1):
        assert moved[:, axis].min() < -0.9 * greatest
        assert moved[:, axis].max() > 0.9 * greatest
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.2, "the two axes are drawn apart"


def test_zoom_changes_size_about_the_centre_within_its_range() -> None:
    config, size = AugmentConfig(zoom=0.25), 61
    y, x = np.mgrid[:size, :size] - 30
    disc = (250 * (y**2 + x**2 < 12**2)).astype(np.uint8)
    transforms, tones = draw_augmentation(config, np.random.default_rng(4), 200, size)
    made = apply(config, size, np.stack([disc] * 200), transforms, tones)
    scale = np.sqrt(made.sum(axis=(1, 2)) / disc.sum())
    np.testing.assert_allclose(scale, 1 / transforms[:, 0], rtol=0.02)
    assert scale.min() > 1 / 1.25 - 0.02
    assert scale.max() < 1.25 + 0.02
    assert scale.min() < 0.85
    assert scale.max() > 1.17
    centres = np.array([middle(one) for one in made])
    np.testing.assert_allclose(centres, 30, atol=0.1)
    np.testing.assert_allclose(transforms[:, 0], transforms[:, 4])


def test_aspect_keeps_the_area() -> None:
    transforms, _ = draw_augmentation(AugmentConfig(aspect=0.3), np.random.default_rng(0), 500, 40)
    wide, high = transforms[:, 0], transforms[:, 4]
    np.testing.assert_allclose(wide * high, 1, rtol=1e-5)
    ratio = wide / high
    assert 1.25 < ratio.max() <= 1.3 + 1e-5
    assert 1 / 1.3 - 1e-5 <= ratio.min() < 1 / 1.25


def test_rotation_stays_within_its_angle() -> None:
    config, size = AugmentConfig(rotation=30), 61
    transforms, tones = draw_augmentation(config, np.random.default_rng(5), 300, size)
    made = apply(config, size, np.stack([blob(size, 30, 50)] * 300), transforms, tones)
    places = np.array([middle(one) for one in made]) - 30
    np.testing.assert_allclose(np.hypot(*places.T), 20, atol=0.1)
    angles = np.degrees(np.arctan2(places[:, 0], places[:, 1]))
    assert np.abs(angles).max() <= 30.2
    assert angles.min() < -27
    assert angles.max() > 27


def test_shear_is_an_angle() -> None:
    transforms, _ = draw_augmentation(AugmentConfig(shear=20), np.random.default_rng(0), 500, 40)
    np.testing.assert_allclose(transforms[:, [0, 4]], 1, atol=1e-6)
    np.testing.assert_allclose(transforms[:, 3], 0, atol=1e-6)
    angles = np.degrees(np.arctan(transforms[:, 1]))
    assert 18 < angles.max() <= 20 + 1e-4
    assert -20 - 1e-4 <= angles.min() < -18


@pytest.mark.parametrize(("fill", "outside"), [("black", 0), ("nearest", 200)])
def test_pixels_outside_are_black_or_the_nearest(fill: str, outside: int) -> None:
    config = AugmentConfig(shift=0.5, fill=fill)  # type: ignore[arg-type]
    images = np.full((1, 20, 20), 200, np.uint8)
    by_ten = np.array([[1, 0, 10, 0, 1, 0, 0, 0]], np.float32)
    made = apply(config, 20, images, by_ten, unchanged_tones(1))[0]
    np.testing.assert_allclose(made[:, :10], 200, atol=1e-3)
    np.testing.assert_allclose(made[:, 11:], outside, atol=1e-3)


def test_tones_are_contrast_about_mid_grey_then_brightness() -> None:
    config = AugmentConfig(contrast=0.5, brightness=0.2)
    images = pictures(200, 8)
    transforms, tones = draw_augmentation(config, np.random.default_rng(6), 200, 8)
    made = apply(config, 8, images, transforms, tones)
    by_hand = np.clip(
        (images.astype(np.float64) - 128) * tones[:, 0, None, None] + 128 + tones[:, 1, None, None],
        0,
        255,
    )
    np.testing.assert_allclose(made, by_hand, atol=1e-3)
    assert 1 / 1.5 - 1e-6 <= tones[:, 0].min() < 0.75
    assert 1.4 < tones[:, 0].max() <= 1.5 + 1e-6
    assert 0.18 * 255 < np.abs(tones[:, 1]).max() <= 0.2 * 255
    assert tones[:, 1].min() < 0 < tones[:, 1].max()
    assert (tones[:, 2] == 0).all()


def test_noise_has_the_level_that_was_drawn() -> None:
    config = AugmentConfig(noise=0.1)
    images = np.full((30, 64, 64), 128, np.uint8)
    transforms, tones = draw_augmentation(config, np.random.default_rng(7), 30, 64)
    assert tones[:, 2].min() >= 0
    assert tones[:, 2].max() <= 25.5
    made = apply(config, 64, images, transforms, tones, seed=1)
    np.testing.assert_allclose(made.std(axis=(1, 2)), tones[:, 2], rtol=0.06, atol=0.05)
    assert not np.array_equal(made, apply(config, 64, images, transforms, tones, seed=2))
    assert np.array_equal(made, apply(config, 64, images, transforms, tones, seed=1))


def test_noise_is_normal_and_independent_between_images() -> None:
    config = AugmentConfig(noise=0.1)
    images = np.full((40, 64, 64), 128, np.uint8)
    transforms, tones = draw_augmentation(config, np.random.default_rng(8), 40, 64)
    tones[:, 2] = 10.0
    noise = apply(config, 64, images, transforms, tones, seed=3) - 128.0
    flat = noise.reshape(40, -1) / 10.0
    assert abs(flat.mean()) < 0.02
    assert abs((flat**4).mean() - 3.0) < 0.15, "a normal distribution has a fourth moment of 3"
    # Of 780 pairs of 4,096 pixels the largest chance correlation is below 0.07.
    assert np.abs(np.corrcoef(flat)[np.triu_indices(40, 1)]).max() < 0.07
    for axis in (1, 2):
        shifted = (noise * np.roll(noise, 1, axis=axis)).mean() / (noise**2).mean()
        assert abs(shifted) < 0.02


def test_images_of_a_batch_are_drawn_apart() -> None:
    images = np.repeat(pictures(1, 32), 16, axis=0)
    made = draw_and_apply(AUGMENTATIONS["radiograph"], 32, images)
    assert len({one.tobytes() for one in made}) == 16


@pytest.mark.parametrize("name", ["radiograph", "robust", "tutorial-generator"])
def test_the_preview_is_what_the_layer_gives(name: str) -> None:
    config = replace(AUGMENTATIONS[name], text=0.5, inversion=0.2)
    images = pictures(40, 24)
    preview = augmented_images(config, 24, images, seed=3)
    assert preview.dtype == np.uint8
    assert preview.shape == images.shape
    layer = np.clip(draw_and_apply(config, 24, images, seed=3), 0, 255)
    np.testing.assert_allclose(preview, layer, rtol=0, atol=0.51)

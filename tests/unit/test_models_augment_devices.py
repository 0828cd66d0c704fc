"""Checks the augmentations that imitate devices and crops, in the layer and without Keras."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

pytest.importorskip("keras")

from keras import ops

from plainfilm.config import AUGMENTATIONS, AugmentConfig
from plainfilm.errors import ConfigError
from plainfilm.models import Augment, apply_augmentation, draw_augmentation
from plainfilm.models.augment_draw import Tone, noise_bank, text_bank

SIDE = 32
Made = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


def make(config: AugmentConfig, images: NDArray[np.uint8], seed: int = 0) -> Made:
    """Return augmented images, transforms and tones, after comparing both implementations."""
    transforms, tones = draw_augmentation(config, np.random.default_rng(seed), len(images), SIDE)
    made = apply_augmentation(config, images, transforms, tones, size=SIDE, seed=seed)
    layer = ops.convert_to_numpy(Augment(config, SIDE, seed)(images[..., None], transforms, tones))
    np.testing.assert_allclose(made, np.clip(layer[..., 0], 0, 255), rtol=0, atol=0.51)
    return made, transforms, tones


def pictures(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE), dtype=np.uint8)


def changed(made: NDArray[np.uint8], images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((made != images).any(axis=(1, 2)))


# Two images of 400, drawn by version 0.17 from the seed [5, 2].
OLD: dict[str, tuple[list[list[float]], list[list[float]], float, float]] = {
    "radiograph": (
        [
            [-0.96081, 0.05357, 61.15416, 0.05283, 0.9742, -1.95515],
            [-0.98904, 0.05552, 63.99548, 0.05457, 1.00639, -3.58831],
        ],
        [[1.06291, 40.27116, 4.60087, 3323, 1990], [0.81764, -26.20636, 0.00125, 659, 1245]],
        15940.781647765427,
        1694744.5334701969,
    ),
    "tutorial": (
        [[0, -1, 156, 1, 0, 24], [0, -1, 159, -1, 0, 175]],
        [[1, 0, 0, 0, 0]] * 2,
        77268.0,
        400.0,
    ),
    "tutorial-generator": (
        [
            [-0.87901, 0.33656, 52.89092, 0.33711, 0.87922, -11.22873],
            [-0.93181, 0.35897, 61.90356, 0.35866, 0.93169, -15.81963],
        ],
        [[1, 0, 0, 0, 0]] * 2,
        21433.592717542022,
        400.0,
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_old_presets_draw_what_they_always_drew(name: str) -> None:
    size = 150 if name == "tutorial" else 64
    rng = np.random.default_rng([5, 2])
    transforms, tones = draw_augmentation(AUGMENTATIONS[name], rng, 400, size)
    few, old_tones, all_transforms, all_tones = OLD[name]
    np.testing.assert_allclose(transforms[[0, -1], :6], few, rtol=0, atol=1e-5)
    np.testing.assert_allclose(tones[[0, -1], :5], old_tones, rtol=0, atol=1e-5)
    assert np.abs(transforms).sum(dtype=np.float64) == pytest.approx(all_transforms, rel=1e-7)
    assert np.abs(tones[:, :5]).sum(dtype=np.float64) == pytest.approx(all_tones, rel=1e-7)


@pytest.mark.parametrize(
    "key", ["blur", "sharpen", "side_bars", "text", "border", "box", "inversion"]
)
def test_a_share_is_the_share_of_changed_images(key: str) -> None:
    images = pictures(600)
    made, _, tones = make(replace(AugmentConfig(), **{key: 0.3}), images)
    assert 0.22 < changed(made, images).mean() < 0.38
    others = tones[:, Tone.CONTRAST : Tone.SIGMA]
    np.testing.assert_array_equal(others, [[1, 0, 0, 0, 0, 1]] * 600)
    assert changed(make(replace(AugmentConfig(), **{key: 1.0}), images)[0], images).all()


def test_a_key_does_not_change_what_the_others_draw() -> None:
    robust = AUGMENTATIONS["robust"]
    _, before = draw_augmentation(robust, np.random.default_rng(1), 50, SIDE)
    for key, columns in {
        "blur": range(Tone.SIGMA, Tone.SHARPNESS + 1),
        "side_bars": range(Tone.BAR_LEFT, Tone.BAR_GREY + 1),
        "border": [Tone.BORDER],
        "box": range(Tone.BOX_TOP, Tone.BOX_GREY + 1),
    }.items():
        config = replace(robust, **{key: 0.0})
        _, after = draw_augmentation(config, np.random.default_rng(1), 50, SIDE)
        others = [column for column in Tone if column not in columns]
        np.testing.assert_array_equal(before[:, others], after[:, others])
        assert not np.array_equal(before, after)


def test_enlarge_adds_to_the_enlargement_only() -> None:
    config = AugmentConfig(zoom=0.1, enlarge=0.25)
    transforms, _ = draw_augmentation(config, np.random.default_rng(0), 2000, SIDE)
    sizes = 1 / transforms[:, 0]  # the maps go from output to input
    assert 1 / 1.1 - 1e-6 <= sizes.min() < 0.92
    assert 1.36 < sizes.max() <= 1.1 * 1.25 + 1e-6
    assert config.moves
    assert AugmentConfig(enlarge=0.1).moves
    assert not AugmentConfig(blur=1, text=1, gamma=1).moves


@pytest.mark.parametrize("fill", ["black", "nearest"])
def test_resampling_equals_scipy(fill: Any) -> None:
    config = replace(AUGMENTATIONS["tutorial-generator"], fill=fill, shear=10.0)
    images = pictures(20)
    made, transforms, _ = make(config, images)
    mode = "nearest" if fill == "nearest" else "grid-constant"
    for image, one, (a, b, c, d, e, f, *_) in zip(
        images, made, transforms.astype(float), strict=True
    ):
        expected = ndimage.affine_transform(
            image.astype(float), [[e, d], [b, a]], (f, c), order=1, mode=mode
        )
        np.testing.assert_allclose(one, expected, rtol=0, atol=0.51)


def test_blur_is_gaussian() -> None:
    images = pictures(40)
    made, _, tones = make(AugmentConfig(blur=1.0), images)
    sigmas = tones[:, Tone.SIGMA]
    assert 0.004 * 128 <= sigmas.min() < 0.0045 * 128
    assert 0.012 * 128 < sigmas.max() <= 0.013 * 128
    _, larger = draw_augmentation(AugmentConfig(blur=1.0), np.random.default_rng(0), 40, 256)
    np.testing.assert_allclose(larger[:, Tone.SIGMA], 2 * sigmas, rtol=1e-6)
    for image, one, sigma in zip(images, made, sigmas, strict=True):

        def gauss(x: Any, sigma: Any = sigma) -> Any:
            return ndimage.gaussian_filter(x, sigma, mode="constant", radius=20)

        expected = gauss(image.astype(float)) / gauss(np.ones(image.shape))
        np.testing.assert_allclose(one, expected, rtol=0, atol=0.52)


def test_sharpening_adds_the_difference_from_a_blurred_image() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = (128 + 40 * np.sin(x * 1.5) * np.cos(y * 0.7)).astype(np.uint8)
    images = np.stack([wave] * 30)
    made, _, tones = make(AugmentConfig(sharpen=1.0), images)
    amounts = tones[:, Tone.SHARPNESS]
    assert 0.3 <= amounts.min() < 0.45
    assert 1.35 < amounts.max() <= 1.5
    sigma = 0.0064 * 128
    blurred = ndimage.gaussian_filter(wave.astype(float), sigma, radius=20)
    for one, amount in zip(made, amounts, strict=True):
        expected = wave + amount * (wave - blurred)
        np.testing.assert_allclose(one[4:-4, 4:-4], expected[4:-4, 4:-4], rtol=0, atol=0.52)


def test_an_image_is_not_both_blurred_and_sharpened() -> None:
    _, tones = draw_augmentation(
        AugmentConfig(blur=0.6, sharpen=0.4), np.random.default_rng(0), 500, SIDE
    )
    amounts = tones[:, Tone.SHARPNESS]
    assert ((amounts == -1) | (amounts > 0)).all()
    assert 0.5 < (amounts == -1).mean() < 0.7
    with pytest.raises(ConfigError, match="at most 1"):
        AugmentConfig(blur=0.6, sharpen=0.5)


def test_bars_have_one_grey_value_and_leave_the_middle() -> None:
    images = pictures(200)
    made, _, tones = make(AugmentConfig(side_bars=1.0), images)
    left, right = (tones[:, one].astype(int) for one in (Tone.BAR_LEFT, Tone.BAR_RIGHT))
    assert left.max() == right.max() == 5  # 16 % of 32 pixels
    for image, one, tone, a, b in zip(images, made, tones, left, right, strict=True):
        grey = np.rint(tone[Tone.BAR_GREY])
        assert (one[:, :a] == grey).all()
        assert (one[:, SIDE - b :] == grey).all()
        assert np.array_equal(one[:, a : SIDE - b], image[:, a : SIDE - b])
    assert (np.maximum(left, right) > 0).all()
    for sides in ((left > 0) & (right > 0), left == 0, right == 0):
        assert sides.sum() > 20


def test_a_border_is_black_and_equally_wide() -> None:
    images = np.maximum(pictures(100), 1)
    made, _, tones = make(AugmentConfig(border=1.0), images)
    widths = tones[:, Tone.BORDER].astype(int)
    assert set(widths) == {1, 2, 3, 4}  # 11 % of 32 pixels
    for image, one, width in zip(images, made, widths, strict=True):
        inside = slice(width, SIDE - width)
        assert np.array_equal(one[inside, inside], image[inside, inside])
        assert np.count_nonzero(one) == (SIDE - 2 * width) ** 2


def test_a_box_has_one_grey_value() -> None:
    images = pictures(300)
    made, _, tones = make(AugmentConfig(box=1.0), images)
    corners = tones[:, [Tone.BOX_TOP, Tone.BOX_LEFT]].astype(int)
    assert corners.min() == 0
    assert corners.max() == SIDE - 10
    for image, one, tone, (top, left) in zip(images, made, tones, corners, strict=True):
        expected = image.copy()
        expected[top : top + 10, left : left + 10] = np.rint(tone[Tone.BOX_GREY])
        assert np.array_equal(one, expected)


def test_text_is_bright_and_near_a_corner() -> None:
    dark = np.full((200, SIDE, SIDE), 20, np.uint8)
    made, _, tones = make(AugmentConfig(text=1.0), dark)
    for one, level in zip(made, tones[:, Tone.TEXT_LEVEL], strict=True):
        assert set(np.unique(one)) == {20, int(np.rint(level))}
        assert 0.75 * 255 <= level <= 255
    written = (made != dark).mean(axis=0)
    assert written[13:19, 13:19].max() < 0.02
    assert min(written[:8, :8].max(), written[:8, -8:].max(), written[-8:, :8].max()) > 0.05
    assert len({one.tobytes() for one in made > 20}) > 50


def test_gamma_is_an_exponent() -> None:
    images = pictures(200)
    made, _, tones = make(AugmentConfig(gamma=0.8), images)
    gamma = tones[:, Tone.GAMMA]
    assert 1 / 1.8 - 1e-6 <= gamma.min() < 0.6
    assert 1.75 < gamma.max() <= 1.8 + 1e-6
    expected = 255 * (images / 255) ** gamma[:, None, None].astype(float)
    np.testing.assert_allclose(made, expected, rtol=0, atol=0.51)


def test_inversion_exchanges_black_and_white_after_all_else() -> None:
    images = pictures(40)
    config = replace(AUGMENTATIONS["robust"], inversion=1.0)
    before, after = (make(one, images)[0] for one in (AUGMENTATIONS["robust"], config))
    assert np.array_equal(after, 255 - before)


@pytest.mark.parametrize("side", [8, 32, 100])
def test_banks_depend_on_the_seed_and_suit_every_size(side: int) -> None:
    for bank in (noise_bank, text_bank):
        assert np.array_equal(bank(side, 1), bank.__wrapped__(side, 1))
        assert not np.array_equal(bank(side, 1), bank(side, 2))
    masks = text_bank(side, 1)
    assert set(np.unique(masks)) == {0, 1}
    assert 0.001 < masks.mean() < 0.15

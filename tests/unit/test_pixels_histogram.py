"""Matching of histograms: to the documented distribution, in every way that images are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy import stats

from plainfilm.bundle import Bundle, read_bundle
from plainfilm.config import Recipe, load_recipe
from plainfilm.errors import ConfigError
from plainfilm.pixels import read_image
from plainfilm.pixels.histogram import is_blank, match_histogram
from plainfilm.records import Geometry, PixelSpec
from plainfilm.runtime import Predictor


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "png")
    return file.getvalue()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return random grey levels of a skewed distribution, none of them 0."""
    rng = np.random.default_rng(seed)
    return np.clip(1 + rng.gamma(2.0, 20.0, (height, width)), 1, 255).astype(np.uint8)


def test_levels_equal_the_quantiles_of_scipy() -> None:
    image = picture(60, 80)
    shares = stats.rankdata(image.ravel(), "average") - 0.5  # the middle of equal ones
    expected = stats.norm(110, 55).ppf(shares / image.size).reshape(image.shape)
    matched = match_histogram(image)
    np.testing.assert_allclose(matched, np.clip(expected, 0, 255), rtol=0, atol=0.6)
    assert abs(matched.mean() - 110) < 3
    assert abs(matched.std() - 55) < 4


@pytest.mark.parametrize("change", ["exposure", "contrast", "brightness"])
def test_monotonic_changes_of_tone_disappear(change: str) -> None:
    levels = np.arange(256)
    table = {
        "exposure": 255 * (levels / 255) ** 0.6,
        "contrast": 30 + 0.7 * levels,
        "brightness": levels + 20,
    }[change]
    image = np.minimum(picture(64, 64), 200)
    changed = np.rint(table).astype(np.uint8)[image]
    before, after = match_histogram(image).astype(int), match_histogram(changed).astype(int)
    # The table merges a few levels, which then share their middle.
    assert np.abs(before - after).mean() < 1
    assert np.abs(image.astype(int) - changed).mean() > 10


def test_black_edges_remain_and_are_not_counted() -> None:
    image = picture(40, 40)
    framed = np.pad(image, ((3, 8), (0, 5)))
    matched = match_histogram(framed)
    np.testing.assert_array_equal(matched, np.pad(match_histogram(image), ((3, 8), (0, 5))))


def test_padding_does_not_change_the_matched_image() -> None:
    wide = picture(30, 60)
    spec = PixelSpec(60, "pad", histogram="matched")
    pixels = read_image(encoded(wide), spec).pixels
    np.testing.assert_array_equal(pixels[15:45], match_histogram(wide))
    assert not pixels[:15].any()
    assert not pixels[45:].any()


@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
def test_reading_matches_after_the_resize(geometry: Geometry) -> None:
    data = encoded(picture(90, 140))
    plain = read_image(data, PixelSpec(32, geometry)).pixels
    matched = read_image(data, PixelSpec(32, geometry, histogram="matched")).pixels
    np.testing.assert_array_equal(matched, match_histogram(plain))
    assert not np.array_equal(matched, plain)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_image_stays_blank(level: int) -> None:
    rng = np.random.default_rng(0)
    for noise in (0, 3):
        image = np.clip(level + rng.integers(0, noise + 1, (64, 64)), 0, 255).astype(np.uint8)
        assert np.array_equal(match_histogram(image), image)
        assert is_blank(match_histogram(image))


def test_a_spec_without_the_field_has_its_old_key() -> None:
    older = {"size": 64, "geometry": "pad", "trim": True, "frame": 2}
    spec = PixelSpec(**older)  # type: ignore[arg-type]
    assert spec.histogram == "as-is"
    assert spec.key == "64-pad-trim-frame2-2e4c43a4"
    matched = replace(spec, histogram="matched")
    assert matched.key.startswith("64-pad-trim-frame2-matched-")
    assert matched.key[-8:] != spec.key[-8:]
    with pytest.raises(ConfigError, match="as-is or matched"):
        replace(spec, histogram="equal")  # type: ignore[arg-type]


def test_the_histogram_is_a_setting_of_a_recipe() -> None:
    recipe = load_recipe("swift", ["histogram=matched"])
    assert recipe.input.histogram == "matched"
    assert load_recipe("swift").input.histogram == "as-is"
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_bundle_matches_what_it_reads_and_its_card_says_so(
    make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded(picture(40, 40)))
    plain = make_bundle(tmp_path / "plain")
    bundle = make_bundle(tmp_path / "matched", pixels=replace(plain.pixels, histogram="matched"))
    assert read_bundle(bundle.folder).pixels == bundle.pixels
    read = [Predictor(one).read(path).pixels for one in (plain, bundle)]
    np.testing.assert_array_equal(match_histogram(read[0]), read[1])
    cards = [(one.folder / "MODEL_CARD.md").read_text("utf-8") for one in (plain, bundle)]
    assert "histogram `matched`" in cards[1]
    assert "histogram" not in cards[0]

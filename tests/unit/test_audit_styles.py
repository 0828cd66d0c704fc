"""Tests that images are grouped by what devices leave behind: margins, tone, sharpness, marks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter, uniform_filter

from plainfilm.audit import styles
from plainfilm.audit.styles import FEATURES, cluster_styles, describe_styles


def feature(images, name):
    return describe_styles(images)[:, FEATURES.index(name)]


def blurred(images):
    return gaussian_filter(images.astype(np.float32), (0, 1.5, 1.5)).astype(np.uint8)


def with_bars(images, width, level, sides=("left", "right")):
    edges = {
        "left": np.s_[:, :, :width],
        "right": np.s_[:, :, -width:],
        "top": np.s_[:, :width],
        "bottom": np.s_[:, -width:],
    }
    changed = images.copy()
    for side in sides:
        changed[edges[side]] = level
    return changed


def with_curve(images, gamma):
    return (255 * (images / 255) ** gamma).astype(np.uint8)


def with_cable(images):
    changed = []
    for image in images:
        picture = Image.fromarray(image)
        pen = ImageDraw.Draw(picture)
        for shift in (0, 5, 10):
            pen.line([(40 + shift, 0), (70 + shift, 15)], fill=255, width=1)
        changed.append(np.asarray(picture))
    return np.stack(changed)


CHANGES = {
    "bars": lambda images: with_bars(images, 12, 0),
    "frame": lambda images: with_bars(images, 6, 0, ("left", "right", "top", "bottom")),
    "tone": lambda images: with_curve(images, 0.3),
    "blur": blurred,
    "cable": with_cable,
}


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("width", [3, 12, 30])
def test_width_of_bars(width, level):
    images = np.random.default_rng(0).integers(0, 256, (8, 128, 128), np.uint8)
    for side in ("left", "right", "top", "bottom"):
        bars = feature(with_bars(images, width, level, (side,)), f"{side} bar")
        assert bars == pytest.approx(width / 128), side
    assert not feature(with_bars(images, width, level), "frame").any()
    framed = with_bars(images, width, level, ("left", "right", "top", "bottom"))
    assert feature(framed, "frame") == pytest.approx(width / 128)


def test_tone_is_that_of_the_quantiles_inside(chests):
    inner = chests[:, 16:-16:2, 16:-16:2].reshape(len(chests), -1)
    expected = np.quantile(inner, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1, method="inverted_cdf")
    names = ("dark tones", "lower tones", "middle tones", "upper tones", "bright tones")
    for name, levels in zip(names, expected, strict=True):
        assert feature(chests, name) == pytest.approx(levels / 255)
    assert feature(chests, "white") == pytest.approx((inner >= 250).mean(axis=1), abs=1e-12)


@pytest.mark.parametrize("width", [3, 5, 9])
def test_box_means_are_those_of_scipy(chests, width):
    planes = chests[:3].astype(np.float32)
    expected = uniform_filter(planes, (0, width, width), mode="nearest")
    assert styles._box_means(planes, width) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "change", "rises"),
    [
        ("fine detail", blurred, False),
        ("marks at the top", with_cable, True),
        ("middle tones", CHANGES["tone"], True),
        ("edge level", lambda images: with_bars(images, 5, 255), True),
        ("white", lambda images: np.clip(images.astype(int) + 90, 0, 255).astype(np.uint8), True),
        ("horizontal detail", lambda images: uniform_filter(images, (0, 5, 0)), True),
    ],
)
def test_a_change_of_style_changes_its_feature(chests, name, change, rises):
    before, after = feature(chests[:24], name), feature(change(chests[:24]), name)
    assert ((after > before) == rises).mean() > 0.95


@pytest.mark.parametrize("side", [32, 64, 224])
def test_images_of_other_sizes_have_similar_features(chests, side):
    resized = [np.asarray(Image.fromarray(one).resize((side, side))) for one in chests[:24]]
    own, other = describe_styles(chests[:24]), describe_styles(np.stack(resized))
    tones = slice(FEATURES.index("edge level"), FEATURES.index("white"))
    assert other[:, tones] == pytest.approx(own[:, tones], abs=0.1)
    assert np.isfinite(other[:, :-1]).all()


def purity(members, groups):
    """Return the share of images that are in a style of mostly their group."""
    tables = (np.bincount(groups[members == style]) for style in np.unique(members))
    return sum(table.max() for table in tables) / len(groups)


@pytest.mark.parametrize("name", CHANGES)
def test_a_planted_style_is_found(chests, name):
    planted = np.arange(len(chests)) % 3 == 0
    images = np.where(planted[:, None, None], CHANGES[name](chests), chests)
    found = cluster_styles(describe_styles(images), 4).members
    assert purity(found, planted.astype(int)) > 0.9


def test_all_planted_styles_at_once(chests):
    parts = [chests[:24], *(change(chests[24:48]) for change in CHANGES.values())]
    found = cluster_styles(describe_styles(np.concatenate(parts)), 8)
    assert purity(found.members, np.repeat(np.arange(6), 24)) > 0.9


def test_traits_name_what_distinguishes_a_style(chests):
    images = np.concatenate([chests[:60], with_bars(chests[60:], 14, 0)])
    found = cluster_styles(describe_styles(images), 2)
    traits = dict(found.traits(1))
    assert {"left bar", "right bar"} <= set(traits)
    assert min(traits["left bar"], traits["right bar"]) > 1


def test_further_images_are_assigned_to_the_styles(chests):
    features = describe_styles(np.concatenate([chests, with_bars(chests, 12, 255)]))
    found = cluster_styles(features[::2], 2)
    assert (found.assign(features[::2]) == found.members).all()
    assert (found.assign(features[1::2]) == np.repeat(found.members[[0, -1]], 48)).mean() > 0.95
    assert found.members[0] != found.members[-1]


def test_an_original_aspect_ratio_takes_part_where_it_is_known(chests):
    images = np.tile(chests[:30], (2, 1, 1))
    aspects = np.repeat([0.8, 1.3], 30)
    found = cluster_styles(describe_styles(images, aspects), 2).members
    assert (found == found[0]).sum() == 30 and len(set(found[:30])) == 1
    unknown = describe_styles(images)
    assert np.isnan(unknown[:, -1]).all()
    assert np.isfinite(cluster_styles(unknown, 2).centres).all()


def test_k_means_is_as_good_as_that_of_scipy(chests):
    features = describe_styles(np.concatenate([change(chests) for change in CHANGES.values()]))
    points = styles._scaled(features, *styles._standard(features))
    found = cluster_styles(features, 6)
    own = ((points - found.centres[found.members]) ** 2).sum()
    for row in range(6):
        assert found.centres[row] == pytest.approx(points[found.members == row].mean(axis=0))
    others = [kmeans2(points, 6, minit="++", iter=50) for _ in range(10)]
    assert own <= 1.02 * min(((points - centres[of]) ** 2).sum() for centres, of in others)


def test_styles_are_reproducible_and_need_no_label(chests):
    features = describe_styles(chests)
    first, second = (cluster_styles(features, 5, seed=3) for _ in range(2))
    assert (first.members == second.members).all()
    assert (first.centres == second.centres).all()
    counts = np.bincount(first.members)
    assert (np.diff(counts) <= 0).all()


def test_few_or_equal_images():
    assert describe_styles(np.empty((0, 64, 64), np.uint8)).shape == (0, len(FEATURES))
    same = describe_styles(np.zeros((5, 64, 64), np.uint8))
    assert set(cluster_styles(same, 3).members) <= {0, 1, 2}
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"k is {k}; give 1 to 5"):
            cluster_styles(same, k)


def test_of_many_images_some_are_drawn_and_the_others_join_their_groups(chests, monkeypatch):
    images = np.concatenate([chests, with_curve(chests, 0.4)])
    features = describe_styles(images)
    expected = cluster_styles(features, 2)
    monkeypatch.setattr(styles, "_MAX_FIT", 100)
    monkeypatch.setattr(styles, "_AT_ONCE", 64)
    found = cluster_styles(features, 2)
    assert len(found.members) == len(images)
    agreement = np.mean(found.members == expected.members)
    assert max(agreement, 1 - agreement) > 0.95
    assert (np.diff(np.bincount(found.members)) <= 0).all(), "the most frequent comes first"

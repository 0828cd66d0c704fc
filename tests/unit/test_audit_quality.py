"""Tests the checks of image quality: contrast, orientation, outliers and text."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from plainfilm.audit import orientation
from plainfilm.audit.quality import (
    check_contrast,
    check_orientation,
    check_outliers,
    check_text,
)
from plainfilm.pixels.text import SIDE, find_text, write_lines

CHECKS = (check_contrast, check_orientation, check_outliers, check_text)


def reported(check, make_evidence, images):
    """Return the indices of the images of each finding."""
    labels = [n % 2 for n in range(len(images))]
    findings = check(make_evidence(labels, images=images, metadata=searched(images)))
    return {f.check: sorted(int(name[1:-4]) for name in f.files) for f in findings}


def searched(images):
    """Return the metadata of images in which text was searched for."""
    large = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE))) for image in images]
    return [{"text": write_lines(lines)} if (lines := find_text(one)) else {} for one in large]


def altered(chests, changes):
    images = chests.copy()
    for row, change in changes.items():
        images[row] = change(images[row])
    return images


def write(text, height, corner=(3, 3)):
    def change(image):
        # Drawn at twice the size, since images are downsampled for the checks.
        large = Image.fromarray(image).resize((256, 256))
        font = ImageFont.load_default(height)
        ImageDraw.Draw(large).multiline_text(corner, text, fill=255, font=font)
        return np.asarray(large.resize((128, 128), Image.Resampling.BOX))

    return change


@pytest.mark.parametrize("check", CHECKS)
def test_normal_radiographs_are_not_reported(check, make_evidence, chests):
    assert reported(check, make_evidence, chests) == {}


@pytest.mark.parametrize("check", CHECKS)
def test_without_decoded_images_nothing_is_reported(check, make_evidence):
    assert list(check(make_evidence([0, 1]))) == []


def test_blank_and_low_contrast_images_are_distinguished(make_evidence, chests):
    def squeeze(levels):
        return lambda p: (p / 255 * levels + 100).astype(np.uint8)

    changes = {1: lambda p: np.full_like(p, 90), 2: squeeze(4), 3: squeeze(16), 4: squeeze(40)}
    assert reported(check_contrast, make_evidence, altered(chests, changes)) == {
        "blank-image": [1, 2],
        "low-contrast": [3, 4],
    }


def test_rotated_and_inverted_images_are_found(make_evidence, chests):
    turns = {n: (lambda p, n=n: np.rot90(p, n)) for n in (1, 2, 3)}
    inverted = {n: (lambda p, n=n: 255 - np.rot90(p, n - 4)) for n in (4, 5, 6, 7)}
    found = reported(check_orientation, make_evidence, altered(chests, turns | inverted))
    assert found == {"rotated": [1, 2, 3], "inverted": [4, 5, 6, 7]}


def test_all_eight_orientations_are_identified(chests):
    small = chests.reshape(96, 32, 4, 32, 4).mean(axis=(2, 4)).astype(np.uint8)
    for number in range(1, 8):
        rotated = np.rot90(small[0], number % 4)
        small[number] = 255 - rotated if number >= 4 else rotated
    found = orientation.estimate_orientation(small, np.arange(96))
    assert found is not None
    assert found.best[:8].tolist() == list(range(8))
    assert found.overall == 0


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
def test_a_set_that_is_rotated_as_a_whole(make_evidence, chests, number):
    images = np.rot90(chests, number % 4, (1, 2))
    images = np.ascontiguousarray(255 - images if number >= 4 else images)
    (finding,) = check_orientation(make_evidence([0] * 96, images=images))
    assert (finding.check, finding.severity) == ("whole-dataset-rotated-or-inverted", "serious")
    assert ("inverted" in finding.problem) == (number >= 4)


def test_feature_maps_agree_with_the_features_of_turned_images(chests):
    views = orientation.standardise(chests[:, ::4, ::4], 16)
    permutation, sign = orientation._feature_maps(16)
    plain = orientation._features(views)
    half_turned = orientation._features(np.ascontiguousarray(np.rot90(views, 2, (1, 2))))
    assert half_turned == pytest.approx(plain[:, permutation], abs=1e-6)
    assert orientation._features(-views) == pytest.approx(plain * sign, abs=1e-6)


def test_few_patients_are_inconclusive(make_evidence, chests):
    assert set(reported(check_orientation, make_evidence, chests[:23])) == {
        "orientation-inconclusive"
    }
    assert set(reported(check_orientation, make_evidence, chests[:24])) == set()
    assert set(reported(check_outliers, make_evidence, chests[:59])) == {"outliers-inconclusive"}


def test_images_of_other_subjects_are_found(make_evidence, chests):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    disc = np.where((rows - 64) ** 2 + (columns - 64) ** 2 < 40**2, 220, 5).astype(np.uint8)
    page = np.where(rng.random((128, 128)) < 0.1, 0, 255).astype(np.uint8)
    bricks = ((rows // 16 + columns // 32) % 2 * 120 + 60).astype(np.uint8)
    images = chests.copy()
    images[[5, 50, 90]] = disc, page, bricks
    assert reported(check_outliers, make_evidence, images) == {"outlier": [5, 50, 90]}


def test_text_is_found(make_evidence, chests):
    changes = {
        1: write("SYNTHETIC, PAT 1234\n01.01.2000 12:00  AP", 11),
        2: write("SYNTHETIC, PAT 1234", 22),
        3: write("PORTABLE SUPINE 12:40", 14, (90, 236)),
    }
    images = altered(chests, changes)
    assert reported(check_text, make_evidence, images) == {"burnt-in-text": [1, 2, 3]}


@pytest.mark.parametrize("marker", ["R", "L", "R\nAP"])
@pytest.mark.parametrize("height", [14, 24, 40])
def test_a_side_marker_is_not_reported_as_text(make_evidence, chests, marker, height):
    changes = {n: write(marker, height, (10 + 20 * n, 6)) for n in range(10)}
    assert reported(check_text, make_evidence, altered(chests, changes)) == {}


def test_noise_is_not_reported_as_text(make_evidence, chests):
    noise = np.random.default_rng(0).normal(0, 12, chests.shape)
    images = np.clip(chests + noise, 0, 255).astype(np.uint8)
    assert reported(check_text, make_evidence, images) == {}

"""Images that were read but should not be learnt from as they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from plainfilm.audit import orientation as poses
from plainfilm.audit.quality import (
    check_contrast,
    check_letters,
    check_poses,
    check_strangers,
)

CHECKS = (check_contrast, check_poses, check_strangers, check_letters)


def told(check, make_evidence, images):
    """Return the positions of the images that each finding names."""
    findings = check(make_evidence([n % 2 for n in range(len(images))], images=images))
    return {f.check: sorted(int(name[1:-4]) for name in f.files) for f in findings}


def changed(chests, changes):
    images = chests.copy()
    for row, change in changes.items():
        images[row] = change(images[row])
    return images


def write(text, height, corner=(3, 3)):
    def change(picture):
        # Drawn at twice the size, as the image of a file is made smaller when it is looked at.
        large = Image.fromarray(picture).resize((256, 256))
        font = ImageFont.load_default(height)
        ImageDraw.Draw(large).multiline_text(corner, text, fill=255, font=font)
        return np.asarray(large.resize((128, 128), Image.Resampling.BOX))

    return change


@pytest.mark.parametrize("check", CHECKS)
def test_sound_radiographs_are_no_finding(check, make_evidence, chests):
    assert told(check, make_evidence, chests) == {}


@pytest.mark.parametrize("check", CHECKS)
def test_without_pictures_nothing_is_said(check, make_evidence):
    assert list(check(make_evidence([0, 1]))) == []


def test_blank_and_flat_are_told_apart(make_evidence, chests):
    def squeeze(levels):
        return lambda p: (p / 255 * levels + 100).astype(np.uint8)

    changes = {1: lambda p: np.full_like(p, 90), 2: squeeze(4), 3: squeeze(16), 4: squeeze(40)}
    assert told(check_contrast, make_evidence, changed(chests, changes)) == {
        "blank": [1, 2],
        "low-contrast": [3, 4],
    }


def test_turned_and_inverted_images_are_found(make_evidence, chests):
    turns = {n: (lambda p, n=n: np.rot90(p, n)) for n in (1, 2, 3)}
    inverted = {n: (lambda p, n=n: 255 - np.rot90(p, n - 4)) for n in (4, 5, 6, 7)}
    found = told(check_poses, make_evidence, changed(chests, turns | inverted))
    assert found == {"rotated": [1, 2, 3], "inverted": [4, 5, 6, 7]}


def test_every_pose_is_called_by_its_name(chests):
    small = chests.reshape(96, 32, 4, 32, 4).mean(axis=(2, 4)).astype(np.uint8)
    for pose in range(1, 8):
        turned = np.rot90(small[0], pose % 4)
        small[pose] = 255 - turned if pose >= 4 else turned
    judged = poses.judge_poses(small, np.arange(96))
    assert judged is not None
    assert judged.best[:8].tolist() == list(range(8))
    assert judged.whole == 0


@pytest.mark.parametrize("pose", [1, 2, 3, 4, 6])
def test_a_set_that_is_turned_as_a_whole(make_evidence, chests, pose):
    images = np.rot90(chests, pose % 4, (1, 2))
    images = np.ascontiguousarray(255 - images if pose >= 4 else images)
    (finding,) = check_poses(make_evidence([0] * 96, images=images))
    assert (finding.check, finding.severity) == ("whole-set-turned", "serious")
    assert ("inverted" in finding.problem) == (pose >= 4)


def test_moves_of_features_are_those_of_the_pictures(chests):
    views = poses.standardise(chests[:, ::4, ::4], 16)
    place, sign = poses._moves(16)
    plain = poses._features(views)
    half_turned = poses._features(np.ascontiguousarray(np.rot90(views, 2, (1, 2))))
    assert half_turned == pytest.approx(plain[:, place], abs=1e-6)
    assert poses._features(-views) == pytest.approx(plain * sign, abs=1e-6)


def test_few_patients_cannot_tell(make_evidence, chests):
    assert set(told(check_poses, make_evidence, chests[:23])) == {"cannot-tell-poses"}
    assert set(told(check_poses, make_evidence, chests[:24])) == set()
    assert set(told(check_strangers, make_evidence, chests[:59])) == {"cannot-tell-strangers"}


def test_what_is_no_chest_is_found(make_evidence, chests):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    disc = np.where((rows - 64) ** 2 + (columns - 64) ** 2 < 40**2, 220, 5).astype(np.uint8)
    page = np.where(rng.random((128, 128)) < 0.1, 0, 255).astype(np.uint8)
    bricks = ((rows // 16 + columns // 32) % 2 * 120 + 60).astype(np.uint8)
    images = chests.copy()
    images[[5, 50, 90]] = disc, page, bricks
    assert told(check_strangers, make_evidence, images) == {
        "not-a-frontal-chest-radiograph": [5, 50, 90]
    }


def test_writing_is_found(make_evidence, chests):
    changes = {
        1: write("SYNTHETIC, PAT 1234\n01.01.2000 12:00  AP", 11),
        2: write("SYNTHETIC, PAT 1234", 22),
        3: write("PORTABLE SUPINE 12:40", 14, (90, 236)),
    }
    images = changed(chests, changes)
    assert told(check_letters, make_evidence, images) == {"burnt-in-text": [1, 2, 3]}


@pytest.mark.parametrize("marker", ["R", "L", "R\nAP"])
@pytest.mark.parametrize("height", [14, 24, 40])
def test_a_side_marker_is_no_writing(make_evidence, chests, marker, height):
    changes = {n: write(marker, height, (10 + 20 * n, 6)) for n in range(10)}
    assert told(check_letters, make_evidence, changed(chests, changes)) == {}


def test_noise_is_no_writing(make_evidence, chests):
    noise = np.random.default_rng(0).normal(0, 12, chests.shape)
    images = np.clip(chests + noise, 0, 255).astype(np.uint8)
    assert told(check_letters, make_evidence, images) == {}

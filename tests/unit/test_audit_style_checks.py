"""Tests that an acquisition style that is tied to a class or a split is reported."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.audit.style_checks import check_styles, measure_styles

PLANTED = np.random.default_rng(3).permutation(384) < 128


@pytest.fixture(scope="module")
def images(chests):
    """Return 384 images, a third of them with margins and a brighter tone curve."""
    copies = np.tile(chests, (4, 1, 1))
    bright = (255 * (copies / 255) ** 0.35).astype(np.uint8)
    bright[:, :, :14] = bright[:, :, -14:] = 0
    return np.where(PLANTED[:, None, None], bright, copies)


PATIENTS = np.tile(np.arange(96), 4)
CHANCE = np.random.default_rng(4).permutation(384) % 2


def check(make_evidence, images, labels, **more):
    evidence = make_evidence(labels, images=images, **more)
    styles, results = measure_styles(evidence)
    return styles, results, {one.check: one for one in check_styles(results)}


def test_a_style_of_one_class_is_reported(make_evidence, images):
    labels = np.where(PLANTED, 1, CHANCE)
    styles, results, found = check(make_evidence, images, labels)
    assert set(found) == {"style-tied-to-class"}
    finding = found["style-tied-to-class"]
    assert finding.severity == "warning"
    assert "the acquisition style alone predicts ILL with AUROC 0.7" in finding.problem
    assert sum(style.count for style in styles) == 384
    assert [style.count for style in styles] == sorted((s.count for s in styles), reverse=True)
    (result,) = results
    assert sum(sum(group.counts) for group in result.table) == 384
    planted = [group for group in result.table if group.counts[0] > 0.97 * sum(group.counts)]
    assert sum(group.counts[0] for group in planted) > 100
    number = int(planted[0].value.split()[1]) - 1
    names = {trait.name for trait in styles[number].traits if trait.deviation > 0}
    assert names & {"left bar", "right bar", "lower tones", "middle tones", "dark tones"}
    assert 0 < len(styles[number].examples) <= 12
    assert np.array(styles[number].mean).shape == (32, 32)


def test_a_style_unrelated_to_the_class_is_not_reported(make_evidence, images):
    _, _, found = check(make_evidence, images, CHANCE)
    assert found == {}


def test_a_style_of_the_test_set_is_reported(make_evidence, images):
    splits = np.where(PLANTED | (CHANCE == 1), "test", "train")
    labels = np.random.default_rng(5).permutation(384) % 2
    _, _, found = check(make_evidence, images, labels, splits=splits)
    assert set(found) == {"style-shift"}
    assert found["style-shift"].severity == "warning"
    assert "the test set from the training set" in found["style-shift"].problem


def test_copies_of_few_patients_are_not_evidence(make_evidence, chests):
    """Every patient has a style and a label of its own."""
    images = np.tile(chests[:12], (16, 1, 1))
    patients = np.tile(np.arange(12), 16)
    _, _, found = check(make_evidence, images, patients % 2, patients=patients)
    assert found == {}


def test_aspect_ratios_of_the_files_take_part(make_evidence, chests):
    images = np.tile(chests[:1], (200, 1, 1))
    labels = np.arange(200) % 2
    metadata = [{"width": 300.0 + 200 * label, "height": 400.0} for label in labels]
    _, _, found = check(make_evidence, images, labels, metadata=metadata)
    assert "style-tied-to-class" in found


def test_few_images_or_a_quick_audit_have_no_styles(make_evidence, chests):
    assert measure_styles(make_evidence([0, 1] * 48, images=chests)) == ((), ())
    assert measure_styles(make_evidence([0, 1] * 100)) == ((), ())

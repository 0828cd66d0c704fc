"""What a cheat can tell is told, with its interval; small sets cannot be called clean."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from plainfilm.audit.baselines import probe
from plainfilm.audit.shortcuts import check_shift, check_shortcuts


@pytest.fixture(scope="module")
def pictures(chests):
    """Return 384 images: each drawn chest in four exposures, so that nothing goes with a label."""
    rng = np.random.default_rng(0)
    gains = rng.uniform(0.7, 1.2, (4 * len(chests), 1, 1))
    return np.clip(np.tile(chests, (4, 1, 1)) * gains, 0, 255).astype(np.uint8)


# Drawn, so that neither goes with a chest, of which there are four images each.
LABELS = np.random.default_rng(1).permutation(384) % 2
ILL = LABELS == 1
SPLITS = np.where(np.random.default_rng(2).permutation(384) % 3, "train", "test")


def metadata(labels, gap, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.normal(30_000, 3_000, len(labels)) + gap * np.array(labels)
    return [{"bytes": float(size), "width": 500.0, "height": 400.0} for size in sizes]


def audit_of(evidence):
    probes = probe(evidence)
    findings = [*check_shortcuts(evidence, probes), *check_shift(evidence, probes)]
    return probes, {finding.check: finding for finding in findings}


def test_a_set_without_shortcuts_is_silent(make_evidence, pictures):
    evidence = make_evidence(LABELS, images=pictures, metadata=metadata(LABELS, 0))
    probes, found = audit_of(evidence)
    assert {one.cheat for one in probes} == {"file metadata", "border", "thumbnail", "histogram"}
    assert found == {}
    assert all(one.interval.low < 0.55 for one in probes)


def test_file_size_that_tells_the_label(make_evidence, pictures):
    evidence = make_evidence(LABELS, images=pictures, metadata=metadata(LABELS, 8_000))
    _, found = audit_of(evidence)
    assert set(found) == {"shortcut-file-metadata"}
    assert found["shortcut-file-metadata"].severity == "serious"
    assert "file size 0.9" in found["shortcut-file-metadata"].problem


def test_a_frame_around_one_class(make_evidence, pictures):
    images = pictures.copy()
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        images[edge][ILL] = 255
    _, found = audit_of(make_evidence(LABELS, images=images))
    assert found["shortcut-border"].severity == "serious"


def test_a_brighter_class(make_evidence, pictures):
    images = pictures.copy()
    images[ILL] = np.clip(images[ILL].astype(int) + 25, 0, 255)
    _, found = audit_of(make_evidence(LABELS, images=images))
    assert found["shortcut-histogram"].severity == "warning", "shades alone never spoil it"


def test_a_shift_within_a_class(make_evidence, pictures):
    test = SPLITS == "test"
    images = pictures.copy()
    images[test] = (255 * (images[test] / 255) ** 0.5).astype(np.uint8)
    probes, found = audit_of(make_evidence(LABELS, images=images, splits=SPLITS.tolist()))
    assert set(found) == {"shift-test"}
    assert {one.target for one in probes if one.about == "shift"} == {"WELL", "ILL"}
    _, found = audit_of(make_evidence(LABELS, images=pictures, splits=SPLITS.tolist()))
    assert found == {}


def test_a_small_set_cannot_be_called_clean(make_evidence, pictures):
    _, found = audit_of(make_evidence(LABELS[:40], images=pictures[:40]))
    assert set(found) == {"cannot-tell-shortcuts"}


def test_a_handful_is_not_even_asked(make_evidence, pictures):
    probes, found = audit_of(make_evidence(LABELS[:18], images=pictures[:18]))
    assert probes == () and found == {}


def test_few_patients_cannot_tell_however_many_images(make_evidence, pictures):
    patients = [n % 8 for n in range(384)]
    probes, found = audit_of(make_evidence(LABELS, images=pictures, patients=patients))
    assert all(math.isnan(one.interval.value) for one in probes)
    assert set(found) == {"cannot-tell-shortcuts"}


def test_more_questions_make_wider_intervals(make_evidence, pictures):
    one = probe(make_evidence(LABELS, images=pictures))
    many = probe(make_evidence(LABELS, images=pictures, splits=SPLITS.tolist()))
    widths = [
        {p.cheat: p.interval.high - p.interval.low for p in probes if p.about == "shortcut"}
        for probes in (one, many)
    ]
    assert all(widths[1][cheat] > width for cheat, width in widths[0].items())


def test_without_pictures_file_size_is_all_there_is(make_evidence):
    assert probe(make_evidence(LABELS)) == (), "files that are not there have no size"


def test_probes_are_plain_values(make_evidence, pictures):
    evidence = make_evidence(LABELS, images=pictures, metadata=metadata(LABELS, 5_000))
    for one in probe(evidence):
        again = json.loads(json.dumps(one.to_json(), allow_nan=False))
        assert again["cheat"] == one.cheat and again["view"]
